"""Where everything beside the picture comes from: a file read a second time, or a pipe."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from vsr_cli.config import InputConfig
from vsr_cli.media.continuous_clock import ContinuousClock
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.open import EVERYTHING, demux, open_container, seeking
from vsr_cli.media.packets import all_packets

_HEAD_BYTES = 1 << 26  # read to find the first packet of each stream
_EARLIER = Fraction(30)  # seconds; a subtitle may have begun that long before it is still seen


def _no_cover(stream: Stream) -> bytes | None:
    return None


@dataclass(frozen=True)
class Heads:
    """The first packets of streams, as far as was looked for them."""

    packets: "Mapping[int, Packet[Stream]]" = field(default_factory=dict)  # by index of the stream
    is_all: bool = False  # whether the source was read to its end: what is not here is nowhere


@dataclass(frozen=True)
class SideStreams:
    """Streams of a source, without the reading of its picture.

    container: tells of them; nothing is read from it.
    packets: gives those of the streams it is asked for, as they come; None where none is at hand
        yet but more may follow. It ends with the source.
    cover: gives the only packet of a cover; None if it cannot be had.
    is_live: whether packets can be taken only once, as from a pipe.
    heads: looks for the first packets of the streams it is asked for.
    without: indices of streams that are not to be copied.
    """

    container: InputContainer
    packets: "Callable[[Sequence[Stream]], Iterator[Packet[Stream] | None]]"
    cover: Callable[[Stream], bytes | None] = _no_cover
    is_live: bool = False
    heads: "Callable[[Sequence[Stream]], Heads]" = lambda streams: Heads()
    without: frozenset[int] = frozenset()

    def beside(self, picture: int) -> list[Stream]:
        """The streams that may be copied, all but the picture's own."""
        left_out = {picture, *self.without}
        return [stream for stream in self.container.streams if stream.index not in left_out]


def reopen_side_streams(
    container: InputContainer, source: Path, info: VideoInfo, config: InputConfig = EVERYTHING
) -> SideStreams:
    """The streams of a file that is opened a second time, and read as far as they are asked for.

    Args:
        container: the file, as it was opened first; it stays the caller's.
        source: its path.
        info: of it; `start` is where packets are wanted from.
        config: what it was opened with.
    """

    def packets(streams: Sequence[Stream]) -> "Iterator[Packet[Stream] | None]":
        if not streams:
            return
        wanted = {stream.index for stream in streams}
        with open_container(source, config) as again:
            if info.is_continuous and info.start is not None and info.start > _EARLIER:
                with seeking(again):
                    again.seek(int((info.start - _EARLIER) * av.time_base))
            clock = ContinuousClock(again, info.stream_index)
            packets = clock.packets(all_packets(again))  # of all streams, because the picture leads
            yield from (packet for packet in packets if packet.stream_index in wanted)

    def cover(stream: Stream) -> bytes | None:
        with open_container(source, config) as again:
            packet = next(demux(again, again.streams[stream.index]), None)
            return bytes(packet) if packet is not None and packet.size else None

    def heads(streams: Sequence[Stream]) -> Heads:
        found: dict[int, Packet[Stream]] = {}
        wanted, num_bytes = {stream.index for stream in streams}, 0
        with open_container(source, config) as again:
            try:
                for packet in all_packets(again):
                    num_bytes += packet.size
                    if packet.size and packet.stream_index in wanted:
                        found.setdefault(packet.stream_index, packet)
                    if len(found) == len(wanted) or num_bytes > _HEAD_BYTES:
                        return Heads(found)
            except MemoryError:
                raise
            except av.FFmpegError:
                pass  # damaged from here on: nothing more can be had of any of them
        return Heads(found, is_all=True)

    return SideStreams(container, packets, cover, heads=heads)


@contextmanager
def open_side_streams(
    source: Path, info: VideoInfo, config: InputConfig = EVERYTHING
) -> Iterator[SideStreams]:
    """The same for a file that is not open yet.

    Raises:
        InputError: it cannot be opened.
    """
    with open_container(source, config) as container:
        yield reopen_side_streams(container, source, info, config)
