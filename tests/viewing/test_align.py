"""Frames stand beside what is shown at their time, whatever files round or leave out."""

import gc
import weakref
from fractions import Fraction
from pathlib import Path

import pytest

from tests.conftest import MakeClip
from vsr_cli.events import Event, Note, ignore
from vsr_cli.viewing.align import Counts, moments, say_counts, say_differences
from vsr_cli.viewing.footage import Footage, open_footage


def footage(path: Path) -> Footage:
    return open_footage(path, path.name)


def beside(first: Footage, second: Footage, offset: Fraction = Fraction(0)) -> list[int]:
    """Which frame of the second stands beside each of the first."""
    pairs = moments([first, second], offset=offset)
    return [round(moment.shown[1].time * second.info.rate) for moment in pairs]


@pytest.mark.parametrize(
    ("rate", "num_frames", "expected"),
    [
        (Fraction(25), 6, [0, 1, 2, 3, 4, 5]),
        (Fraction(50), 12, [0, 2, 4, 6, 8, 10]),
        (Fraction(25, 2), 3, [0, 0, 1, 1, 2, 2]),
        (Fraction(10), 3, [0, 0, 0, 1, 1, 2]),
    ],
)
def test_a_frame_stands_beside_the_one_that_is_shown_then(
    tmp_path: Path, make_clip: MakeClip, rate: Fraction, num_frames: int, expected: list[int]
) -> None:
    first = make_clip(tmp_path / "a.mp4", num_frames=6)
    second = make_clip(tmp_path / "b.mp4", num_frames=num_frames, rate=rate)
    assert beside(footage(first), footage(second)) == expected


def test_times_that_a_container_has_rounded_put_no_frame_beside_its_neighbour(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    rate = Fraction(24000, 1001)
    exact = make_clip(tmp_path / "a.mp4", num_frames=48, rate=rate)
    rounded = make_clip(tmp_path / "b.mkv", num_frames=48, rate=rate)
    assert beside(footage(exact), footage(rounded)) == list(range(48))
    assert beside(footage(rounded), footage(exact)) == list(range(48))


def test_an_uneven_rate_is_followed_by_time(tmp_path: Path, make_clip: MakeClip) -> None:
    pts = [0, 40, 200, 240, 280]  # the second frame is shown for longer
    uneven = make_clip(tmp_path / "a.mp4", pts=pts, time_base=Fraction(1, 1000))
    even = make_clip(tmp_path / "b.mp4", num_frames=8)
    assert beside(footage(uneven), footage(even)) == [0, 1, 5, 6, 7]


def test_an_offset_shows_the_second_later(tmp_path: Path, make_clip: MakeClip) -> None:
    first = footage(make_clip(tmp_path / "a.mp4", num_frames=6))
    second = footage(make_clip(tmp_path / "b.mp4", num_frames=6))
    assert beside(first, second, Fraction(2, 25)) == [0, 1, 2, 3]
    assert beside(first, second, Fraction(-2, 25)) == [2, 3, 4, 5]


def test_reading_may_begin_anywhere(tmp_path: Path, make_clip: MakeClip) -> None:
    first = footage(make_clip(tmp_path / "a.mp4", num_frames=300, options={"g": "10"}))
    second = footage(make_clip(tmp_path / "b.mkv", num_frames=300))
    late = [
        (round(moment.time * 25), round(moment.shown[1].time * 25))
        for moment in moments([first, second], start=Fraction(10))
    ]
    assert late == [(index, index) for index in range(250, 300)]


def test_counts_are_told_and_frames_that_stand_alone(tmp_path: Path, make_clip: MakeClip) -> None:
    videos = [
        footage(make_clip(tmp_path / "a.mp4", num_frames=6)),
        footage(make_clip(tmp_path / "b.mp4", num_frames=4, size=(24, 32), rate=Fraction(24))),
    ]
    counts, events = Counts(), list[Event]()
    assert len(list(moments(videos, counts=counts))) == 5
    assert (counts.num_moments, counts.num_read, counts.num_alone) == (5, [6, 4], 1)
    say_differences(videos, events.append)
    say_counts(videos, counts, events.append)
    codes = [event.code for event in events if isinstance(event, Note)]
    assert codes == ["W_SIZES_DIFFER", "W_RATES_DIFFER", "W_COUNTS_DIFFER"]


def test_nothing_is_said_of_videos_that_agree(tmp_path: Path, make_clip: MakeClip) -> None:
    videos = [footage(make_clip(tmp_path / name)) for name in ("a.mp4", "b.mkv")]
    counts, events = Counts(), list[Event]()
    list(moments(videos, report=events.append, counts=counts))
    say_differences(videos, events.append)
    say_counts(videos, counts, events.append)
    assert events == []


@pytest.mark.slow
def test_a_few_frames_are_held_however_long_videos_are(tmp_path: Path, make_clip: MakeClip) -> None:
    videos = [footage(make_clip(tmp_path / name, num_frames=60)) for name in ("a.mp4", "b.mp4")]
    alive: weakref.WeakSet[object] = weakref.WeakSet()
    most = 0
    gc.freeze()  # what others hold need not be looked through for every frame
    try:
        for moment in moments(videos, report=ignore):
            alive.update(moment.shown)
            gc.collect()
            most = max(most, len(alive))
    finally:
        gc.unfreeze()
    assert most <= 4


def test_what_a_player_turns_is_turned(tmp_path: Path, make_clip: MakeClip) -> None:
    plain = footage(make_clip(tmp_path / "a.mp4"))
    turned = footage(make_clip(tmp_path / "b.mp4", rotation=90))
    assert (plain.size, turned.size) == ((48, 64), (64, 48))
    moment = next(moments([plain, turned]))
    upright = moment.pictures[1]
    assert upright.shape == (64, 48, 3)
    assert abs(upright[::-1].swapaxes(0, 1).astype(int) - moment.pictures[0]).mean() < 1
