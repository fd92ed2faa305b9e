"""Jobs without a model: files in, files out, with nothing changed that was not to be."""

import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import vsr_cli as vsr
from tests.conftest import MakeClip, read_file
from tests.pipeline.repair.scenes import is_same, pan, showing
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import read_frames
from vsr_cli.options import Options

PROGRAM = """
import sys
from vsr_cli.cli.app import main
sys.argv = ["vsr", *sys.argv[1:]]
try:
    main()
finally:
    print(*sys.modules)
"""

KILLED = """
import os, signal, sys
import vsr_cli as vsr

def report(event):
    if isinstance(event, vsr.Progress) and event.frame == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

vsr.fill(*sys.argv[1:3], lossless=True, checkpoint=0, chunk_length=7, report=report)
"""


def write_frames(path: Path, frames: list[Frame]) -> Path:
    """A lossless file of 4:2:0 frames, with a sound."""
    with av.open(f"file:{path}", "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = av.VideoFrame(frame.size[1], frame.size[0], "yuv420p")
            for plane, samples in zip(picture.planes, frame.planes, strict=True):
                lines = np.zeros((plane.height, plane.line_size), np.uint8)
                lines[:, : plane.width] = samples
                plane.update(lines.tobytes())
            picture.pts, picture.time_base = frame.pts, Fraction(1, 25)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    frames = pan(24)
    frames[10] = showing(frames[10], frames[9])
    return write_frames(tmp_path / "in.mkv", frames)


def frames_of(path: Path) -> list[Frame]:
    return list(read_frames(path, report=ignore))


def test_frames_that_are_not_filled_keep_every_sample(tmp_path: Path, source: Path) -> None:
    done = vsr.fill(source, tmp_path / "out.mkv", lossless=True)
    before, after = frames_of(source), frames_of(tmp_path / "out.mkv")
    assert (done.frames_in, done.frames_out, len(after)) == (24, 24, 24)
    assert [k for k in range(24) if not is_same(before[k], after[k])] == [10]


def test_count_times_and_sound_stay(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=9, audio=["aac"], size=(64, 96))
    events: list[Event] = []
    vsr.fill(source, tmp_path / "out.mkv", frames_list="4", report=events.append)
    before, after = read_file(source), read_file(tmp_path / "out.mkv")
    assert (after.times, after.sounds, after.end) == (before.times, before.sounds, before.end)
    assert [e.code for e in events if isinstance(e, Note)] == ["W_FILLED"]


def test_without_a_model_no_network_is_loaded_and_the_plan_says_so(
    tmp_path: Path, source: Path
) -> None:
    command = [sys.executable, "-c", PROGRAM, "fill", str(source), str(tmp_path / "out.mkv")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "vsr_cli.pipeline.repair.fill" in loaded
    assert not {name for name in loaded if name.startswith("vsr_cli.models.small")}
    assert not loaded & {"diffusers", "vsr_cli.pipeline.restorers.registry"}
    assert "model none" in run.stderr


def test_options_of_a_model_are_refused(tmp_path: Path, source: Path) -> None:
    with pytest.raises(vsr.VsrError, match="`--steps` means nothing to `vsr fill`") as caught:
        vsr.fill(source, tmp_path / "out.mkv", steps=4)
    assert caught.value.exit_code == 2


def test_a_job_that_is_killed_goes_on_to_the_same_frames(tmp_path: Path, source: Path) -> None:
    options: Options = {"lossless": True, "checkpoint": 0, "chunk_length": 7}
    vsr.fill(source, tmp_path / "whole.mkv", **options)
    whole = frames_of(tmp_path / "whole.mkv")
    for frame in (8, 13):
        target = tmp_path / f"{frame}.mkv"
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(source), str(target), str(frame)], check=False
        )
        assert killed.returncode == -signal.SIGKILL
        events: list[Event] = []
        vsr.fill(source, target, report=events.append, **options)
        assert [e.code for e in events if isinstance(e, Note)] == ["W_RESUMED", "W_FILLED"]
        pairs = zip(whole, frames_of(target), strict=True)
        assert all(is_same(a, b) for a, b in pairs)
