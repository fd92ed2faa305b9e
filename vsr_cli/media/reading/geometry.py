"""Pictures cut, turned and scaled before anything else sees them, so that all have one shape."""

import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.filter import Graph
from av.video.frame import VideoFrame
from PIL import Image

from vsr_cli.events import Note, Report
from vsr_cli.media.reading.probe import read_display_matrix

_ORIENTATION = 0x0112  # a tag of EXIF
_TURNS: "Mapping[int, Sequence[tuple[str, str]]]" = {
    1: (),
    2: (("hflip", ""),),
    3: (("hflip", ""), ("vflip", "")),
    4: (("vflip", ""),),
    5: (("transpose", "cclock_flip"),),
    6: (("transpose", "clock"),),
    7: (("transpose", "clock_flip"),),
    8: (("transpose", "cclock"),),
}
FIRST_ON_SIDE = 5  # orientations from there on change width and height
_SAME_SHAPE = Fraction(1, 50)  # of an aspect ratio, up to which a picture is stretched


@dataclass(frozen=True)
class Crop:
    """How many pixels at each edge of a decoded picture are not meant to be seen."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    def filters(self) -> "list[tuple[str, str]]":
        """FFmpeg's filters that take them away."""
        width, height = f"iw-{self.left + self.right}", f"ih-{self.top + self.bottom}"
        return [("crop", f"{width}:{height}:{self.left}:{self.top}:exact=1")]


class PictureFilter:
    """A chain of FFmpeg's filters, one picture in, one out; time and colour tags stay."""

    def __init__(self, picture: VideoFrame, filters: "Sequence[tuple[str, str]]") -> None:
        """Build the chain for pictures of the size and format of `picture`.

        Args:
            picture: the first of them.
            filters: names and arguments.
        """
        self._graph = Graph()
        nodes = [
            self._graph.add_buffer(
                width=picture.width,
                height=picture.height,
                format=picture.format,
                time_base=Fraction(1, 1000),
            )
        ]
        nodes += [self._graph.add(name, arguments) for name, arguments in filters]
        # Whatever suits the filters best, the format stays.
        nodes.append(self._graph.add("format", f"pix_fmts={picture.format.name}"))
        nodes.append(self._graph.add("buffersink"))
        self._graph.link_nodes(*nodes).configure()
        self._count = 0

    def __call__(self, picture: VideoFrame) -> VideoFrame:
        pts, time_base, duration = picture.pts, picture.time_base, picture.duration
        picture.pts, picture.time_base = self._count, Fraction(1, 1000)
        self._count += 1
        self._graph.vpush(picture)
        made = self._graph.vpull()
        for frame in (picture, made):
            frame.pts, frame.duration = pts, duration
            if time_base:
                frame.time_base = time_base
        made.colorspace, made.color_range = picture.colorspace, picture.color_range
        made.color_primaries, made.color_trc = picture.color_primaries, picture.color_trc
        return made


# What Pillow raises on damaged images.
UNREADABLE = (
    *(OSError, ValueError, SyntaxError, EOFError, struct.error),
    Image.DecompressionBombError,
)


@contextmanager
def open_header(path: Path) -> Iterator[Image.Image]:
    """Open an image to read what it says of itself: nothing is decompressed, whatever its size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            yield image


def read_orientation(image: Path) -> int | None:
    """How an image wants to be turned, 1 to 8 as EXIF counts; None where Pillow cannot tell."""
    with suppress(*UNREADABLE), open_header(image) as opened:
        orientation = opened.getexif().get(_ORIENTATION)
        return orientation if orientation in _TURNS else None
    return None


def turn_upright(picture: VideoFrame, image: Path) -> VideoFrame:
    """Turn and mirror a picture as its image file asks.

    Args:
        picture: as decoded.
        image: its file, because the picture itself does not tell of mirroring.
    """
    orientation = read_orientation(image)
    filters = _by_matrix(picture) if orientation is None else _TURNS[orientation]
    return PictureFilter(picture, filters)(picture) if filters else picture


def _by_matrix(picture: VideoFrame) -> "Sequence[tuple[str, str]]":
    """What the display matrix asks for, as FFmpeg's `autorotate` does it."""
    matrix = read_display_matrix(picture)
    if matrix is None:
        return []
    angle = -picture.rotation % 360
    if angle == 90:
        return [("transpose", "cclock_flip" if matrix[3] > 0 else "clock")]
    if angle == 270:
        return [("transpose", "clock_flip" if matrix[3] < 0 else "cclock")]
    if angle == 180:
        mirrored = [("hflip", "")] if matrix[0] < 0 else []
        return mirrored + ([("vflip", "")] if matrix[4] < 0 else [])
    return [("vflip", "")] if matrix[4] < 0 else []


