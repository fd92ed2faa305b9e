"""Whether a muxer takes a stream: tried, because much of what it refuses only the writing tells."""

import io
from collections.abc import Callable
from fractions import Fraction

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr_cli.media.ffmpeg_log import logged_from
from vsr_cli.media.memory import sensible_memory

_SHY = "mpegts"  # does not tell what it is by one packet
_LONGEST = Fraction(10)  # seconds; what a packet claims beyond that is not what is tried


def refusal(
    format_: str,
    add_stream: Callable[[OutputContainer], Stream],
    packet: "Packet[Stream] | None",
) -> str | None:
    """Why a container of one stream cannot be written in memory; None if it can.

    Args:
        format_: FFmpeg's name of the container.
        add_stream: adds the stream.
        packet: its first, which is changed; None: only the header is tried.
    """
    reason = ""
    with logged_from(av.logging.ERROR) as said:
        try:
            file = io.BytesIO()
            with sensible_memory(format_), av.open(file, "w", format=format_) as output:
                stream = add_stream(output)
                output.start_encoding()
                if packet is not None:
                    output.mux(_at_nought(packet, stream))
            if packet is not None and stream.type == "audio" and format_ != _SHY:
                with sensible_memory(format_):
                    _decode(file)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            reason = str(getattr(error, "strerror", None) or error)
    return (said[0] if said else reason) if reason else None


def _decode(file: io.BytesIO) -> None:
    """Decode what was written: some containers lose what a decoder must know.

    Raises:
        av.FFmpegError: it does not decode.
    """
    file.seek(0)
    with av.open(file, "r") as written:
        for track in written.streams.audio:
            for packet in written.demux(track):
                if packet.size:
                    packet.decode()


def _at_nought(packet: "Packet[Stream]", stream: Stream) -> "Packet[Stream]":
    packet.pts = packet.dts = 0
    longest = int(_LONGEST / packet.time_base) if packet.time_base else 0
    packet.duration = min(max(packet.duration or 0, 0), longest)
    packet.stream = stream
    return packet
