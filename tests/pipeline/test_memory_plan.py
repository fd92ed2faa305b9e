"""The plan of memory is what a job takes, with the shipped weights."""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import MakeClip


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.skipif(sys.platform != "linux", reason="the largest resident set has other units")
@pytest.mark.parametrize(
    ("num_frames", "dtype", "options"),  # encoders take longest to take all that is planned
    [
        (32, "auto", ()),
        (16, "float32", ()),
        (9, "float32", ("--tile", "512")),
    ],
)
def test_memory_at_the_peak_is_within_15_percent_of_the_plan(
    tmp_path: Path, make_clip: MakeClip, num_frames: int, dtype: str, options: tuple[str, ...]
) -> None:
    make_clip(tmp_path / "in.mkv", num_frames=num_frames, size=(180, 320))
    words = [sys.executable, "-m", "vsr_cli", "upscale", "in.mkv", "out.mkv", "--json", *options]
    words += ["--steps", "1", "--device", "cpu", "--dtype", dtype]
    peak = 0
    with tempfile.TemporaryFile() as events:
        process = subprocess.Popen(
            words, cwd=tmp_path, stdout=events, stderr=subprocess.DEVNULL, env={**os.environ}
        )
        while process.poll() is None:
            peak = max(peak, largest_resident_set(process.pid))
            time.sleep(0.02)
        events.seek(0)
        plan = json.loads(events.readline())
    assert process.returncode == 0
    assert peak / 1e9 == pytest.approx(plan["memory_gb"], rel=0.15)


def largest_resident_set(pid: int) -> int:
    """Bytes so far; what `wait4` tells counts this process as well, from which the other began."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0
