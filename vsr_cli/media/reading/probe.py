"""What a container and its first picture say about a video, and what lies beside the picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from typing import Literal

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsr_cli.config import InputConfig
from vsr_cli.counting import counted
from vsr_cli.errors import InputError
from vsr_cli.media.continuous_clock import TS_DISCONT
from vsr_cli.media.frame import (
    AudioTrack,
    FieldOrder,
    VideoInfo,
    has_alpha,
    layout_of,
    plain_format,
    resolve_color,
)
from vsr_cli.media.hdr import read_hdr, side_data, side_data_kinds
from vsr_cli.media.reading.alpha import has_hidden_alpha
from vsr_cli.media.reading.rates import stream_timing, ticks_of
from vsr_cli.media.reading.statistics import tagged_duration
from vsr_cli.media.timestamps import TIMECODE, TimestampFixer, Timing
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, Range, Siting

LARGEST_SIDE = 16_384  # pixels; no encoder of video writes more
MOST_FRAMES = 10**8  # 38 days at 30 frames a second
LATEST_START = 3600  # seconds; a clock that starts later does not count from the first frame
OPAQUE_CODECS = frozenset({"mjpeg"})  # of CMYK, FFmpeg makes RGB with an alpha that says nothing
CENTERED_CODECS = frozenset({"mjpeg", "mpeg1video"})  # JPEG and MPEG-1 put chroma in the middle
COUNT_TAGS = ("NUMBER_OF_FRAMES", "NUMBER_OF_FRAMES-eng")  # of Matroska

StreamKind = Literal["video", "cover", "audio", "subtitle", "attachment", "data", "unknown"]


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """One stream beside the picture."""

    index: int  # among all streams of the container
    kind: StreamKind
    codec: str | None  # None where FFmpeg does not know it
    language: str | None
    title: str | None  # of an attached file: its name
    is_default: bool


def select_video_stream(container: InputContainer, name: str, number: int | None) -> VideoStream:
    """The stream that is upscaled.

    Args:
        container: opened for reading.
        name: of the source, for messages.
        number: counted from 0 among the pictures, covers included; None: the best one.

    Raises:
        InputError: there is none, or none that can be decoded.
    """
    if number is None:
        stream = container.streams.best("video")
    else:
        pictures = container.streams.video
        if number >= len(pictures):
            raise InputError(
                f"{name} has no video stream {number}",
                why=f"it has {len(pictures)}, counted from 0",
                hint="`vsr probe` lists what there is",
            )
        stream = pictures[number]
    hint = "give a file that has a picture"
    if not isinstance(stream, VideoStream):
        kinds = sorted({stream.type for stream in container.streams})
        raise InputError(
            f"{name} has no video",
            why=f"it holds {' and '.join(kinds)} only" if kinds else "it holds no stream",
            hint=hint,
        )
    if stream.disposition & Disposition.attached_pic and number is None:
        raise InputError(f"{name} has no video", why="its picture is a cover", hint=hint)
    if stream.codec_context is None:
        raise InputError(
            f"the video in {name} cannot be decoded",
            why="its codec is not known here",
            hint="convert it to H.264 or FFV1 first",
        )
    _check_dimensions(stream.codec_context.height, stream.codec_context.width, name)
    return stream


def _check_dimensions(height: int, width: int, name: str) -> None:
    """Refuse a size that no video has, before memory is taken for one frame of it."""
    if max(height, width) > LARGEST_SIDE:
        raise InputError(
            f"the picture of {name} is too large",
            why=f"it is {width}x{height}, and {LARGEST_SIDE} pixels a side are the most",
            hint="the file may be damaged; else crop or shrink it first",
        )


def describe(
    container: InputContainer,
    stream: VideoStream,
    first: VideoFrame,
    head: Sequence[int],
    config: InputConfig,
    name: str,
) -> tuple[VideoInfo, Timing]:
    """Put together what is known before the second picture is decoded.

    Args:
        container: opened for reading.
        stream: the picture.
        first: the first picture of the whole source.
        head: the first times of the picture, in ticks, in order of presentation.
        config: what to believe instead of tags.
        name: of the source, for messages.

    Raises:
        InputError: its colours are of an unknown kind, or it claims an absurd length.
    """
    size = (first.height, first.width)
    tags, asked = read_tags(first, config, name)
    color, reason = resolve_color(tags, first.format.name, size)
    codec = stream.codec_context.codec.canonical_name
    tick = ticks_of(stream)
    timing = stream_timing(container, stream, head, config)
    if stream.duration:
        duration: Fraction | None = stream.duration * tick
    elif (told := tagged_duration(container, stream)) is not None:
        duration = told
    else:
        duration = Fraction(container.duration, av.time_base) if container.duration else None
    return VideoInfo(
        container=container.format.name,
        stream_index=stream.index,
        codec=codec,
        width=first.width,
        height=first.height,
        rate=timing.rate,
        time_base=timing.time_base,
        num_frames=_count_frames(container, stream, name),
        duration=duration,
        origin=_clock_origin(
            container, TimestampFixer(timing).next(first.pts)[0] * timing.time_base
        ),
        start=None,
        stop=None,
        is_vfr=timing.is_vfr,
        timecode=_timecode(container, stream),
        pix_fmt=first.format.name,
        layout=planar_format(first.format.name, codec, config)[1],
        tags=tags,
        color=color,
        color_reason="; ".join(filter(None, (asked, reason))) or None,
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        rotation=first.rotation,
        display_matrix=read_display_matrix(first),
        interlaced=first.interlaced_frame,
        field_order=_field_order(stream, first),
        has_alpha=(has_alpha(first.format.name) and codec not in OPAQUE_CODECS)
        or has_hidden_alpha(stream),
        hdr=read_hdr(first),
        side_data=side_data_kinds(first),
        audio=tuple(
            AudioTrack(
                index=track.index,
                codec=track.codec_context.name if track.codec_context else "unknown",
                sample_rate=track.codec_context.sample_rate if track.codec_context else 0,
                language=track.metadata.get("language"),
            )
            for track in container.streams.audio
        ),
    ), timing


def list_streams(container: InputContainer, picture: int) -> tuple[StreamInfo, ...]:
    """What there is beside the stream of index `picture`."""
    found = []
    for stream in container.streams:
        if stream.index == picture:
            continue
        is_cover = bool(stream.disposition & Disposition.attached_pic)
        tags = stream.metadata
        found.append(
            StreamInfo(
                index=stream.index,
                kind="cover" if is_cover else stream.type,
                codec=stream.codec_context.name if stream.codec_context else None,
                language=tags.get("language"),
                title=tags.get("title") or tags.get("filename"),
                is_default=bool(stream.disposition & Disposition.default),
            )
        )
    return tuple(found)


def read_tags(picture: VideoFrame, config: InputConfig, name: str) -> tuple[ColorTags, str | None]:
    """What a picture says about its colour, and what the user says instead.

    Returns:
        The tags to go by, and which of them are the user's; None: none.

    Raises:
        InputError: its matrix is none of luma and chroma.
    """
    code = 9 if picture.colorspace == 10 else picture.colorspace  # 10: BT.2020, constant luminance
    if code not in set(Matrix) and code != 3 and config.matrix is None:  # 3 is reserved
        raise InputError(
            f"the colours of {name} are coded in a way that is not supported",
            why=f"its matrix has the H.273 code {code}",
            hint="convert it to BT.709 first",
        )
    tags = ColorTags(
        matrix=Matrix(code) if code in set(Matrix) else Matrix.UNSPECIFIED,
        range=Range(picture.color_range),
        primaries=picture.color_primaries,
        transfer=picture.color_trc,
    )
    asked = {
        "matrix": config.matrix,
        "range": config.range,
        "primaries": config.primaries,
        "transfer": config.transfer,
    }
    believed = ColorTags(
        matrix=tags.matrix if config.matrix is None else config.matrix,
        range=tags.range if config.range is None else config.range,
        primaries=tags.primaries if config.primaries is None else config.primaries,
        transfer=tags.transfer if config.transfer is None else config.transfer,
    )
    named = [name for name, value in asked.items() if value is not None]
    return believed, f"colour {' and '.join(named)} as asked for" if named else None


def planar_format(pix_fmt: str, codec: str, config: InputConfig) -> tuple[str, PixelLayout]:
    """The planar format to unpack to, and the layout of what is taken of it."""
    keep_alpha = config.alpha == "auto" and codec not in OPAQUE_CODECS
    target = plain_format(pix_fmt, keep_alpha=keep_alpha)
    layout = layout_of(target)
    if layout is None:
        raise ValueError(f"{target} is not planar")
    siting: Siting = "center" if codec in CENTERED_CODECS else "left"
    return target, replace(layout, siting=siting, has_alpha=layout.has_alpha and keep_alpha)


def _count_frames(container: InputContainer, stream: VideoStream, name: str) -> int | None:
    """Frames, where the container counts them; those before an edit list are not shown.

    Nor are those in bytes that a file has lost; the size of a pipe is not known.
    """
    if stream.frames and "mov" in container.format.name and len(stream.index_entries):
        size = container.size if container.size > 0 else inf
        shown = (entry for entry in stream.index_entries if not entry.is_discard)
        return sum(entry.pos + entry.size <= size for entry in shown)
    tagged = (stream.metadata.get(key, "") for key in COUNT_TAGS)
    count = stream.frames or next((int(tag) for tag in tagged if tag.isdecimal()), None)
    if count is not None and count > MOST_FRAMES:
        raise InputError(
            f"{name} claims to have {counted(count, 'frame')}",
            why=f"{MOST_FRAMES} are the most",
            hint="its header may be damaged; copy it into a new file with another program first",
        )
    return count


def is_image(container: InputContainer) -> bool:
    """Whether a file is a single image."""
    name = container.format.name
    return name == "image2" or name.endswith("_pipe")


def _clock_origin(container: InputContainer, start: Fraction) -> Fraction:
    """The time that the output shall call 0; `start` is that of the first picture, in seconds.

    In a broadcast, whose clock started long before, that is where picture or sound starts; so it is
    in files that start later than anybody waits. In other files it is 0, unless pictures come
    earlier: those would be lost in MP4, where nothing before 0 is shown.
    """
    if not container.format.flags & TS_DISCONT and start <= LATEST_START:
        return min(Fraction(0), start)
    sound = (
        track.start_time * track.time_base
        for track in container.streams.audio
        if track.start_time is not None and track.time_base
    )
    return min((start, *(time for time in sound if start - time <= LATEST_START)))


def _timecode(container: InputContainer, stream: VideoStream) -> str | None:
    """The time code of the first frame; it may be written in any of three places.

    What is called so and is none is as if it were not there.
    """
    holders = [stream.metadata, container.metadata, *(s.metadata for s in container.streams.data)]
    tags = ({key.lower(): value for key, value in holder.items()} for holder in holders)
    found = (tag["timecode"] for tag in tags if "timecode" in tag)
    return next((text for text in found if TIMECODE.fullmatch(text)), None)


def _field_order(stream: VideoStream, first: VideoFrame) -> FieldOrder:
    """Which field is shown first, where the codec tells."""
    orders: dict[int, FieldOrder] = {2: "top", 3: "bottom", 4: "bottom", 5: "top"}
    if first.interlaced_frame:
        return orders.get(stream.codec_context.field_order, "unknown")
    return "progressive"


def read_display_matrix(picture: VideoFrame) -> tuple[int, ...] | None:
    """A display matrix of 16.16 fixed-point numbers, without its scale; None if there is none.

    FFmpeg has put a scale that stretches pixels into the aspect ratio already, and Matroska holds
    no other matrix than a rotation.
    """
    data = side_data(picture, "DISPLAYMATRIX")
    if data is None and picture.rotation:  # known all the same
        angle = np.deg2rad(picture.rotation)
        cos, sin = np.cos(angle) * 65536, np.sin(angle) * 65536
        return tuple(round(n) for n in (cos, -sin, 0, sin, cos, 0, 0, 0, 1 << 30))
    if data is None:
        return None
    matrix = np.frombuffer(data, np.int32).astype(np.float64).reshape(3, 3)
    lengths = np.hypot(matrix[:2, 0], matrix[:2, 1])
    if (np.abs(lengths / 65536 - 1) > 1e-3).any() and lengths.all():
        matrix[:2, :2] *= 65536 / lengths[:, None]
        matrix[2, :2] = 0
    return tuple(int(n) for n in matrix.round().ravel())
