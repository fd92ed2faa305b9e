"""Which pictures a source has, told by its packets alone: none of them is decoded."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from vsr_cli.media.reading.trim import Trim
from vsr_cli.media.timestamps import TimestampFixer, Timing

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream


class NoIndexError(Exception):
    """What a source holds cannot be told for certain but by reading all of it in its order."""


@dataclass(frozen=True)
class PictureIndex:
    """What packets announce; whether that is what comes is for the reader to check.

    times: of all frames, in units of `VideoInfo.time_base`, in order of presentation.
    entries: indices of the frames that decoding can begin with: key frames that are shown after all
        that was coded before them.
    """

    times: tuple[int, ...]
    entries: tuple[int, ...]


def index_pictures(
    packets: "Iterable[Packet[Stream]]", timing: Timing, begin: Fraction, trim: Trim
) -> PictureIndex:
    """Make an index of the packets of one stream.

    Args:
        packets: of the picture, in the order of the file.
        timing: how times are counted.
        begin: seconds; pictures before that are left out.
        trim: tells where the part that is read ends.

    Raises:
        NoIndexError: pictures may be others, or have other times, than packets say.
    """
    ticks, keys, latest = list[int](), list[int](), None
    for packet in packets:
        if not packet.size or packet.is_discard:
            continue
        if packet.pts is None:
            raise NoIndexError("a packet has no time of presentation")
        if packet.is_corrupt:
            raise NoIndexError("a packet is damaged")
        if packet.is_keyframe and (latest is None or packet.pts > latest):
            keys.append(packet.pts)
        latest = packet.pts if latest is None else max(latest, packet.pts)
        ticks.append(packet.pts)
    ticks.sort()
    first = bisect_left(ticks, begin / timing.tick)
    last = len(ticks) if trim.stop is None else bisect_left(ticks, trim.stop / timing.tick)
    last = last if trim.num_frames is None else min(last, first + trim.num_frames)
    fixer = TimestampFixer(timing)
    times = tuple(fixer.next(time)[0] for time in ticks[first:last])
    if fixer.num_fixed_timestamps or not fixer.is_as_at_first:
        raise NoIndexError("times of frames are not as regular as at the start, or repeat")
    places = (bisect_left(ticks, key) - first for key in keys)
    return PictureIndex(times, tuple(place for place in places if 0 < place < len(times)))
