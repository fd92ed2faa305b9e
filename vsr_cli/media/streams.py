"""Everything in a file that is not the picture: sound and chapters, copied without a change."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr_cli.errors import OutputError
from vsr_cli.events import Notice, Report
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.source import open_source

# Written by each muxer anew, or true of the old picture only.
_STALE_KEYS = frozenset(
    {
        *("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id"),
        *("alpha_mode", "bps", "number_of_frames", "number_of_bytes", "handler_name"),
        *("_statistics_tags", "_statistics_writing_app", "_statistics_writing_date_utc"),
    }
)
# QuickTime numbers its languages, and FFmpeg knows these by another of their names only.
_MOV_LANGUAGES = {
    **{"deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi"},
    "fre": "fra",
}
_DROPPED = {
    "subtitle": ("W_SUBS_DROPPED", "subtitles are not copied"),
    "attachment": ("W_ATTACHMENTS_DROPPED", "attached files are not copied"),
    "data": ("W_DATA_DROPPED", "data streams are not copied"),
    "unknown": ("W_DATA_DROPPED", "data streams are not copied"),
    "video": ("W_VIDEO_DROPPED", "only the main picture is upscaled; other pictures are left out"),
}


@dataclass(frozen=True)
class OtherStreams:
    """Where everything beside the picture comes from.

    packets: gives those of the streams it is asked for, as they come; None where none is at hand
        yet but more may follow. It ends with the source.
    """

    container: InputContainer
    packets: "Callable[[Sequence[Stream]], Iterator[Packet[Stream] | None]]"


@contextmanager
def open_other_streams(source: Path) -> Iterator[OtherStreams]:
    """Read a file a second time, only as far as its packets are asked for.

    Raises:
        InputError: it cannot be opened.
    """
    with open_source(source) as container:
        yield OtherStreams(container, lambda streams: container.demux(list(streams)))


class StreamCopier:
    """Copies the sound of a source into a container, in step with the picture.

    Packets are taken only as far as the picture has come, so that memory does not grow with the
    length of the video.
    """

    def __init__(self, others: OtherStreams, output: OutputContainer, info: VideoInfo) -> None:
        """Take both ends, which stay the caller's to close.

        Args:
            others: nothing read from it yet.
            output: its header not yet written.
            info: of the source.
        """
        self._others = others
        self._output = output
        self._origin = info.origin
        self._copies: dict[int, Stream] = {}
        self._last_dts: dict[int, int] = {}
        self._packets: Iterator[Packet[Stream] | None] = iter(())
        self._next: Packet[Stream] | None = None
        # Copied, by the stream's place in the output.
        self.num_packets: Counter[int] = Counter()
        self.num_bytes: Counter[int] = Counter()

    def add_audio(self) -> None:
        """Add every sound track to the output.

        Raises:
            OutputError: the output's container cannot hold one of them.
        """
        for track in self._others.container.streams.audio:
            try:
                copy = self._output.add_stream_from_template(track, opaque=True)
            except (ValueError, av.FFmpegError) as error:
                name = track.codec_context.name if track.codec_context else "unknown"
                raise OutputError(
                    f"the output cannot hold the sound of the source (`{name}`)",
                    why=f"`{self._output.format.name}` has no place for it",
                    hint="write to `.mkv`, or leave the sound out with `--audio none`",
                ) from error
            copy.metadata.update(live_metadata(track.metadata))
            language = track.metadata.get("language", "")
            if self._output.format.name == "mov" and language in _MOV_LANGUAGES:
                copy.metadata["language"] = _MOV_LANGUAGES[language]
            copy.disposition = track.disposition
            self._copies[track.index] = copy

    def start(self) -> None:
        """Begin to take packets; the header is written by now."""
        if self._copies:
            streams = self._others.container.streams
            self._packets = self._others.packets([streams[index] for index in self._copies])

    def copy_until(self, time: Fraction | None) -> None:
        """Copy what is due before `time`, in seconds of the output; None: all that is left."""
        while (packet := self._take()) is not None:
            if packet.size and packet.dts is not None:
                due = packet.dts * packet.time_base - self._origin
                if time is not None and due > time:
                    self._next = packet
                    return
                self._copy(packet)

    def _take(self) -> "Packet[Stream] | None":
        """The next packet; None if there is none, or none yet."""
        packet, self._next = self._next, None
        if packet is not None:
            return packet
        try:
            return next(self._packets, None)
        except av.FFmpegError:  # cut off here; the reader of the picture says so
            self._packets = iter(())
            return None

    def _copy(self, packet: "Packet[Stream]") -> None:
        copy = self._copies[packet.stream_index]
        shift = round(self._origin / packet.time_base)
        dts = (packet.dts or 0) - shift
        pts = dts if packet.pts is None else packet.pts - shift
        # Damaged broadcasts step back in time, which no container accepts.
        earliest = self._last_dts.get(copy.index, dts - 1) + 1
        packet.dts = self._last_dts[copy.index] = max(dts, earliest)
        packet.pts = max(pts, packet.dts) if dts < earliest else pts
        packet.stream = copy
        self.num_packets[copy.index] += 1
        self.num_bytes[copy.index] += packet.size
        self._output.mux(packet)


def copy_metadata(source: InputContainer, info: VideoInfo, output: OutputContainer) -> None:
    """Copy title, date, chapters and the like of the file as a whole."""
    output.metadata.update(live_metadata(source.metadata))
    chapters = source.chapters()
    if chapters and not info.origin:
        output.set_chapters(chapters)


def report_dropped(source: InputContainer, info: VideoInfo, report: Report) -> None:
    """Say once for each kind of stream that it is not copied."""
    said = set()
    for stream in source.streams:
        if stream.index == info.stream_index or _is_implied(stream, source):
            continue
        code, text = _DROPPED.get(stream.type, ("", ""))
        if code and code not in said:
            said.add(code)
            report(Notice(code=code, text=text))


def live_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The entries that are still true of a copy."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower().split("-")[0] not in _STALE_KEYS
    }


def _is_implied(stream: Stream, source: InputContainer) -> bool:
    """Whether the muxer makes this stream by itself, from chapters or from a time code."""
    if stream.type != "data":
        return False
    return "timecode" in stream.metadata or bool(source.chapters() and stream.codec_tag == "text")
