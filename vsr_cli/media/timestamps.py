"""When pictures are shown: the grid they lie on, and times that are missing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, lcm

COARSE_TICK = Fraction(1, 5000)  # seconds; clocks this coarse cannot tell 29.97 frames per second
MAX_CLOCK = 1 << 20  # ticks per second
LEAST_STEP = Fraction(1, 1000)  # seconds, the tick of Matroska
MIN_TIMES = 3  # before pictures are said to lie on a grid


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How the times of a stream are counted."""

    tick: Fraction  # seconds per tick of the container
    time_base: Fraction  # seconds per tick of `Frame.pts`, a whole fraction of `tick`
    rate: Fraction  # frames per second
    is_vfr: bool | None
    anchor: Fraction | None  # seconds, where the grid starts that times are moved onto; None: none


def find_timing(times: Sequence[int], tick: Fraction, rate: Fraction) -> Timing:
    """Find out from the first times of a stream whether its frames last equally long.

    Where some are missing from a regular grid, those before them last longer.

    A container that counts milliseconds rounds every time. Where all times are within one tick of
    a regular grid, they are meant to lie on it.

    Args:
        times: in ticks, in order of presentation.
        tick: seconds.
        rate: frames per second, as the container has it.
    """
    plain = Timing(tick=tick, time_base=tick, rate=rate, is_vfr=None, anchor=None)
    if len(times) < MIN_TIMES:
        return plain
    seconds = [time * tick for time in times]
    anchor = _find_anchor(seconds, rate, tick)
    if anchor is None:
        return replace(plain, is_vfr=True)
    steps = {round((later - earlier) * rate) for earlier, later in pairwise(seconds)}
    if len(steps) == 1:  # a container may say fields per second, or count twice
        rate /= max(1, *steps)
    plain = replace(plain, rate=rate, is_vfr=len(steps) > 1)
    clock = lcm(anchor.denominator, tick.denominator, rate.numerator)
    is_exact = (1 / (rate * tick)).denominator == 1
    if is_exact or tick < COARSE_TICK or tick.numerator != 1 or clock > MAX_CLOCK:
        return plain
    return replace(plain, time_base=Fraction(1, clock), anchor=anchor)


def _find_anchor(seconds: Sequence[Fraction], rate: Fraction, tick: Fraction) -> Fraction | None:
    """Where a grid starts that all times are near; None if there is no such grid.

    The likeliest goes through 0, then through the first time; else it is the one in the middle.
    """
    first = seconds[0]
    errors = [time - on_grid(time, first, rate) for time in seconds]
    middle = first + Fraction(round((min(errors) + max(errors)) / tick), 2) * tick
    for anchor in (Fraction(0), first, middle):
        if all(is_on_grid(time, anchor, rate, tick) for time in seconds):
            return anchor
    return None


def on_grid(time: Fraction, anchor: Fraction, rate: Fraction) -> Fraction:
    """The point of the grid that is nearest to `time`, all in seconds."""
    return anchor + round((time - anchor) * rate) / rate


def is_on_grid(time: Fraction, anchor: Fraction, rate: Fraction, tick: Fraction) -> bool:
    """Whether `time` is on the grid but for rounding to a tick."""
    return abs(time - on_grid(time, anchor, rate)) <= tick


class TimestampFixer:
    """Gives every picture a time, each later than the one before."""

    def __init__(self, timing: Timing) -> None:
        self.num_fixed_timestamps = 0  # times that were missing, or not later than the one before
        self._timing = timing
        self._anchor = timing.anchor
        self._last: int | None = None
        self._scale = int(timing.tick / timing.time_base)
        self._step = max(1, round(1 / (timing.rate * timing.time_base)))
        # A late picture goes as near to the one before as every container can tell.
        self._least = min(self._step, ceil(LEAST_STEP / timing.time_base))

    @property
    def is_as_at_first(self) -> bool:
        """Whether times so far have lain on the grid that they were found to lie on, if any."""
        return self._anchor == self._timing.anchor

    def next(self, ticks: int | None, duration: int = 0) -> tuple[int, int]:
        """The time and the duration of the next picture.

        Args:
            ticks: of the container; None: the stream does not say.
            duration: in ticks of the container, 0 if unknown.

        Returns:
            In units of `time_base`, within one tick of what the stream says.
        """
        pts = None if ticks is None else self._to_grid(ticks)
        if pts is None or (self._last is not None and pts <= self._last):
            self.num_fixed_timestamps += 1
            step = self._step if pts is None else self._least
            pts = 0 if self._last is None else self._last + step
        self._last = pts
        duration *= self._scale
        is_rounded = abs(duration - self._step) <= self._scale
        # Some muxers write the least that they can.
        is_nonsense = self._timing.is_vfr is False and 2 * duration < self._step
        if self._anchor is not None and (is_rounded or is_nonsense):
            duration = self._step
        return pts, duration

    def _to_grid(self, ticks: int) -> int:
        timing = self._timing
        if self._anchor is not None:
            time = ticks * timing.tick
            if is_on_grid(time, self._anchor, timing.rate, timing.tick):
                return int(on_grid(time, self._anchor, timing.rate) / timing.time_base)
            self._anchor = None  # the rest is not as regular as the start
        return ticks * self._scale


# HH:MM:SS:FF; the last mark is another where frame numbers are dropped.
TIMECODE = re.compile(r"(\d{1,2}):([0-5]\d):([0-5]\d)(?P<separator>[:;.])(\d{2,3})")


def drops_frames(rate: Fraction) -> bool:
    """Whether time codes of that rate may count with drops: multiples of 29.97."""
    return round(rate) % 30 == 0


def advance_timecode(timecode: str, num_frames: int, rate: Fraction) -> str:
    """The time code of the frame `num_frames` later (SMPTE ST 12-1).

    After a semicolon or a full stop frames are counted with drops: the first two numbers (four at
    59.94) of every minute but each tenth do not exist.

    Raises:
        ValueError: it is no time code.
    """
    found = TIMECODE.fullmatch(timecode)
    if found is None:
        raise ValueError(f"expected a time code, got `{timecode}`")
    separator = found["separator"]
    hours, minutes, seconds, frames = (int(part) for part in found.group(1, 2, 3, 5))
    nominal = round(rate)
    drop = nominal // 15 if separator != ":" and drops_frames(rate) else 0
    passed = 60 * hours + minutes
    count = (passed * 60 + seconds) * nominal + frames - drop * (passed - passed // 10)
    count += num_frames
    if drop:
        ten_minutes, rest = divmod(count, 600 * nominal - 9 * drop)
        count += 9 * drop * ten_minutes
        count += drop * max(0, (rest - drop) // (60 * nominal - drop))
    seconds, frames = divmod(count, nominal)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours % 24:02}:{minutes:02}:{seconds:02}{separator}{frames:02}"
