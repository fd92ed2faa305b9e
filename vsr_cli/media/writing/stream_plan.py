"""What becomes of each stream beside the picture: copied, converted, or left out and said."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream

from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
from vsr_cli.events import Note, Report
from vsr_cli.media.containers import PICTURE_ONLY, TRANSPORT, WITH_CHAPTERS, Container
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.memory import sensible_memory
from vsr_cli.media.open import reason
from vsr_cli.media.side_streams import Heads, SideStreams
from vsr_cli.media.writing.audio import AudioEncoder, name_channels
from vsr_cli.media.writing.metadata import copy_stream_metadata
from vsr_cli.media.writing.stream_trial import refusal

# What sound becomes where it cannot stay as it is.
_FALLBACK = {
    **{"webm": "libopus", "matroska": "flac", "nut": "flac", "avi": "libmp3lame"},
    **{"mp4": "aac", "mov": "aac", "mpegts": "aac"},
}
# Text subtitles: the codec they become, and the filter that rewrites each packet.
_TEXT = {
    **{("mp4", codec): ("mov_text", "text2movsub") for codec in ("subrip", "text", "webvtt")},
    **{("mov", codec): ("mov_text", "text2movsub") for codec in ("subrip", "text", "webvtt")},
    ("matroska", "mov_text"): ("subrip", "mov2textsub"),
    ("webm", "subrip"): ("webvtt", "null"),
    ("webm", "mov_text"): ("webvtt", "mov2textsub"),
}
_FINE = Fraction(1, 1_000_000)  # seconds
_DROPPED = {
    "audio": ("W_AUDIO_DROPPED", "sound"),
    "subtitle": ("W_SUBS_DROPPED", "subtitles"),
    "attachment": ("W_ATTACHMENTS_DROPPED", "attached files"),
    "cover": ("W_COVER_DROPPED", "the cover"),
    "chapters": ("W_CHAPTERS_DROPPED", "chapters"),
}
_DATA = Note(code="W_DATA_DROPPED", text="data streams are not copied")
_VIDEO = Note(
    code="W_VIDEO_DROPPED",
    text="only the main picture is upscaled; other pictures are left out",
)


@dataclass
class PlannedStream:
    """A stream of the source, the one it becomes in the output, and how much of it is written."""

    source: Stream
    output: Stream
    encoder: AudioEncoder | None = None
    bitstream: BitStreamFilterContext | None = None
    # Written so far.
    num_packets: int = 0
    num_bytes: int = 0
    last_dts: int | None = None  # in ticks of the output
    latest: int | None = None  # in ticks of the source, before it was written
    end: Fraction = Fraction(0)  # seconds, of the last packet
    open: "Packet[Stream] | None" = None  # a text that lasts until the next of its stream
    has_endless: bool = False  # whether a subtitle did not know its end
    lost: str | None = None  # why nothing more is written; None: all is well

    @property
    def codec(self) -> str:
        """That of the source, as FFmpeg names it."""
        return _codec_name(self.source)

    @property
    def description(self) -> str:
        """What it is, for people."""
        return name_stream(self.source)

    @property
    def is_text(self) -> bool:
        """Whether text subtitles are written."""
        return self.bitstream is not None or self.codec == "mov_text"

    def convert(self, packet: "Packet[Stream]", origin: Fraction) -> "list[Packet[Stream]]":
        """What is written for a packet of the source, at times less `origin` seconds."""
        if self.encoder:
            return self.encoder.encode(packet, origin)
        shift = round(origin / packet.time_base)
        dts = (packet.dts or 0) - shift
        packet.pts = dts if packet.pts is None else packet.pts - shift
        packet.dts = dts
        return self.bitstream.filter(packet) if self.bitstream else [packet]

    def flush(self, origin: Fraction) -> "list[Packet[Stream]]":
        """What is left in a converter."""
        return self.encoder.flush(origin) if self.encoder else []


@dataclass
class _DroppedStreams:
    """What is not copied as it is, each kind said once."""

    notes: dict[str, Note] = field(default_factory=dict)

    def drop(self, kind: str, what: str, where: str) -> None:
        code, words = _DROPPED[kind]
        text = (
            f"{words} ({what}) cannot be kept in {where}"
            if what
            else (f"{words} cannot be kept in {where}")
        )
        self.add(Note(code=code, text=text))

    def add(self, note: Note) -> None:
        # Tracks of sound are few, and each is worth a word.
        key = note.text if "AUDIO" in note.code else note.code
        self.notes.setdefault(key, note)


class StreamPlanner:
    """Adds to an output everything beside the picture that it can hold and the user wants."""

    def __init__(
        self,
        side_streams: SideStreams,
        output: OutputContainer,
        container: Container,
        info: VideoInfo,
        config: OutputConfig,
    ) -> None:
        """Take both ends; the header of `output` is not yet written."""
        self._side_streams, self._output = side_streams, output
        self._info, self._config = info, config
        self._format, self._name = container.name, container.display_name
        self._supported = output.supported_codecs
        self._dropped = _DroppedStreams()
        self._heads = Heads()
        self.covers: list[tuple[Stream, bytes]] = []  # to be written before anything else

    def add_all(self, report: Report) -> list[PlannedStream]:
        """Add the streams.

        Args:
            report: receives a note of each kind of stream that is left out or converted.

        Raises:
            OutputError: the user wants copies only, or the container does not take a stream that
                it should.
        """
        source = self._side_streams.container
        tried = [s for s in source.streams if s.type in ("audio", "subtitle")]
        if tried and self._format not in PICTURE_ONLY:
            self._heads = self._side_streams.heads(tried)
        planned_streams = list(self._add_each())
        if self._config.chapters and source.chapters() and self._format not in WITH_CHAPTERS:
            self._dropped.drop("chapters", "", self._name)
        notes = list(self._dropped.notes.values())
        if notes and self._config.strict_copy:
            raise OutputError(
                f"not everything can be copied: {notes[0].text}",
                why="`--strict-copy` asks for every stream as it is",
                hint="write to `.mkv`, or leave `--strict-copy` out",
            )
        for note in notes:
            report(note)
        return planned_streams

    def _add_each(self) -> Iterator[PlannedStream]:
        for stream in self._side_streams.beside(self._info.stream_index):
            planned = None
            if isinstance(stream, AudioStream):
                planned = self._add_audio(stream)
            elif stream.type == "subtitle":
                planned = self._add_subtitles(stream)
            elif isinstance(stream, AttachmentStream):
                self._add_attachment(stream)
            elif stream.disposition & Disposition.attached_pic:
                self._add_cover(stream)
            elif stream.type == "video":
                self._dropped.add(_VIDEO)
            elif not self._is_implied(stream):
                self._dropped.add(_DATA)
            if planned:
                yield planned

    def _add_audio(self, stream: AudioStream) -> PlannedStream | None:
        wanted = self._config.audio
        if wanted == "none":
            return None
        name = _codec_name(stream)
        if self._format in PICTURE_ONLY or stream.codec_context is None:
            self._dropped.drop("audio", name, self._name)
            return None
        if self._is_empty(stream):
            text = f"sound (stream {stream.index}, {name}) is left out: it is announced and empty"
            self._dropped.add(Note(code="W_AUDIO_DROPPED", text=text))
            return None
        why = self._refusal(stream) if wanted == "copy" else "another was asked for"
        if why is None:
            return self._copy(stream)
        codec = _FALLBACK[self._format] if wanted == "copy" else wanted
        try:
            with sensible_memory(name):
                encoder = AudioEncoder(self._output, stream, codec)
        except MemoryError:
            raise
        except (ValueError, av.FFmpegError) as error:
            text = (
                f"sound (stream {stream.index}, {name}) is left out: it cannot be written as "
                f"{codec} in {self._name} ({reason(error)})"
            )
            self._dropped.add(Note(code="W_AUDIO_DROPPED", text=text))
            return None
        if wanted == "copy":
            text = f"sound is encoded again as {codec}: {self._name} cannot hold `{name}`{why}"
            self._dropped.add(Note(code="W_AUDIO_ENCODED", text=text))
        if encoder.is_mixed_down:
            count = stream.codec_context.layout.nb_channels
            layout = encoder.stream.codec_context.layout.name
            text = f"{count} channels of sound are mixed to {layout}: {codec} has no more"
            self._dropped.add(Note(code="W_AUDIO_MIXED", text=text))
        self._describe(stream, encoder.stream)
        return PlannedStream(stream, encoder.stream, encoder=encoder)

    def _add_subtitles(self, stream: Stream) -> PlannedStream | None:
        if self._config.subs == "none":
            return None
        name = _codec_name(stream)
        if self._refusal(stream) is None:
            return self._copy(stream)
        if (self._format, name) not in _TEXT:
            self._dropped.drop("subtitle", name, self._name)
            return None
        codec, bitstream = _TEXT[self._format, name]
        new = self._output.add_mux_stream(codec, time_base=stream.time_base)
        self._refine(new)
        text = f"subtitles are rewritten as {codec}: {self._name} cannot hold `{name}`"
        self._dropped.add(Note(code="W_SUBS_CONVERTED", text=text))
        self._describe(stream, new)
        return PlannedStream(stream, new, bitstream=BitStreamFilterContext(bitstream, stream))

    def _add_attachment(self, stream: AttachmentStream) -> None:
        if not self._config.attachments:
            return
        if self._format == "matroska":
            self._output.add_stream_from_template(stream, opaque=True)
        else:
            self._dropped.drop("attachment", stream.metadata.get("filename", ""), self._name)

    def _add_cover(self, stream: Stream) -> None:
        if not self._config.attachments:
            return
        picture = self._side_streams.cover(stream)
        name = _codec_name(stream)
        kind = {"mjpeg": "jpeg", "png": "png"}.get(name)
        if picture is None or kind is None or self._format not in ("matroska", "mp4"):
            self._dropped.drop("cover", name, self._name)
        elif self._format == "matroska":
            file = stream.metadata.get("filename", f"cover.{'jpg' if kind == 'jpeg' else kind}")
            mime = stream.metadata.get("mimetype", f"image/{kind}")
            self._output.add_attachment(file, mime, picture)
        else:
            new = self._output.add_stream_from_template(stream, opaque=True)
            new.disposition = stream.disposition
            self.covers.append((new, picture))

    def _copy(self, stream: Stream) -> PlannedStream:
        new = _add_copy(self._output, stream)
        if _codec_name(stream) == "mov_text":
            self._refine(new)
        self._describe(stream, new)
        return PlannedStream(stream, new)

    def _refine(self, new: Stream) -> None:
        """Give a text of MP4 a fine clock.

        FFmpeg ends a text early if the ticks of its track are coarser than those of another.
        """
        if self._format in ("mp4", "mov"):
            new.time_base = _FINE

    def _describe(self, old: Stream, new: Stream) -> None:
        copy_stream_metadata(old, new, self._output, metadata=self._config.metadata)

    def _is_empty(self, stream: Stream) -> bool:
        return self._heads.is_all and stream.index not in self._heads.packets

    def _refusal(self, stream: Stream) -> str | None:
        """Why a stream cannot be copied, None if it can; empty where every muxer would say so."""
        if stream.codec_context is None or not self._can_hold(stream):
            return ""
        packet = self._heads.packets.get(stream.index)
        why = refusal(self._format, lambda output: _add_copy(output, stream), packet)
        return why and f" ({why})"

    def _can_hold(self, stream: Stream) -> bool:
        if self._format in PICTURE_ONLY or (self._format == "nut" and stream.type == "subtitle"):
            return False  # NUT does not say how long a text is shown
        if self._format == "mpegts":
            return _codec_name(stream) in TRANSPORT
        return stream.codec_context.codec.name in self._supported

    def _is_implied(self, stream: Stream) -> bool:
        """Whether the muxer makes this stream by itself, from chapters or from a time code."""
        if stream.type != "data":
            return False
        has_chapters = bool(self._side_streams.container.chapters())
        return "timecode" in stream.metadata or (has_chapters and stream.codec_tag == "text")


def _add_copy(output: OutputContainer, stream: Stream) -> Stream:
    new = output.add_stream_from_template(stream, opaque=True)
    if isinstance(new, AudioStream):
        name_channels(new.codec_context)
    return new


def name_stream(stream: Stream) -> str:
    """What a stream of the source is, for people."""
    return f"{stream.type} (stream {stream.index}, {_codec_name(stream)})"


def _codec_name(stream: Stream) -> str:
    """The codec as FFmpeg describes it, whatever decodes it."""
    context = stream.codec_context
    return context.codec.canonical_name if context else "unknown"
