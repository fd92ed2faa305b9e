"""A source that ends before its header says: how far the job is follows what is there."""

from pathlib import Path

import pytest

import vsr_cli as vsr
from tests.conftest import MakeClip
from tests.media.reading.test_reader import remux_with_index_in_front
from vsr_cli.events import Event, Progress
from vsr_cli.pipeline.progress import ProgressReporter

CLAIMED = 40


@pytest.fixture(params=[".mp4", ".mkv"])
def cut(request: pytest.FixtureRequest, tmp_path: Path, make_clip: MakeClip) -> Path:
    suffix: str = request.param
    whole = make_clip(tmp_path / f"in{suffix}", num_frames=CLAIMED, size=(96, 128), codec="mpeg4")
    if suffix == ".mp4":
        whole = remux_with_index_in_front(whole, tmp_path / "front.mp4")
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    return path


def test_the_end_of_the_source_tells_how_many_frames_there_are(cut: Path, tmp_path: Path) -> None:
    events = list[Event]()
    done = vsr.fill(cut, tmp_path / "out.mkv", report=events.append)
    assert done.frames_out < CLAIMED
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.frame, last.num_frames, last.about) == (done.frames_out, done.frames_out, None)
    assert last.left == 0


def test_the_time_left_is_that_of_the_frames_that_are_there() -> None:
    now, events = [0.0], list[Progress]()

    def report(event: Event) -> None:
        assert isinstance(event, Progress)
        events.append(event)

    reporter = ProgressReporter("upscale", 100, report, clock=lambda: now[0])
    for frame in range(1, 41):
        now[0] += 1
        if frame == 40:
            reporter.end_at(50)
        reporter.count(frame)
    assert events[-2].left == pytest.approx(61)
    assert events[-1].num_frames == 50
    assert events[-1].left == pytest.approx(10)


def test_an_end_that_is_known_after_the_last_frame_is_still_told() -> None:
    events = list[Event]()
    reporter = ProgressReporter("fill", None, events.append, about=40)
    reporter.count(16)
    reporter.end_at(16)
    reporter.finish()
    last = events[-1]
    assert isinstance(last, Progress)
    assert (last.frame, last.num_frames, last.about, last.left) == (16, 16, None, 0)
