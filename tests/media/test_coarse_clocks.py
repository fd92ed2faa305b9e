"""How long frames last on a clock too coarse for their rate; time codes after minute ten."""

from fractions import Fraction

import pytest

from vsr_cli.media.timestamps import TimestampFixer, advance_timecode, find_timing

MS = Fraction(1, 1000)
RATE = Fraction(30)
NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (33, 100),  # rounded to the millisecond
        (34, 100),
        (32, 96),  # two ticks off: it is meant
        (50, 150),
        (17, 51),
        (16, 100),  # less than half a frame: muxers write the least that they can
        (1, 100),
        (0, 100),
    ],
)
def test_a_duration_is_kept_unless_it_is_rounded_or_nonsense(duration: int, expected: int) -> None:
    times = [round(n * 1000 / RATE) for n in range(30)]
    timing = find_timing(times, MS, RATE)
    assert timing.time_base == Fraction(1, 3000)  # a frame lasts 100 units
    assert TimestampFixer(timing).next(0, duration) == (0, expected)


@pytest.mark.parametrize("minute", [1, 9, 10, 11, 25, 59])
def test_time_codes_with_drops_can_be_counted_on_from_any_minute(minute: int) -> None:
    before = minute - 1  # whole minutes that may have dropped two numbers, after minute 0
    num_frames = 1800 * minute - 2 * (before - before // 10)
    start = advance_timecode("00:00:00;00", num_frames, NTSC)
    first = "00" if minute % 10 == 0 else "02"
    assert start == f"00:{minute:02}:00;{first}"
    for later in (1, 1798, 1800, 17982):
        whole = advance_timecode("00:00:00;00", num_frames + later, NTSC)
        assert advance_timecode(start, later, NTSC) == whole
