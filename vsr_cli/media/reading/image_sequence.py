"""Numbered images and folders of them, read as a video."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from PIL.TiffImagePlugin import TiffImageFile

from vsr_cli.config import InputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Note, Report
from vsr_cli.media.containers import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.image_names import NumberedName
from vsr_cli.media.memory import PICTURE_OPTIONS, sensible_memory
from vsr_cli.media.missing import missing_source
from vsr_cli.media.reading.alpha import with_palette_alpha
from vsr_cli.media.reading.geometry import (
    FIRST_ON_SIDE,
    UNREADABLE,
    PictureUnifier,
    open_header,
    read_orientation,
    turn_upright,
)
from vsr_cli.media.reading.probe import describe
from vsr_cli.media.reading.rates import USUAL_RATE
from vsr_cli.media.reading.statistics import ReadStatistics
from vsr_cli.media.timestamps import Timing

_SUBFILE_TYPE = 254  # a tag of TIFF's pages
_SMALLER_COPIES = (1, 3, 5, 7)  # its values whose lowest bit says so


def find_images(source: Path) -> list[Path] | None:
    """The images that `source` stands for, in their order; None if it is a file of its own.

    Args:
        source: a folder, all images of which are taken in the order people count in, or a name
            such as `%05d.png`.

    Raises:
        InputError: there are none, or their numbers have a gap.
    """
    try:
        if source.is_dir():
            return _images_in(source)
        name = NumberedName.parse(source.name)
        if name is None or source.exists():
            return None
        return _numbered(source, name)
    except OSError as error:
        raise InputError(
            f"`{source}` cannot be read", why=error.strerror, hint="check the path"
        ) from error


def _images_in(folder: Path) -> list[Path]:
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    ]
    if not found:
        if any(path.suffix.lower() in VIDEO_SUFFIXES for path in folder.iterdir()):
            raise InputError(
                f"`{folder}` is a folder of videos",
                hint="`vsr batch FOLDER -o OTHER` upscales every one in it; or name one of them",
            )
        raise InputError(
            f"`{folder}` is a folder without images",
            hint="give a video file, or a folder of `.png`, `.jpg` or `.tif` files",
        )
    return sorted(found, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sorts `9` before `10`; names that differ in zeros or case alone keep an order."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts], path.name


def _numbered(source: Path, name: NumberedName) -> list[Path]:
    found = name.find(source.parent) if source.parent.is_dir() else {}
    if not found:
        raise missing_source(source, f"no file is called `{source}`, with any number")
    numbers = list(found)
    if gap := next((n for n in range(numbers[0], numbers[-1]) if n not in found), None):
        raise InputError(
            f"`{source}` has no number {gap}",
            why=f"its numbers go from {numbers[0]} to {numbers[-1]}",
            hint="add the image, or give the folder to take what is there",
        )
    return [found[number] for number in numbers]


class ImageReader:
    """Decodes images one by one; each is a file of its own, and lasts as long as every other."""

    def __init__(self, images: list[Path], container: InputContainer, config: InputConfig) -> None:
        """Take files that need not exist any longer than until they are read.

        Args:
            images: in their order.
            container: the first of them, opened; it stays the caller's to close.
            config: gives the rate.
        """
        self._rate = config.raw_rate or USUAL_RATE
        self.has_times = True  # by their place in the sequence
        self.has_rate = config.raw_rate is not None  # whether somebody says it
        self.statistics = ReadStatistics(1 / self._rate)
        self.unifier = PictureUnifier()
        self._images, self._container = images, container
        self._first = 0

    def describe(
        self, first: VideoFrame, config: InputConfig, name: str
    ) -> tuple[VideoInfo, Timing]:
        """What is known of the images by the first of them; see `describe`."""
        stream = self._container.streams.video[0]
        info, timing = describe(self._container, stream, first, [], config, name)
        step, count = 1 / self._rate, len(self._images)
        timing = replace(timing, tick=step, time_base=step, rate=self._rate, is_vfr=False)
        return replace(
            info,
            container="image2",
            rotation=0,  # each image has been turned as it asks
            display_matrix=None,
            rate=self._rate,
            time_base=step,
            num_frames=count,
            duration=count * step,
            origin=Fraction(0),
            is_vfr=False,
        ), timing

    def seek(self, time: Fraction) -> None:
        """Go on with the image that is shown at `time`, in seconds."""
        self._first = max(0, int(time * self._rate))

    def pictures(self) -> Iterator[VideoFrame]:
        """Decode every image; what does not decode is counted and left out."""
        for index, path in enumerate(self._images[self._first :], self._first):
            self.statistics.num_packets += 1
            picture = self._decode(path)
            if picture is None:
                self.statistics.num_damaged += 1
                continue
            picture = self.unifier(picture)
            self.statistics.num_frames += 1
            self.statistics.num_damaged += picture.is_corrupt
            picture.pts, picture.duration, picture.time_base = index, 1, 1 / self._rate
            yield picture

    def finish(self, stop: Fraction | None) -> None:
        """Nothing comes with images that could be read on to `stop`."""

    def report_changes(self, report: Report) -> None:
        """Say, after the last image, what else differs; see `PictureUnifier`."""
        self.unifier.report_changes(report, are_sizes_known=True)

    def report_header(self, report: Report) -> None:
        """Say before the work, as `W_IMAGE_SIZES`, whether some images are of another size."""
        sizes = Counter(size for size in map(_size, self._images) if size is not None)
        first = _size(self._images[0])
        if first is None or len(sizes) < 2:
            return
        num_others = sizes.total() - sizes[first]
        text = f"{num_others} of {len(self._images)} images "
        text += f"{'is' if num_others == 1 else 'are'} not {first[0]}x{first[1]} like the first"
        report(Note(code="W_IMAGE_SIZES", text=f"{text}, and fitted to that"))

    def picture_end(self, told: Fraction) -> Fraction:
        """The last image lasts as long as every other."""
        return told

    def report_discontinuities(self, origin: Fraction, report: Report) -> None:
        """Images have no clock that could jump."""

    def report_truncation(self, report: Report) -> None:
        """Images have no end that could have been promised."""

    def _decode(self, path: Path) -> VideoFrame | None:
        options = {"protocol_whitelist": "file", "pattern_type": "none", **PICTURE_OPTIONS}
        try:
            with (
                sensible_memory(str(path)),
                av.open(f"file:{path}", options=options) as container,
            ):
                stream = container.streams.video[0]
                if stream.codec_context is None:
                    return None
                stream.codec_context.options = PICTURE_OPTIONS
                picture = next(container.decode(video=0), None)
                return picture and turn_upright(with_palette_alpha(picture), path)
        except MemoryError:
            raise
        except (av.FFmpegError, IndexError, OSError):
            return None


def report_pages(images: Iterable[Path], report: Report) -> None:
    """Say, as `W_PAGES_DROPPED`, that TIFFs have more pages than the first, which alone is read."""
    counts = {image: _num_pages(image) for image in images}
    several = [image for image, count in counts.items() if count > 1]
    if several:
        text = f"`{several[0].name}` has {counts[several[0]]} pages, of which the first is read"
        if len(several) > 1:
            text = f"{len(several)} images have pages beside the first, which alone is read"
        report(Note(code="W_PAGES_DROPPED", text=text))


def _num_pages(image: Path) -> int:
    """Pages of a TIFF, smaller copies of others not counted; 1 of any other file."""
    num_pages = 1
    if not image.is_file():  # what a device gives is gone once it is read
        return num_pages
    with suppress(*UNREADABLE), open_header(image) as opened:
        if isinstance(opened, TiffImageFile):
            for page in range(1, opened.n_frames):
                opened.seek(page)
                num_pages += opened.tag_v2.get(_SUBFILE_TYPE) not in _SMALLER_COPIES
    return num_pages


def _size(path: Path) -> tuple[int, int] | None:
    """(width, height) of an image as it is shown, by its header; None where Pillow has no idea."""
    with suppress(*UNREADABLE), open_header(path) as image:
        is_on_side = (read_orientation(path) or 1) >= FIRST_ON_SIDE
        return image.size[::-1] if is_on_side else image.size
    return None
