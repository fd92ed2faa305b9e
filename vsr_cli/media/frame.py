"""What a video is made of: frames with exact times, and what the container says about them."""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal, cast

import av
import numpy as np
from av.codec.codec import find_best_pix_fmt_of_list
from av.video.frame import VideoFrame

from vsr_cli.media.hdr import HdrMetadata
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, Range, is_hd

FieldOrder = Literal["progressive", "top", "bottom", "unknown"]  # the field that is shown first

Plane = np.ndarray[tuple[int, int], np.dtype[np.uint8 | np.uint16]]

# Formats that others are unpacked to; FFmpeg does that without touching a sample.
_PLAIN_FORMATS = (
    *("gray", "gray10le", "gray12le", "gray14le", "gray16le"),
    *("yuv410p", "yuv411p", "yuv440p"),
    *(f"yuv{s}p{depth}" for s in (420, 422, 444) for depth in ("", "10le", "12le", "14le", "16le")),
    *("gbrp", "gbrp10le", "gbrp12le", "gbrp14le", "gbrp16le"),
)
_PLAIN_ALPHA_FORMATS = (
    *("yuva444p", "yuva444p10le", "yuva444p12le", "yuva444p16le"),
    *("gbrap", "gbrap10le", "gbrap12le", "gbrap14le", "gbrap16le"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture as it was, or will be, coded."""

    planes: tuple[Plane, ...]  # uint8 or uint16, (H, W) each, unpadded; R, G, B; alpha is last
    layout: PixelLayout
    color: ColorTags  # resolved
    pts: int  # presentation time in units of `time_base`
    duration: int  # in units of `time_base`; 0 if the stream does not say
    time_base: Fraction  # seconds
    interlaced: bool = False
    is_damaged: bool = False  # lost, and the one before stands in for it; or decoded with holes

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.planes[0].shape
        return height, width

    def with_planes(
        self, planes: tuple[Plane, ...], layout: PixelLayout, color: ColorTags
    ) -> "Frame":
        """Replace the samples, with their layout and colour; the times stay."""
        return replace(self, planes=planes, layout=layout, color=color)


@dataclass(frozen=True, kw_only=True)
class AudioTrack:
    """What there is to hear, in one stream."""

    index: int  # among all streams of the container
    codec: str
    sample_rate: int  # Hz, 0 if unknown
    language: str | None


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a source holds, as far as its header and first frame tell."""

    container: str  # FFmpeg's names of the format, separated by commas
    stream_index: int  # of the picture, among all streams
    codec: str
    width: int
    height: int
    rate: Fraction  # average frames per second
    time_base: Fraction  # seconds per tick of the picture's times
    num_frames: int | None  # None where the container does not count them
    duration: Fraction | None  # seconds, of the picture where known, else of the container
    origin: Fraction  # seconds to take off every time; not 0 in broadcasts, whose clock never stops
    # The part that is read, in seconds on the source's clock; None: from its start, to its end.
    start: Fraction | None
    stop: Fraction | None
    is_vfr: bool | None  # whether frames last differently long; None where nothing tells
    is_continuous: bool = True  # whether times lead to places in the file: its clock never jumps
    timecode: str | None  # of the first frame, as HH:MM:SS:FF
    pix_fmt: str
    layout: PixelLayout
    tags: ColorTags  # as written in the stream
    color: ColorTags  # `tags` with every gap filled that decoding needs
    color_reason: str | None  # how gaps were filled; None: there were none
    sample_aspect_ratio: Fraction  # width to height of one pixel
    rotation: int  # degrees counter-clockwise a player turns the picture
    display_matrix: tuple[int, ...] | None  # 9 numbers, as in ISO/IEC 14496-12, 8.5.2
    interlaced: bool
    field_order: FieldOrder
    has_alpha: bool
    hdr: HdrMetadata | None
    side_data: frozenset[str]  # kinds of what came with the first picture, as FFmpeg names them
    audio: tuple[AudioTrack, ...]


@lru_cache
def layout_of(pix_fmt: str) -> PixelLayout | None:
    """The layout of a planar format as PyAV names it; None for every other format."""
    fmt = av.VideoFormat(pix_fmt, 16, 16)
    parts = [part for part in fmt.components if not part.is_alpha]
    if not parts:  # in the memory of some device
        return None
    depth = parts[0].bits
    shared = len({part.plane for part in parts}) < len(parts) or len(parts) == 2
    if fmt.has_palette or fmt.is_big_endian or (not fmt.is_planar and len(parts) > 1) or shared:
        return None
    if not 8 <= depth <= 16 or "f16" in pix_fmt or "msb" in pix_fmt or "bayer" in pix_fmt:
        return None  # floats and samples that do not start at bit 0
    if len(parts) == 1:
        is_plain = len(fmt.components) == 1
        return PixelLayout(kind="gray", depth=depth) if is_plain else None
    return PixelLayout(
        kind="rgb" if fmt.is_rgb else "yuv",
        depth=depth,
        shift_x=(16 // parts[1].width).bit_length() - 1,
        shift_y=(16 // parts[1].height).bit_length() - 1,
        has_alpha=has_alpha(pix_fmt),
    )


@lru_cache
def plain_format(pix_fmt: str, *, keep_alpha: bool = True) -> str:
    """The planar format that holds every sample of `pix_fmt`; alpha only if it is kept."""
    if layout_of(pix_fmt):
        return pix_fmt
    if keep_alpha and has_alpha(pix_fmt):
        best, _ = find_best_pix_fmt_of_list(_PLAIN_ALPHA_FORMATS, pix_fmt, has_alpha=True)
        return best.name if best else "gbrap16le"
    best, _ = find_best_pix_fmt_of_list(_PLAIN_FORMATS, pix_fmt)
    return best.name if best else "gbrp"


@lru_cache
def has_alpha(pix_fmt: str) -> bool:
    return any(part.is_alpha for part in av.VideoFormat(pix_fmt).components)


def resolve_color(
    tags: ColorTags, pix_fmt: str, size: tuple[int, int]
) -> tuple[ColorTags, str | None]:
    """Fill the gaps in `tags`, by the primaries where given, else by the size.

    HD is BT.709; 480 and 486 lines are BT.601 of the 525-line systems, 576 lines that of the
    625-line ones; any other small picture is BT.601.

    Args:
        tags: as read.
        pix_fmt: the format as decoded; `yuvj` and gray are full range unless tagged.
        size: (height, width) in pixels.

    Returns:
        The tags with matrix and range known, and which rule was used, None if none was.
    """
    fmt = av.VideoFormat(pix_fmt)
    is_gray = len([part for part in fmt.components if not part.is_alpha]) == 1
    is_rgb = fmt.is_rgb or fmt.has_palette
    matrix, range_ = tags.matrix, tags.range
    primaries, transfer = tags.primaries, tags.transfer
    if range_ == Range.UNSPECIFIED:
        is_full = is_rgb or (is_gray and not fmt.has_palette) or pix_fmt.startswith("yuvj")
        range_ = Range.FULL if is_full else Range.LIMITED
    reason = None
    if is_rgb:
        matrix = Matrix.RGB
    elif matrix in (Matrix.UNSPECIFIED, Matrix.RGB):
        matrix, reason = _guess_matrix(primaries, size)
        if primaries == transfer == 2 and matrix != Matrix.BT2020:
            primaries = matrix.value
            transfer = Matrix.BT709.value if matrix == Matrix.BT709 else Matrix.BT601_525.value
    color = ColorTags(matrix=matrix, range=range_, primaries=primaries, transfer=transfer)
    return color, reason


def _guess_matrix(primaries: int, size: tuple[int, int]) -> tuple[Matrix, str]:
    height, width = size
    by_primaries = {
        1: Matrix.BT709,
        5: Matrix.BT601_625,
        6: Matrix.BT601_525,
        7: Matrix.SMPTE240M,
        9: Matrix.BT2020,
    }
    if primaries in by_primaries:
        matrix = by_primaries[primaries]
        return matrix, f"no colour matrix in the source: {matrix.name} by its primaries"
    if is_hd(height, width):
        return Matrix.BT709, f"untagged source: BT.709, because {width}x{height} is HD"
    if height == 576:
        return Matrix.BT601_625, "untagged source: BT.601 (625 lines), because of its 576 lines"
    if height in (480, 486):
        return Matrix.BT601_525, f"untagged source: BT.601 (525 lines), because of {height} lines"
    return Matrix.BT601_525, f"untagged source: BT.601, because {width}x{height} is SD"


def copy_planes(picture: VideoFrame, layout: PixelLayout) -> tuple[Plane, ...]:
    """The samples of a decoded picture in the order of `Frame.planes`, without padding."""
    planes = _lines(picture, layout)
    return tuple(plane.copy() for plane in planes)


def fill_planes(picture: VideoFrame, frame: Frame) -> None:
    """Write the samples of `frame` into a picture of the same size and layout."""
    for lines, plane in zip(_lines(picture, frame.layout), frame.planes, strict=True):
        lines[:] = plane


def _lines(picture: VideoFrame, layout: PixelLayout) -> list[Plane]:
    """Views of a picture's memory, one per plane."""
    order = (2, 0, 1, 3) if layout.kind == "rgb" else (0, 1, 2, 3)  # FFmpeg stores G, B, R
    shapes = layout.plane_shapes(picture.height, picture.width)
    views = []
    for index, (height, width) in zip(order, shapes, strict=False):
        plane = picture.planes[index]
        dtype = np.uint8 if layout.depth == 8 else np.uint16
        samples = np.frombuffer(memoryview(plane), dtype)
        stride = plane.line_size // samples.itemsize
        views.append(cast(Plane, samples.reshape(-1, stride)[:height, :width]))
    return views
