"""What is shown in the places of lost pictures, without a file: packets and pictures by hand."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import pytest
from av.video.frame import VideoFrame

from vsr_cli.config import OnDecodeError
from vsr_cli.errors import InputError
from vsr_cli.media.reading.concealment import ErrorConcealer
from vsr_cli.media.reading.statistics import ReadStatistics


@dataclass
class Picture:
    """What the concealer looks at of a decoded picture."""

    name: str
    pts: int | None
    key_frame: bool = False
    is_corrupt: bool = False


class Decoder:
    """Feeds a concealer as a demuxer does, and notes what is shown: (time, name of the picture)."""

    def __init__(self, policy: OnDecodeError = "repeat") -> None:
        self.statistics = ReadStatistics(Fraction(1, 25))
        self.shown: list[tuple[int | None, str]] = []
        self._concealer = ErrorConcealer(policy, self.statistics)

    def expect(self, *times: int | None) -> None:
        for time in times:
            self._concealer.expect(time)

    def lose(self) -> None:
        self._concealer.mark_lost("it does not decode")

    def show(self, picture: Picture) -> None:
        if picture.is_corrupt:
            self.lose()
        self._note(self._concealer.conceal(cast(VideoFrame, picture)))
        self.shown.append((picture.pts, picture.name))
        self.statistics.num_frames += 1

    def end(self) -> None:
        self._note(self._concealer.conceal(None))

    def _note(self, frames: Iterable[VideoFrame]) -> None:
        self.shown += [(f.pts, f.name) for f in cast(Iterable[Picture], frames)]


def test_pictures_that_are_stored_out_of_order_are_each_shown_once() -> None:
    decoder = Decoder()
    for stored, times in (((0, 4, 2), (0,)), ((1, 3), (1, 2, 3, 4)), ((8, 6, 5, 7), (5, 6, 7, 8))):
        decoder.expect(*stored)
        for time in times:
            decoder.show(Picture(f"p{time}", time, key_frame=time == 0))
    decoder.end()
    assert decoder.shown == [(time, f"p{time}") for time in range(9)]
    assert decoder.statistics.num_repeated == 0


def test_lost_pictures_that_were_stored_out_of_order_are_filled_in_order() -> None:
    decoder = Decoder()
    decoder.expect(0, 8, 4, 2, 1, 3, 6, 5, 7)
    decoder.show(Picture("first", 0, key_frame=True))
    decoder.lose()
    decoder.show(Picture("eighth", 8))
    decoder.end()
    assert decoder.shown == [(time, "first") for time in range(8)] + [(8, "eighth")]
    assert (decoder.statistics.num_damaged, decoder.statistics.num_repeated) == (1, 7)


def test_without_damage_a_picture_that_does_not_come_leaves_a_gap() -> None:
    decoder = Decoder()
    decoder.expect(0, 1, 2)
    decoder.show(Picture("a", 0, key_frame=True))
    decoder.show(Picture("c", 2))
    assert decoder.shown == [(0, "a"), (2, "c")]


def damaged_until(picture: Picture) -> Decoder:
    """Losing the picture at 1, then showing the given one at 2, then missing the one at 3."""
    decoder = Decoder()
    decoder.expect(0, 1, 2, 3, 4)
    decoder.show(Picture("a", 0, key_frame=True))
    decoder.lose()
    decoder.show(picture)
    decoder.show(Picture("e", 4))
    return decoder


def test_damage_ends_with_a_key_frame() -> None:
    decoder = damaged_until(Picture("key", 2, key_frame=True))
    assert decoder.shown == [(0, "a"), (1, "a"), (2, "key"), (4, "e")]
    assert decoder.statistics.num_repeated == 1


@pytest.mark.parametrize(
    "picture", [Picture("c", 2), Picture("c", 2, key_frame=True, is_corrupt=True)]
)
def test_damage_ends_with_no_other_picture_nor_with_a_corrupt_key_frame(picture: Picture) -> None:
    decoder = damaged_until(picture)
    assert decoder.shown == [(0, "a"), (1, "a"), (2, "c"), (3, "c"), (4, "e")]
    assert decoder.statistics.num_repeated == 2
    assert decoder.statistics.num_damaged == 1 + picture.is_corrupt


def test_at_the_end_everything_announced_is_filled() -> None:
    decoder = Decoder()
    decoder.expect(0, 2, 1)
    decoder.show(Picture("a", 0, key_frame=True))
    decoder.lose()
    decoder.lose()
    decoder.end()
    assert decoder.shown == [(0, "a"), (1, "a"), (2, "a")]
    assert (decoder.statistics.num_damaged, decoder.statistics.num_repeated) == (2, 2)


def test_before_the_first_picture_there_is_nothing_to_repeat() -> None:
    decoder = Decoder()
    decoder.expect(0, 1, None)
    decoder.lose()
    decoder.show(Picture("b", 1))
    assert decoder.shown == [(1, "b")]


def test_a_time_that_is_announced_twice_is_shown_once() -> None:
    decoder = Decoder()
    decoder.expect(0, 1, 1, 2)
    decoder.show(Picture("a", 0, key_frame=True))
    decoder.lose()
    decoder.show(Picture("c", 2))
    assert decoder.shown == [(0, "a"), (1, "a"), (2, "c")]


def test_pictures_without_times_have_no_places_to_fill() -> None:
    decoder = Decoder()
    decoder.expect(0, 1)
    decoder.lose()
    decoder.show(Picture("a", None, key_frame=True))
    decoder.show(Picture("b", None))
    assert decoder.shown == [(None, "a"), (None, "b")]


def test_skipping_leaves_lost_pictures_out_and_counts_the_damage() -> None:
    decoder = Decoder("skip")
    decoder.expect(0, 1, 2)
    decoder.show(Picture("a", 0, key_frame=True))
    decoder.lose()
    decoder.show(Picture("c", 2))
    decoder.end()
    assert decoder.shown == [(0, "a"), (2, "c")]
    assert (decoder.statistics.num_damaged, decoder.statistics.num_repeated) == (1, 0)


def test_stopping_says_after_which_frame_and_why() -> None:
    decoder = Decoder("stop")
    decoder.show(Picture("a", 0, key_frame=True))
    decoder.show(Picture("b", 1))
    with pytest.raises(InputError, match="damaged after frame 2") as stopped:
        decoder.lose()
    assert stopped.value.why == "it does not decode"
    assert decoder.statistics.num_damaged == 1
