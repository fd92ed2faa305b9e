"""Videos in: what a file holds, and its frames one by one, with the times they have."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vsr_cli.errors import InputError
from vsr_cli.events import Notice, Report
from vsr_cli.media.frame import (
    AudioTrack,
    FieldOrder,
    Frame,
    VideoInfo,
    copy_planes,
    has_alpha,
    layout_of,
    plain_format,
    resolve_color,
)
from vsr_cli.media.hdr import read_hdr
from vsr_cli.media.tally import Tally
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, Range

TS_DISCONT = 0x0200  # FFmpeg's flag of formats whose clock is a broadcaster's
MAX_RATE = 240  # frames per second; containers that claim more mean their clock
CENTERED_CODECS = frozenset({"mjpeg", "mpeg1video"})  # JPEG and MPEG-1 put chroma in the middle

_log = logging.getLogger(__name__)


@contextmanager
def open_source(source: Path) -> Iterator[InputContainer]:
    """Open a local file for reading; nothing on a network is ever reached from it.

    Raises:
        InputError: there is no such file, or it is not one that can hold a video.
    """
    hint = "give a video file such as `.mp4`, `.mkv`, `.mov`, `.avi`, `.ts` or `.webm`"
    try:
        if not source.exists():
            raise InputError(f"`{source}` does not exist", hint="check the path")
        if source.is_dir():
            raise InputError(f"`{source}` is a folder", hint=hint)
        if not source.is_file():  # a named pipe would block, and can be read only once
            raise InputError(f"`{source}` is not a regular file", hint=hint)
        if source.stat().st_size == 0:
            raise InputError(f"`{source}` is empty", why="it has 0 bytes", hint="copy it again")
    except OSError as error:  # a name too long, a folder that may not be entered
        raise InputError(
            f"`{source}` cannot be read", why=error.strerror, hint="check the path"
        ) from error
    try:
        # `file:` because FFmpeg takes a name with a colon for an address.
        container = av.open(
            f"file:{source}", "r", options={"protocol_whitelist": "file,crypto,data"}
        )
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"`{source}` cannot be read as a video", why=_reason(error), hint=hint
        ) from error
    with container:
        if container.format.name == "tty":  # FFmpeg would paint plain text
            raise InputError(f"`{source}` cannot be read as a video", why="it is text", hint=hint)
        yield container


def probe(source: Path) -> VideoInfo:
    """Find out what `source` holds, from its header and its first frame.

    Raises:
        InputError: it is missing, unreadable, has no picture, or one of an unknown kind.
    """
    with open_source(source) as container:
        stream = _find_picture(container, source)
        first = next(_decode(container, stream, Tally(_time_base(stream))), None)
        if first is None:
            raise InputError(
                f"`{source}` has no picture that can be decoded",
                why=f"its `{stream.codec_context.name}` stream gave no frame",
                hint="the file may be cut off or encrypted; try another copy",
            )
        return _describe(container, stream, first, source)


def read_frames(source: Path, info: VideoInfo, *, report: Report) -> Iterator[Frame]:
    """Decode `source` frame by frame, in order of presentation.

    Holds one frame at a time. Times strictly increase; a time that is missing, or not later than
    the one before, is moved and said. What is damaged or missing is said after the last frame.

    Args:
        source: a local file.
        info: what `probe` found in it.
        report: hears `W_INPUT_DAMAGED`, `W_INPUT_TRUNCATED`, `W_TIMES_MENDED` and
            `W_ALPHA_DROPPED`.

    Raises:
        InputError: the file cannot be opened, or its picture changes size.
    """
    unpack = _Unpacker(source, info)
    tally = Tally(info.time_base)
    with open_source(source) as container:
        stream = container.streams[info.stream_index]
        if not isinstance(stream, VideoStream):
            raise InputError(f"`{source}` has changed since it was probed", hint="start again")
        if info.has_alpha:
            report(Notice(code="W_ALPHA_DROPPED", text="the transparency of the source is dropped"))
        step = max(1, round(1 / (info.rate * info.time_base)))
        last_pts: int | None = None
        for picture in _decode(container, stream, tally):
            if (picture.height, picture.width) != (info.height, info.width):
                raise InputError(
                    f"the picture of `{source}` changes size",
                    why=f"{info.width}x{info.height} until frame {tally.num_frames - 1}, then "
                    f"{picture.width}x{picture.height}",
                    hint="cut the file there and upscale the parts",
                )
            pts = picture.pts
            if pts is None or (last_pts is not None and pts <= last_pts):
                tally.num_mended += 1
                pts = 0 if last_pts is None else last_pts + (step if picture.pts is None else 1)
            last_pts = pts
            yield unpack(picture, pts)
        tally.report_losses(container, stream, report)


def _find_picture(container: InputContainer, source: Path) -> VideoStream:
    stream = container.streams.best("video")
    hint = "give a file that has a picture"
    if not isinstance(stream, VideoStream):
        kinds = sorted({stream.type for stream in container.streams})
        raise InputError(
            f"`{source}` has no video",
            why=f"it holds {' and '.join(kinds)} only" if kinds else "it holds no stream",
            hint=hint,
        )
    if stream.disposition & Disposition.attached_pic:
        raise InputError(f"`{source}` has no video", why="its picture is a cover", hint=hint)
    if stream.codec_context is None:
        raise InputError(
            f"the video in `{source}` cannot be decoded",
            why="its codec is not known here",
            hint="convert it to H.264 or FFV1 first",
        )
    return stream


def _decode(container: InputContainer, stream: VideoStream, tally: Tally) -> Iterator[VideoFrame]:
    """Frames of `stream`; packets that do not decode are counted and left out."""
    packets = container.demux()
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            _log.debug("reading stopped: %s", error)
            tally.is_broken = True
            return
        is_picture = packet.stream_index == stream.index
        tally.see(packet, is_picture=is_picture)
        if not is_picture:
            continue
        try:
            pictures = stream.decode(packet if packet.size else None)
        except (av.FFmpegError, EOFError) as error:
            if packet.size:
                _log.debug("packet %d: %s", tally.num_packets, error)
                tally.num_damaged += 1
            continue
        for picture in pictures:
            tally.num_frames += 1
            tally.num_damaged += picture.is_corrupt
            yield picture


def _describe(
    container: InputContainer, stream: VideoStream, first: VideoFrame, source: Path
) -> VideoInfo:
    size = (first.height, first.width)
    tags = _read_tags(first, source)
    color, reason = resolve_color(tags, first.format.name, size)
    matrix = first.side_data.get("DISPLAYMATRIX")
    codec = stream.codec_context.codec.canonical_name
    time_base = _time_base(stream)
    if stream.duration:
        duration: Fraction | None = stream.duration * time_base
    else:
        duration = Fraction(container.duration, av.time_base) if container.duration else None
    return VideoInfo(
        container=container.format.name,
        stream_index=stream.index,
        codec=codec,
        width=first.width,
        height=first.height,
        rate=_plausible_rate(stream),
        time_base=time_base,
        num_frames=stream.frames or None,
        duration=duration,
        origin=_clock_origin(container, stream, first),
        start=None,
        stop=None,
        is_vfr=_is_vfr(container, stream),
        timecode=_timecode(container, stream),
        pix_fmt=first.format.name,
        layout=_layout(first.format.name, codec),
        tags=tags,
        color=color,
        color_reason=reason,
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        rotation=first.rotation,
        display_matrix=_read_matrix(matrix) if isinstance(matrix, SideData) else None,
        interlaced=first.interlaced_frame,
        field_order=_field_order(stream, first),
        has_alpha=has_alpha(first.format.name) or stream.metadata.get("alpha_mode") == "1",
        hdr=read_hdr(first),
        audio=tuple(
            AudioTrack(
                index=track.index,
                codec=track.codec_context.name if track.codec_context else "unknown",
                sample_rate=track.codec_context.sample_rate if track.codec_context else 0,
                language=track.metadata.get("language"),
            )
            for track in container.streams.audio
        ),
    )


def _read_tags(picture: VideoFrame, source: Path) -> ColorTags:
    code = 9 if picture.colorspace == 10 else picture.colorspace  # 10: BT.2020, constant luminance
    if code not in set(Matrix) and code != 3:  # 3 is reserved
        raise InputError(
            f"the colours of `{source}` are coded in a way that is not supported",
            why=f"its matrix has the H.273 code {code}",
            hint="convert it to BT.709 first",
        )
    return ColorTags(
        matrix=Matrix.UNSPECIFIED if code == 3 else Matrix(code),
        range=Range(picture.color_range),
        primaries=picture.color_primaries,
        transfer=picture.color_trc,
    )


def _layout(pix_fmt: str, codec: str) -> PixelLayout:
    layout = layout_of(plain_format(pix_fmt))
    if layout is None:
        raise ValueError(f"{plain_format(pix_fmt)} is not planar")
    return replace(layout, siting="center") if codec in CENTERED_CODECS else layout


def _read_matrix(data: SideData) -> tuple[int, ...]:
    """A display matrix of 16.16 fixed-point numbers, without its scale.

    FFmpeg has put a scale that stretches pixels into the aspect ratio already, and Matroska holds
    no other matrix than a rotation.
    """
    matrix = np.frombuffer(bytes(data), np.int32).astype(np.float64).reshape(3, 3)
    lengths = np.hypot(matrix[:2, 0], matrix[:2, 1])
    if (np.abs(lengths / 65536 - 1) > 1e-3).any() and lengths.all():
        matrix[:2, :2] *= 65536 / lengths[:, None]
        matrix[2, :2] = 0
    return tuple(int(n) for n in matrix.round().ravel())


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, av.time_base)


def _plausible_rate(stream: VideoStream) -> Fraction:
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return next((rate for rate in rates if rate and rate <= MAX_RATE), Fraction(25))


def _is_vfr(container: InputContainer, stream: VideoStream) -> bool | None:
    """Whether frames last differently long, where the header tells; it does so in MP4 alone."""
    if "mov" not in container.format.name:
        return None
    times = [entry.timestamp for entry in stream.index_entries]
    steps = [later - earlier for earlier, later in pairwise(times)]
    return max(steps) - min(steps) > 1 if steps else None  # 1 tick: a rate that the clock lacks


def _timecode(container: InputContainer, stream: VideoStream) -> str | None:
    """The time code of the first frame; it may be written in any of three places."""
    holders = [stream.metadata, container.metadata, *(s.metadata for s in container.streams.data)]
    return next((h["timecode"] for h in holders if "timecode" in h), None)


def _field_order(stream: VideoStream, first: VideoFrame) -> FieldOrder:
    """Which field is shown first, where the codec tells."""
    orders: dict[int, FieldOrder] = {2: "top", 3: "bottom", 4: "bottom", 5: "top"}
    if first.interlaced_frame:
        return orders.get(stream.codec_context.field_order, "unknown")
    return "progressive"


def _clock_origin(container: InputContainer, stream: VideoStream, first: VideoFrame) -> Fraction:
    """The time that the output shall call 0.

    In a broadcast, whose clock started long before, that is where picture or sound starts. In
    other files it is 0, unless pictures come earlier: those would be lost in MP4, where nothing
    before 0 is shown.
    """
    start = (first.pts or 0) * _time_base(stream)
    if not container.format.flags & TS_DISCONT:
        return min(Fraction(0), start)
    sound = (
        track.start_time * track.time_base
        for track in container.streams.audio
        if track.start_time is not None and track.time_base
    )
    return min((start, *sound))


class _Unpacker:
    """Turns decoded pictures into frames that own their samples."""

    def __init__(self, source: Path, info: VideoInfo) -> None:
        self._source, self._info = source, info
        self._reformatter = VideoReformatter()  # one for all: each holds megabytes

    def __call__(self, picture: VideoFrame, pts: int) -> Frame:
        name = picture.format.name
        tags = _read_tags(picture, self._source)
        if (tags, name) == (self._info.tags, self._info.pix_fmt):
            color = self._info.color
        else:
            color, _ = resolve_color(tags, name, (picture.height, picture.width))
        target = plain_format(name)
        if any(plane.line_size < 0 for plane in picture.planes) and target == name:
            raise InputError(
                f"the picture of `{self._source}` is stored upside down",
                hint="convert it to H.264 or FFV1 first",
            )
        duration, time_base = picture.duration or 0, picture.time_base or self._info.time_base
        if target != name:
            picture = self._reformatter.reformat(picture, format=target)
        layout = _layout(target, self._info.codec)
        return Frame(
            planes=copy_planes(picture, layout),
            layout=layout,
            color=color,
            pts=pts,
            duration=duration,
            time_base=time_base,
            interlaced=picture.interlaced_frame,
        )


def _reason(error: Exception) -> str:
    if isinstance(error, av.FFmpegError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error)
