"""Everything in a file that is not the picture: sound and chapters, copied without a change."""

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr_cli.errors import OutputError
from vsr_cli.events import Notice, Report
from vsr_cli.media.frame import VideoInfo

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


class StreamCopier:
    """Copies the sound of a source into a container, in step with the picture.

    The source is read a second time, only as far as the picture has come, so that memory does not
    grow with the length of the video.
    """

    def __init__(self, source: InputContainer, output: OutputContainer, origin: Fraction) -> None:
        """Take both containers, which stay the caller's to close.

        Args:
            source: opened anew, nothing read from it yet.
            output: its header not yet written.
            origin: seconds to take off every time.
        """
        self._source = source
        self._output = output
        self._origin = origin
        self._copies: dict[int, AudioStream] = {}
        self._last_dts: dict[int, int] = {}
        self._packets: Iterator[Packet[AudioStream]] = iter(())
        self._next: Packet[AudioStream] | None = None
        # Copied, by the stream's place in the output.
        self.num_packets: Counter[int] = Counter()
        self.num_bytes: Counter[int] = Counter()

    def add_audio(self) -> None:
        """Add every sound track to the output.

        Raises:
            OutputError: the output's container cannot hold one of them.
        """
        tracks = self._source.streams.audio
        for track in tracks:
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
        if tracks:
            self._packets = self._source.demux(tracks)
            self._advance()

    def copy_until(self, time: Fraction | None) -> None:
        """Copy what is due before `time`, in seconds of the output; None: all that is left."""
        while self._next is not None:
            packet = self._next
            if packet.size and packet.dts is not None:
                due = packet.dts * packet.time_base - self._origin
                if time is not None and due > time:
                    return
                self._copy(packet)
            self._advance()

    def _advance(self) -> None:
        try:
            self._next = next(self._packets, None)
        except av.FFmpegError:  # cut off here; the reader of the picture says so
            self._next = None

    def is_all_in(self, num_packets: Counter[int], num_bytes: Counter[int]) -> bool:
        """Whether what was read back, by place in the output, is all that was copied.

        One of the two may differ: containers cut PCM into packets of their own, and a bit-stream
        filter takes headers off packets that the container does without.
        """
        return all(
            num_packets[place] == count or num_bytes[place] == self.num_bytes[place]
            for place, count in self.num_packets.items()
        )

    def _copy(self, packet: "Packet[AudioStream]") -> None:
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