class PictureUnifier:
    """Gives every picture the size and the shape of the first one, and remembers what changed.

    A picture of another shape is fitted in, with black at its sides, so that nothing is distorted.
    Other pixel formats and colours are left to whoever unpacks the samples.
    """

    def __init__(self) -> None:
        self._first: tuple[VideoFrame, Fraction] | None = None
        self._filters: dict[tuple[int, int, str, Fraction], PictureFilter] = {}
        self._num_pictures = 0
        self._changes: dict[str, str] = {}  # what was seen first of each kind of change

    def __call__(self, picture: VideoFrame, aspect: Fraction | None = None) -> VideoFrame:
        """The picture, scaled if need be.

        Args:
            picture: as decoded.
            aspect: width to height of one pixel; None: as that of the first.
        """
        number, self._num_pictures = self._num_pictures, self._num_pictures + 1
        if self._first is None:
            self._first = (picture, aspect or Fraction(1))
            self._shape = (picture.height, picture.width, picture.format.name)
            self._tags = _tags(picture)
            return picture
        height, width, format_ = self._shape
        own = aspect or self._first[1]
        if picture.format.name != format_:
            text = f"the pixel format is {picture.format.name} instead of {format_}"
            self._note("format", f"{text}, and is converted", number)
        if _tags(picture) != self._tags:
            text = "other colour tags; matrix and range are converted, primaries and transfer stay"
            self._note("colour", text, number)
        if (picture.height, picture.width) == (height, width) and own == self._first[1]:
            return picture
        if (picture.height, picture.width) != (height, width):
            text = f"the picture is {picture.width}x{picture.height} instead of {width}x{height}"
        else:
            text = f"pixels are {_ratio(own)} instead of {_ratio(self._first[1])}"
        kind = (picture.height, picture.width, picture.format.name, own)
        if kind not in self._filters:
            self._filters[kind] = PictureFilter(picture, self._fitting(picture, own))
        self._note("size", f"{text}, and is fitted to that", number)
        return self._filters[kind](picture)

    def report_changes(self, report: Report, *, are_sizes_known: bool = False) -> None:
        """Say once, as `W_PICTURE_CHANGES`, what changes midway and where first.

        Args:
            report: receives the note.
            are_sizes_known: whether somebody has said already that sizes differ.
        """
        texts = [
            text for kind, text in self._changes.items() if kind != "size" or not are_sizes_known
        ]
        if texts:
            text = "; ".join(texts)
            report(Note(code="W_PICTURE_CHANGES", text=f"the source changes midway: {text}"))

    def _note(self, kind: str, text: str, number: int) -> None:
        self._changes.setdefault(kind, f"from frame {number} on {text}")

    def _fitting(self, picture: VideoFrame, aspect: Fraction) -> "list[tuple[str, str]]":
        """Filters that fit a picture into the size of the first, its shape kept."""
        (height, width, _), first_aspect = self._shape, (self._first or (None, Fraction(1)))[1]
        shape = picture.width * aspect / (picture.height * first_aspect)  # in the first's pixels
        ratio = shape / Fraction(width, height)
        fitted_width, fitted_height = width, height
        if ratio > 1 + _SAME_SHAPE:
            fitted_height = max(2, round(width / shape / 2) * 2)
        elif ratio < 1 / (1 + _SAME_SHAPE):
            fitted_width = max(2, round(height * shape / 2) * 2)
        return [
            ("scale", f"{fitted_width}:{fitted_height}:flags=bicubic:interl=-1"),
            ("pad", f"{width}:{height}:-1:-1:color=black"),
        ]


def _tags(picture: VideoFrame) -> tuple[int, ...]:
    return (
        *(picture.colorspace, picture.color_range),
        *(picture.color_primaries, picture.color_trc),
    )


def _ratio(aspect: Fraction) -> str:
    return f"{aspect.numerator}:{aspect.denominator}"
