"""The part of a source that is read, in frames or in times."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from vsr_cli.config import InputConfig
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.timestamps import advance_timecode


@dataclass(frozen=True, kw_only=True)
class Trim:
    """The part of a source to read; times in seconds on the source's clock."""

    start: Fraction | None = None
    stop: Fraction | None = None  # the first time that is left out
    first: int = 0  # frame
    last: int | None = None  # the first frame that is left out

    @property
    def num_frames(self) -> int | None:
        """How many frames are asked for, where they are counted."""
        return None if self.last is None else self.last - self.first


def resolve_trim(config: InputConfig, clock_start: Fraction, untimed_rate: Fraction | None) -> Trim:
    """What is asked for of a source that starts at `clock_start`.

    Args:
        config: the user's choices.
        clock_start: seconds.
        untimed_rate: frames per second of a source that has no times; None: it has.
    """
    start, stop = config.start, config.stop
    if config.duration is not None:
        stop = (start or Fraction(0)) + config.duration
    if untimed_rate is not None and config.frames is None:
        first = 0 if start is None else ceil(start * untimed_rate)
        return Trim(first=first, last=None if stop is None else ceil(stop * untimed_rate))
    first, last = config.frames or (0, None)
    return Trim(
        start=None if start is None else clock_start + start,
        stop=None if stop is None else clock_start + stop,
        first=first,
        last=last,
    )


def trimmed_info(
    info: VideoInfo, trim: Trim, *, begin: Fraction, start: Fraction, stop: Fraction | None
) -> VideoInfo:
    """What is known of the part of a source that is read.

    Args:
        info: of the whole source.
        trim: what is asked for.
        begin: seconds, of the first frame of the source.
        start: seconds, of the first frame of the part.
        stop: seconds, where the part ends; None: where the source ends.
    """
    if trim == Trim():
        return info
    is_late = trim.first > 0 or trim.start is not None
    skipped = trim.first or round((start - begin) * info.rate)
    ends = [end for end in (stop, None if info.duration is None else begin + info.duration) if end]
    left = None if info.num_frames is None else info.num_frames - skipped
    wanted = trim.num_frames if stop is not None else None  # the source may end before
    if trim.num_frames is None and stop is not None:
        wanted = ceil((stop - start) * info.rate)
    is_counted = trim.start is trim.stop is None or info.is_vfr is False
    known = [count for count in (left, wanted) if count is not None]
    timecode = info.timecode
    if timecode is not None and is_late:
        timecode = advance_timecode(timecode, skipped, info.rate)
    edge = min(start, trim.start) if trim.start is not None else start
    return replace(
        info,
        start=edge if is_late else None,
        stop=stop,
        origin=edge if is_late else info.origin,
        num_frames=min(known) if known and is_counted else None,
        duration=min(ends) - (edge if is_late else begin) if ends else None,
        timecode=timecode,
    )


def nth_time(times: Iterator[int], first: int, count: int, reorder: int = 64) -> int | None:
    """The time that comes `count` places after `first` in order of presentation.

    Args:
        times: in the order of decoding, which is never more than `reorder` places off.
        first: the time to count from.
        count: how many places.
        reorder: places.

    Returns:
        None if there are fewer.
    """
    later: list[int] = []
    for time in times:
        if time >= first:
            later.append(time)
        if len(later) > count + reorder:
            break
    later.sort()
    return later[count] if len(later) > count else None
