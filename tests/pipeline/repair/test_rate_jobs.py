"""`--fps` from file to file: how many frames at which times, and all else as it was."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import vsr_cli as vsr
from tests.conftest import MakeClip, read_file
from tests.networks import write_tiny_weights
from tests.pipeline.repair.scenes import is_same, pan
from tests.pipeline.repair.test_jobs import frames_of, write_frames
from vsr_cli.events import Event, Note, Plan
from vsr_cli.options import Options

NTSC = Fraction(30000, 1001)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rate", "times", "fps", "num_frames"),
    [
        ("in.mkv", Fraction(25), None, "50", 10),
        ("in.mp4", Fraction(24), None, "60", 13),  # the last one half as long
        ("in.mp4", NTSC, None, "60000/1001", 10),
        ("in.mkv", NTSC, None, "60000/1001", 10),
        ("in.mp4", Fraction(25), [0, 3, 4, 9, 15], "60", 12),  # hundredths of a second
    ],
)
def test_there_is_a_frame_at_every_time_of_the_rate_and_the_sound_stays(
    tmp_path: Path,
    make_clip: MakeClip,
    name: str,
    rate: Fraction,
    times: Sequence[int] | None,
    fps: str,
    num_frames: int,
) -> None:
    source, target = tmp_path / name, tmp_path / f"out{Path(name).suffix}"
    clock = None if times is None else Fraction(1, 100)
    make_clip(source, num_frames=5, rate=rate, pts=times, time_base=clock, audio=["aac"])
    done = vsr.fill(source, target, find="damaged", fps=fps)
    assert (done.frames_in, done.frames_out) == (5, num_frames)
    found, before = frames_of(target), frames_of(source)
    expected = [Fraction(k) / Fraction(fps) for k in range(num_frames)]
    tick = Fraction(1, 1000) if name == "in.mkv" else 0  # that times are rounded to
    pairs = zip(found, expected, strict=True)
    assert all(abs(f.pts * f.time_base - time) <= tick / 2 for f, time in pairs)
    ends = [(f[-1].pts + f[-1].duration) * f[-1].time_base for f in (before, found)]
    assert abs(ends[0] - ends[1]) <= tick
    contents = read_file(source), read_file(target)
    assert contents[0].sounds == contents[1].sounds
    assert contents[0].sound_times == contents[1].sound_times


def test_frames_of_the_source_keep_every_sample(tmp_path: Path) -> None:
    source = write_frames(tmp_path / "in.mkv", pan(6))
    vsr.fill(source, tmp_path / "out.mkv", find="damaged", fps=50, lossless=True)
    found = frames_of(tmp_path / "out.mkv")
    assert len(found) == 12
    for before, after in zip(frames_of(source), found[::2], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before.planes, after.planes, strict=True))


def test_a_target_without_a_clock_has_the_rate(tmp_path: Path, make_clip: MakeClip) -> None:
    source = tmp_path / "in.mp4"
    make_clip(source, pts=[0, 3, 4, 9, 15], time_base=Fraction(1, 100))
    events: list[Event] = []
    vsr.fill(source, tmp_path / "out.y4m", find="damaged", fps=60, report=events.append)
    found = frames_of(tmp_path / "out.y4m")
    assert [f.pts * f.time_base for f in found] == [Fraction(k, 60) for k in range(12)]
    assert "W_CFR" not in [e.code for e in events if isinstance(e, Note)]


@pytest.mark.parametrize("name", ["out.mkv", "out.avi", "out.y4m", "out.yuv", "out/%05d.png"])
def test_frames_of_source_and_target_are_counted_at_a_constant_rate(
    tmp_path: Path, make_clip: MakeClip, name: str
) -> None:
    source = tmp_path / "in.mkv"
    make_clip(source, pts=[0, 40, 50, 200, 210, 400], time_base=Fraction(1, 1000))
    done = vsr.fill(source, tmp_path / name, find="damaged", cfr=25)
    found = len(list((tmp_path / "out").glob("*.png"))) if "%" in name else 11
    if not name.endswith((".yuv", ".png")):
        found = len(frames_of(tmp_path / name))
    assert (done.frames_in, done.frames_out, found) == (6, 11, 11)


def test_a_source_that_an_earlier_run_has_read_is_counted_by_its_rate(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=6), tmp_path / "out.mkv"
    for _ in range(2):
        done = vsr.fill(source, target, find="damaged", cfr=50, keep_job=True)
        assert (done.frames_in, done.frames_out) == (6, 12)
        target.unlink()


def test_fields_are_counted_before_frames_are_made(tmp_path: Path, make_clip: MakeClip) -> None:
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    source = make_clip(tmp_path / "in.mp4", num_frames=4, options=options)
    with pytest.raises(vsr.VsrError, match="is not above"):
        vsr.fill(source, tmp_path / "out.mp4", fps=50, deinterlace="field")
    done = vsr.fill(source, tmp_path / "out.mp4", find="damaged", fps=100, deinterlace="field")
    assert (done.frames_in, done.frames_out) == (8, 16)


@pytest.mark.slow
def test_the_plan_tells_rate_and_number_and_the_model_sees_all(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=5, size=(32, 48))
    options: Options = {"model": write_tiny_weights(tmp_path / "tiny.safetensors"), "steps": 1}
    options |= {"scale": 2, "device": "cpu", "dtype": "float32", "fps": 50, "lossless": True}
    options |= {"checkpoint": 0, "clip_length": 4}
    plan = vsr.plan(source, tmp_path / "out.mkv", **options)
    assert (plan.num_frames, plan.rate, plan.repairs) == (10, Fraction(50), ("rate",))
    assert "rate: 25 to 50 frames per second, 10 in all" in plan.reasons[0]
    plans: list[Event] = []
    done = vsr.upscale(source, tmp_path / "out.mkv", report=plans.append, **options)
    assert (done.frames_in, done.frames_out, done.height) == (5, 10, 64)
    assert [e.repairs for e in plans if isinstance(e, Plan)] == [("rate",)]

    def fail(event: Event) -> None:
        if isinstance(event, vsr.Progress) and event.frame == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vsr.upscale(source, tmp_path / "again.mkv", report=fail, **options)
    events: list[Event] = []
    vsr.upscale(source, tmp_path / "again.mkv", report=events.append, **options)
    assert "W_RESUMED" in [e.code for e in events if isinstance(e, Note)]
    pairs = zip(frames_of(tmp_path / "out.mkv"), frames_of(tmp_path / "again.mkv"), strict=True)
    assert all(is_same(a, b) for a, b in pairs)


def test_frames_in_memory_have_no_rate(tmp_path: Path) -> None:
    upscaler = vsr.Upscaler(model=write_tiny_weights(tmp_path / "tiny.safetensors"), fps=50)
    with pytest.raises(vsr.VsrError, match="means nothing to frames in memory"):
        next(upscaler.frames([np.zeros((16, 16, 3), np.uint8)]))
