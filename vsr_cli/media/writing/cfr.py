"""Frames at a constant rate, for targets that have no clock or because it was asked for."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil, lcm

from vsr_cli.counting import counted
from vsr_cli.events import Note, Report
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.writing.encoder_plan import EncoderPlan


def to_constant_rate(
    frames: Iterator[Frame], plan: EncoderPlan, info: VideoInfo, report: Report
) -> Iterator[Frame]:
    """Move frames to the nearest times of a constant rate, if the plan demands one.

    Of several frames at one time the nearest is kept; one that is shown for several times lasts
    as long, and the encoder repeats it. Holds one frame.

    Args:
        frames: in order of presentation, with the times of the source.
        plan: tells the rate.
        info: of the source, whose `origin` is the first time.
        report: receives `W_CFR` at the end, with how many frames are repeated and left out.
    """
    if not plan.is_regular:
        yield from frames
        return
    num_repeated = num_dropped = 0
    held: Frame | None = None
    index = error = Fraction(0)
    for frame in frames:
        time = (frame.pts * frame.time_base - info.origin) * plan.rate  # in frames
        nearest = Fraction(ceil(time - Fraction(1, 2)))
        if held is not None and nearest <= index:
            num_dropped += 1
            if abs(time - nearest) < error:
                held, error = frame, abs(time - nearest)
            continue
        if held is not None:
            num_repeated += int(nearest - index) - 1
            yield _move_to(held, index, nearest - index, plan, info)
        held, index, error = frame, nearest, abs(time - nearest)
    if held is not None:
        length = max(1, round(held.duration * held.time_base * plan.rate))
        num_repeated += length - 1
        yield _move_to(held, index, Fraction(length), plan, info)
    if num_repeated or num_dropped:
        text = (
            f"at {float(plan.rate):g} frames per second "
            f"{counted(num_repeated, 'frame is a repeat', 'frames are repeats')} "
            f"and {counted(num_dropped, 'is', 'are')} left out"
        )
        report(Note(code="W_CFR", text=text))


def _move_to(
    frame: Frame, index: Fraction, length: Fraction, plan: EncoderPlan, info: VideoInfo
) -> Frame:
    time_base = Fraction(1, lcm(plan.rate.numerator, info.origin.denominator))
    return replace(
        frame,
        pts=int((info.origin + index / plan.rate) / time_base),
        duration=int(length / plan.rate / time_base),
        time_base=time_base,
    )
