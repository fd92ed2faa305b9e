"""How many frames a second a source has, and whether they last equally long."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import lcm

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vsr_cli.config import InputConfig
from vsr_cli.media.continuous_clock import TS_DISCONT
from vsr_cli.media.timestamps import Timing, find_timing

NO_TIMESTAMPS = 0x0080  # FFmpeg's flag of formats that hold nothing but what a codec wrote
USUAL_RATE = Fraction(25)  # frames per second, where nobody says
USUAL_MAX_RATE = 240  # frames per second; what claims more may mean its clock
MAX_RATE = 1000  # frames per second that are believed where the times agree
RATE_ERROR = Fraction(1, 100)  # of an average over the first frames
MEASURED_ERROR = Fraction(1, 10)  # between a rate and what the first times make of it
# Formats without a place for the time of a frame.
REGULAR_FORMATS = frozenset({"rawvideo", "yuv4mpegpipe"})


def ticks_of(stream: VideoStream) -> Fraction:
    """Seconds per tick of a stream."""
    return stream.time_base or Fraction(1, av.time_base)


def told_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Frames per second where no frame has a time: what the codec or the header says.

    Returns:
        None where both are silent; FFmpeg says 25 then.
    """
    is_regular = container.format.name in REGULAR_FORMATS
    rates = (stream.codec_context.framerate, stream.average_rate if is_regular else None)
    return next((rate for rate in rates if rate and 1 <= rate <= MAX_RATE), None)


def stream_timing(
    container: InputContainer, stream: VideoStream, head: Sequence[int], config: InputConfig
) -> Timing:
    """How the times of a stream are counted, by its header and its first times.

    Args:
        container: opened for reading.
        stream: the picture.
        head: the first times, in ticks, in order of presentation.
        config: may say the rate of what has no times.
    """
    rates = _plausible_rates(stream, head)
    if container.format.flags & NO_TIMESTAMPS:
        rate = config.raw_rate or told_rate(container, stream) or USUAL_RATE
        timing = find_timing([], ticks_of(stream), rate)
        clock = timing.tick / timing.tick.numerator  # so that each frame has a whole number
        clock = Fraction(1, lcm(clock.denominator, rate.numerator))
        return replace(timing, tick=clock, time_base=clock, is_vfr=False)
    timings = [find_timing(head, ticks_of(stream), rate) for rate in rates]
    timing = next((timing for timing in timings if timing.is_vfr is False), timings[0])
    if container.format.name in REGULAR_FORMATS:
        return replace(timing, is_vfr=False)
    if "mov" in container.format.name:  # its index tells of every frame
        times = [entry.timestamp for entry in stream.index_entries]
        steps = [later - earlier for earlier, later in pairwise(times)]
        if steps:  # 1 tick: a rate that the clock lacks
            return replace(timing, is_vfr=max(steps) - min(steps) > 1)
    if container.format.flags & TS_DISCONT and timing.is_vfr:
        return replace(timing, is_vfr=None)  # a broadcast may start in the middle of a group
    return timing


def _plausible_rates(stream: VideoStream, head: Sequence[int]) -> list[Fraction]:
    """Frames per second, the likeliest first; the others are near it."""
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    measured = _measured_rate(head, ticks_of(stream))
    usable = [rate for rate in rates if rate and _is_plausible(rate, measured)]
    usable = usable or [measured or USUAL_RATE]
    return [rate for rate in usable if abs(rate / usable[0] - 1) < RATE_ERROR]


def _measured_rate(head: Sequence[int], tick: Fraction) -> Fraction | None:
    """Frames per second over the first times; None where they are too few."""
    if len(head) < 2 or head[-1] <= head[0]:
        return None
    rate = (len(head) - 1) / ((head[-1] - head[0]) * tick)
    whole = Fraction(round(rate))
    return whole if whole and abs(rate / whole - 1) < RATE_ERROR else rate.limit_denominator(1001)


def _is_plausible(rate: Fraction, measured: Fraction | None) -> bool:
    if rate <= USUAL_MAX_RATE:
        return True
    if rate > MAX_RATE or measured is None:
        return False
    return abs(measured / rate - 1) < MEASURED_ERROR
