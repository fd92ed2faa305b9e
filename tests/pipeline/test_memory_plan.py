"""The plan of memory is what a job takes, with the shipped weights."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import MakeClip


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.skipif(sys.platform != "linux", reason="the largest resident set has other units")
@pytest.mark.parametrize("options", [(), ("--tile", "512")], ids=["whole", "tiles"])
def test_memory_at_the_peak_is_within_15_percent_of_the_plan(
    tmp_path: Path, make_clip: MakeClip, options: tuple[str, ...]
) -> None:
    make_clip(tmp_path / "in.mkv", num_frames=9, size=(180, 320))
    words = [sys.executable, "-m", "vsr_cli", "upscale", "in.mkv", "out.mkv", "--json", *options]
    words += ["--steps", "2", "--device", "cpu", "--dtype", "bfloat16"]
    with tempfile.TemporaryFile() as events:
        process = subprocess.Popen(
            words, cwd=tmp_path, stdout=events, stderr=subprocess.DEVNULL, env={**os.environ}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        events.seek(0)
        plan = json.loads(events.readline())
    assert process.returncode == 0
    assert 1024 * usage.ru_maxrss / 1e9 == pytest.approx(plan["memory_gb"], rel=0.15)
