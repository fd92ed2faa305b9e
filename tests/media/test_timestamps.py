"""The grid that times lie on, and times that have to be found."""

from fractions import Fraction
from itertools import pairwise

import pytest

from vsr_cli.media.timestamps import TimestampFixer, advance_timecode, find_timing

MS = Fraction(1, 1000)
NTSC = Fraction(30000, 1001)


def rounded(
    rate: Fraction, numbers: range | list[int], offset: Fraction = Fraction(0)
) -> list[int]:
    """What a clock of milliseconds makes of a regular grid."""
    return [round((offset + n / rate) * 1000) for n in numbers]


@pytest.mark.parametrize("rate", [NTSC, Fraction(24000, 1001), Fraction(30), Fraction(60000, 1001)])
@pytest.mark.parametrize("start", [0, 7])
def test_rounded_times_become_exact(rate: Fraction, start: int) -> None:
    times = rounded(rate, range(start, start + 40))
    timing = find_timing(times, MS, rate)
    fixer = TimestampFixer(timing)
    placed = [fixer.next(time, 33)[0] * timing.time_base for time in times]
    assert timing.is_vfr is False
    assert placed == [n / rate for n in range(start, start + 40)]
    assert fixer.num_fixed_timestamps == 0


def test_a_gap_in_the_grid_stays_a_gap() -> None:
    numbers = [*range(10), *range(17, 30)]
    times = rounded(NTSC, numbers)
    fixer = TimestampFixer(timing := find_timing(times, MS, NTSC))
    assert [fixer.next(t)[0] * timing.time_base for t in times] == [n / NTSC for n in numbers]
    assert timing.is_vfr is True


@pytest.mark.parametrize("offset", [Fraction(1, 3000), Fraction(17, 10000), Fraction(9, 1600)])
def test_a_grid_that_starts_anywhere_is_kept_within_a_tick(offset: Fraction) -> None:
    times = rounded(NTSC, range(48), offset)
    timing = find_timing(times, MS, NTSC)
    fixer = TimestampFixer(timing)
    placed = [fixer.next(time)[0] * timing.time_base for time in times]
    steps = {later - earlier for earlier, later in pairwise(placed)}
    assert steps == {1 / NTSC}
    assert max(abs(new - old * MS) for new, old in zip(placed, times, strict=True)) <= MS


def test_a_rate_that_is_twice_too_high_is_seen_through() -> None:
    times = rounded(Fraction(30), range(30))
    timing = find_timing(times, MS, Fraction(60))
    assert (timing.rate, timing.is_vfr) == (Fraction(30), False)
    fixer = TimestampFixer(timing)
    assert [fixer.next(time, 1) for time in times] == [(100 * n, 100) for n in range(30)]


def test_irregular_times_are_left_alone() -> None:
    times = [0, 33, 50, 117, 133, 260, 300]
    timing = find_timing(times, MS, Fraction(30))
    fixer = TimestampFixer(timing)
    assert timing.is_vfr is True
    assert [fixer.next(time, 17) for time in times] == [(time, 17) for time in times]


def test_times_that_turn_irregular_are_left_alone_from_there_on() -> None:
    times = [*rounded(NTSC, range(30)), 1010, 1025, 1101, 1134]
    fixer = TimestampFixer(timing := find_timing(times[:30], MS, NTSC))
    placed = [fixer.next(time)[0] * timing.time_base for time in times]
    assert placed[:30] == [n / NTSC for n in range(30)]
    assert placed[31:] == [time * MS for time in times[31:]]
    assert max(abs(new - old * MS) for new, old in zip(placed, times, strict=True)) <= MS


@pytest.mark.parametrize(
    ("tick", "rate", "step"),
    [(MS, Fraction(25), 40), (Fraction(1, 90000), NTSC, 3003), (Fraction(1, 30000), NTSC, 1001)],
)
def test_clocks_that_can_tell_the_rate_are_kept(tick: Fraction, rate: Fraction, step: int) -> None:
    timing = find_timing([5 + step * n for n in range(20)], tick, rate)
    assert (timing.time_base, timing.is_vfr, timing.anchor) == (tick, False, None)


def test_too_few_times_tell_nothing() -> None:
    assert find_timing([0, 33], MS, Fraction(30)).is_vfr is None


def test_missing_times_and_steps_back_are_mended_and_counted() -> None:
    fixer = TimestampFixer(find_timing([], Fraction(1, 1000), Fraction(25)))
    assert [fixer.next(t)[0] for t in (None, 40, 40, 30, None, 200)] == [0, 40, 41, 42, 82, 200]
    assert fixer.num_fixed_timestamps == 4


@pytest.mark.parametrize(
    ("code", "num_frames", "rate", "expected"),
    [
        ("00:00:00:00", 24, Fraction(24), "00:00:01:00"),
        ("23:59:59:23", 1, Fraction(24000, 1001), "00:00:00:00"),
        ("00:00:59;29", 1, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, "00:10:00;00"),
        ("00:00:00;00", 17982, NTSC, "00:10:00;00"),
        ("00:00:00;00", 107892, NTSC, "01:00:00;00"),
        ("00:00:59;59", 1, Fraction(60000, 1001), "00:01:00;04"),
        ("01:02:03:04", 0, Fraction(25), "01:02:03:04"),
    ],
)
def test_time_codes_are_counted_on(
    code: str, num_frames: int, rate: Fraction, expected: str
) -> None:
    assert advance_timecode(code, num_frames, rate) == expected


def test_time_codes_with_drops_count_every_frame_once() -> None:
    codes = [advance_timecode("00:00:00;00", n, NTSC) for n in range(18100)]
    assert len(set(codes)) == 18100
    assert codes == sorted(codes)
    assert advance_timecode(codes[5000], 13000, NTSC) == codes[18000]


@pytest.mark.parametrize("text", ["", "00:00:00", "00:00:00:0x", "00:60:00:00", "a:b:c:d"])
def test_what_is_no_time_code_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time code"):
        advance_timecode(text, 1, Fraction(25))


def test_a_full_stop_marks_dropped_frames_like_a_semicolon() -> None:
    assert advance_timecode("00:00:59.29", 1, NTSC) == "00:01:00.02"
