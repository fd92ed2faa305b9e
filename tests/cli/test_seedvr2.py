"""SeedVR2 from the published files to a finished video, at reduced width."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.conftest import MakeClip
from tests.models.seedvr2.published import write_published
from tests.models.seedvr2.tiny import TINY
from vsr_cli.cli.app import app
from vsr_cli.models.seedvr2 import convert

OPTIONS = ["--model", "seedvr2", "-c:v", "ffv1", "--device", "cpu", "--dtype", "float32"]
OPTIONS += ["--clip-length", "9", "--checkpoint", "0"]


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model of these tests, imported as users would; the folder that it is in."""
    monkeypatch.setenv("VSR_WEIGHTS_DIR", str(tmp_path / "user"))
    narrowed = functools.partial(convert.import_seedvr2, config=TINY)
    monkeypatch.setattr(convert, "import_seedvr2", narrowed)
    dit, vae, text = (str(path) for path in write_published(tmp_path))
    command = ["weights", "import", vae, dit, "--text", text, "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    event = json.loads(result.stdout.splitlines()[-1])
    assert (event["type"], event["name"]) == ("imported", "seedvr2")
    assert "Apache License 2.0" in result.stderr
    return tmp_path / "user"


def pictures(path: Path) -> NDArray[np.uint8]:
    with av.open(f"file:{path}") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).astype(np.uint8)


def upscale(*words: str | Path) -> list[str]:
    return ["upscale", *map(str, words), *OPTIONS]


def test_the_model_is_listed_and_described(imported: Path) -> None:
    run = CliRunner().invoke
    assert "seedvr2.safetensors" in run(app, ["weights", "list"]).stdout
    shown = run(app, ["weights", "info", "seedvr2"]).stdout
    for word in ("family      seedvr2", "pos_emb.pt", "Apache", "1280x720:", "2560x1440:"):
        assert word in shown
    assert run(app, ["weights", "verify", "seedvr2"]).exit_code == 0
    assert (imported / "SHA256SUMS").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize(("num_frames", "steps"), [(1, 1), (7, 2), (14, 1)])
def test_clips_of_odd_size_are_upscaled_in_one_step_and_in_two(
    tmp_path: Path, make_clip: MakeClip, num_frames: int, steps: int
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=num_frames, size=(18, 26), codec="ffv1")
    target = tmp_path / "out.mkv"
    result = CliRunner().invoke(app, upscale(source, target, "--steps", str(steps), "-v"))
    assert result.exit_code == 0, result.stderr
    assert f"model seedvr2.safetensors, steps {steps}" in result.stderr
    found = pictures(target)
    assert found.shape == (num_frames, 72, 104, 3)
    assert found.std() > 1


@pytest.mark.usefixtures("imported")
def test_what_means_nothing_to_this_model_is_refused(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=2, size=(16, 16), codec="ffv1")
    words = upscale(source, tmp_path / "out.mkv", "--motion-scale", "2")
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "`--motion-scale` means nothing to this model" in result.stderr
    assert "one step" in result.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("imported")
def test_a_job_that_was_killed_goes_on_to_the_same_frames(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=40, size=(48, 64), codec="ffv1")
    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    assert CliRunner().invoke(app, upscale(source, whole)).exit_code == 0
    command = [sys.executable, "-m", "vsr_cli", *upscale(source, cut)]
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    for _ in range(2):
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            seen = set[Path](tmp_path.rglob("state_*"))
            stop, deadline = len(seen) + 2, time.monotonic() + 120
            while len(seen) < stop:  # the first of these is in the manifest, too
                assert process.poll() is None
                assert time.monotonic() < deadline
                seen |= set(tmp_path.rglob("state_*"))
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
    assert not cut.exists()
    result = CliRunner().invoke(app, upscale(source, cut))
    assert result.exit_code == 0
    assert "going on after" in result.stderr
    assert np.array_equal(pictures(cut), pictures(whole))
