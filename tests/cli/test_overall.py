from pathlib import Path

import pytest

from tests.conftest import MakeClip
from vsr_cli.cli.overall import Overall, measure_work
from vsr_cli.config import InputConfig
from vsr_cli.events import Progress

A, B, C = Path("a"), Path("b"), Path("c")


def after(frame: int, seconds: float, *, num_frames: int = 10, first: int = 0) -> Progress:
    return Progress(
        stage="upscale", frame=frame, num_frames=num_frames, seconds=seconds, first=first
    )


def test_the_rest_of_a_batch_takes_as_long_as_its_pixels_at_the_pace_so_far() -> None:
    overall = Overall({A: 1000.0, B: 3000.0, C: None})  # of the last one the mean is taken
    overall.begin(A)
    assert overall.seconds_left(after(0, 0.0)) is None
    assert overall.seconds_left(after(5, 5.0)) == pytest.approx(5 + (3000 + 2000) / 100)
    overall.end(10, after(10, 10.0))
    overall.begin(B)
    assert overall.seconds_left(after(5, 5.0)) == pytest.approx(5 + 2000 * 15 / 2500)
    assert overall.words(after(5, 5.0)) == "17 s for all files"
    overall.end(10, after(10, 10.0))
    overall.begin(C)
    assert overall.seconds_left(after(5, 5.0)) == 5
    assert overall.words(after(5, 5.0)) == ""


def test_what_an_earlier_run_has_done_tells_no_pace() -> None:
    overall = Overall({A: 1000.0, B: 1000.0})
    overall.begin(A)
    assert overall.seconds_left(after(6, 1.0, first=5)) == pytest.approx(4 + 10)
    overall.end(10, after(10, 5.0, first=5))
    overall.begin(B)
    assert overall.seconds_left(after(1, 1.0)) == 9


def test_nothing_is_told_where_nothing_is_known() -> None:
    overall = Overall({A: None, B: None})
    overall.begin(A)
    assert overall.seconds_left(after(5, 5.0)) is None
    overall.begin(B)
    assert overall.seconds_left(after(5, 5.0)) == 5


def test_work_is_frames_times_their_size_where_a_source_can_be_read(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clip = make_clip(tmp_path / "a.mp4", num_frames=6, size=(48, 64))
    (tmp_path / "b.mp4").touch()
    work = measure_work([clip, tmp_path / "b.mp4"], InputConfig())
    assert work == {clip: 6 * 48 * 64, tmp_path / "b.mp4": None}
