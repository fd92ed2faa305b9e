"""Which pixels of each frame are to be erased: boxes, images and videos, as users draw them."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsr_cli.config import InputConfig
from vsr_cli.errors import ConfigError, InputError
from vsr_cli.events import Note, Report
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.open import is_pipe
from vsr_cli.media.reading.reader import VideoSource, open_video
from vsr_cli.repair_config import Box, EraseConfig

Mask = NDArray[np.bool_]

_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_MOST = 0.6  # of a frame; more is a mask the wrong way round
_SAME_SHAPE = 0.01  # difference of the sides' ratio up to which a mask is resized


class Masks:
    """What is to be erased of each frame of one source, asked for in order."""

    _video: "_MaskVideo | None" = None
    _first: tuple[int, Fraction] | None = None  # index and time of the first frame asked for

    def __init__(
        self,
        config: EraseConfig,
        info: VideoInfo,
        source: Path,
        reading: InputConfig,
        report: Report,
    ) -> None:
        """Nothing is opened yet.

        Args:
            config: what the user has drawn.
            info: of the source.
            source: where it is read from.
            reading: which part of it.
            report: receives `W_MASK_RESIZED`, `W_MASK_SHORT` and `W_BOX_IDLE`.
        """
        self._config, self._info, self._source = config, info, source
        self._reading, self._report = reading, report
        self._start: Fraction | None = None  # of the source, in seconds
        self._image: Mask | None = None
        self._is_resized_told = False
        self._is_short_told = False
        self._idle = {box for box in config.boxes if box.start is not None}

    def check(self) -> None:
        """Look at everything once, before anything is computed.

        Raises:
            ConfigError: a box lies outside of the picture or after its end, a mask has another
                shape than it, or one covers more than 60 % of it.
            InputError: the mask cannot be read.
        """
        size = self._info.height, self._info.width
        for box in self._config.boxes:
            if not box_mask(box, size).any():
                raise ConfigError(
                    f"`--box {box.text}` lies outside of the picture",
                    why=f"it has {size[1]}x{size[0]} pixels",
                    hint="give X,Y,W,H of the picture as stored; negative X and Y count from "
                    "right and bottom",
                )
        # Of other containers headers and estimates may say too little.
        is_sure = "mov" in self._info.container and not _is_trimmed(self._reading)
        length = self._info.duration if is_sure else None
        for box in self._config.boxes:
            if length is not None and box.start is not None and box.start >= length:
                raise ConfigError(
                    f"`--box {box.text}` begins after the end of the source",
                    why=f"it lasts {float(length):.3f} s",
                    hint="times count from the first frame",
                )
        always = [box_mask(b, size) for b in self._config.boxes if b.start is None]
        if self._config.mask is not None:
            with_image = self._is_image(self._config.mask)
            fitted = self._fit(self._read_image() if with_image else self._first_of_video())
            always += [fitted] if with_image else []
        if always:
            _require_less(np.logical_or.reduce(always))

    def at(self, index: int, frame: Frame) -> Mask | None:
        """The mask (H, W) of a frame; None where nothing is to be erased.

        Args:
            index: of the frame in the part that is read, not less than the time before.
            frame: for its time.

        Raises:
            ConfigError: it covers more than 60 % of the frame.
            InputError: the mask cannot be read.
        """
        parts: list[Mask] = []
        if self._start is None:
            self._start = self._find_start(index, frame)
            self._first = index, self._time(frame)
        for box in self._config.boxes:
            if box.start is None or box.start <= self._time(frame) < (box.stop or 0):
                parts.append(box_mask(box, frame.size))
                self._idle.discard(box)
        if self._config.mask is not None:
            drawn = self._drawn(index, frame)
            if drawn is not None:
                parts.append(drawn)
        if not parts:
            return None
        mask = parts[0] if len(parts) == 1 else np.logical_or.reduce(parts)
        if not mask.any():
            return None
        _require_less(mask)
        return mask

    def report_idle(self) -> None:
        """Say which boxes were there for no frame, once all have been asked for.

        A run that goes on where another has ended knows nothing of boxes that came before.
        """
        if self._first is None:
            return
        index, time = self._first
        boxes = [box for box in self._config.boxes if box in self._idle]
        for box in boxes:
            if index == 0 or (box.start is not None and box.start > time):
                text = (
                    f"`--box {box.text}` erases nothing: no frame that was read lies in its times"
                )
                self._report(Note(code="W_BOX_IDLE", text=text))

    def _drawn(self, index: int, frame: Frame) -> Mask | None:
        assert self._config.mask is not None
        if self._is_image(self._config.mask):
            if self._image is None:
                self._image = self._fit(self._read_image())
            return self._image
        video = self._video = self._video or self._open_video()
        if video.is_by_number:
            found = video.at_number(self._number(index, frame))
        else:
            found = video.at_time(self._time(frame))
        if found is None:
            if not self._is_short_told:
                text = f"`{self._config.mask.name}` ends before the source: nothing is erased after"
                self._report(Note(code="W_MASK_SHORT", text=text))
            self._is_short_told = True
            return None
        return self._fit(found)

    def _number(self, index: int, frame: Frame) -> int:
        """Index of a frame among all of the source."""
        if self._reading.frames is not None:
            return self._reading.frames[0] + index
        if self._reading.start is not None:
            return round(self._time(frame) * self._info.rate)
        return index

    def _time(self, frame: Frame) -> Fraction:
        """Seconds since the first frame of the source, whatever part of it is read."""
        assert self._start is not None
        return frame.pts * frame.time_base - self._start

    def _find_start(self, index: int, frame: Frame) -> Fraction:
        """When the source's first frame is shown; `frame`, the first asked for, may be a later one.

        A part begins later, and so does a run that goes on where another has ended.
        """
        if (index == 0 and not self._is_trimmed()) or is_pipe(self._source):
            return frame.pts * frame.time_base
        whole = replace(self._reading, start=None, stop=None, duration=None, frames=None)
        with open_video(self._source, whole) as video:
            first = next(video.frames(report=_silent))
            return first.pts * first.time_base

    def _is_image(self, path: Path) -> bool:
        return path.suffix.lower() in _IMAGES and path.is_file()

    def _read_image(self) -> Mask:
        path = self._config.mask
        assert path is not None
        try:
            with Image.open(path) as image:
                has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
                alpha = np.asarray(image.convert("RGBA"))[..., 3] if has_alpha else None
                if alpha is not None and alpha.min() < 255:
                    return self._thresholded(alpha)
                return self._thresholded(np.asarray(image.convert("L")))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(
                f"the mask `{path}` cannot be read",
                why=" ".join(str(error).split())[:200],
                hint="give a video, an image, or a folder of images: white is erased",
            ) from error

    def _open_video(self) -> "_MaskVideo":
        path = self._config.mask
        assert path is not None
        try:
            return _MaskVideo(path, self._info, self._config, is_whole=not self._is_trimmed())
        except InputError as error:
            raise InputError(
                f"the mask `{path}` cannot be read",
                why=f"{error}" + (f": {error.why}" if error.why else ""),
                hint="give a video, an image, or a folder of images: white is erased",
            ) from error

    def _is_trimmed(self) -> bool:
        return _is_trimmed(self._reading)

    def _thresholded(self, codes: NDArray[np.uint8]) -> Mask:
        return thresholded(codes, self._config)

    def _fit(self, mask: Mask) -> Mask:
        """A mask of the size of the source.

        Raises:
            ConfigError: it has another shape.
        """
        size = self._info.height, self._info.width
        turns = self._info.rotation // 90 % 4
        if mask.shape != size and turns % 2 and _have_one_shape(mask.shape[::-1], size):
            mask = np.rot90(mask, -turns)  # drawn on the picture as players turn it
        if mask.shape == size:
            return mask
        height, width = mask.shape
        if not _have_one_shape((height, width), size):
            raise ConfigError(
                f"the mask is {width}x{height}, the picture {size[1]}x{size[0]}",
                hint="give a mask of the size of the picture as it is stored",
            )
        if not self._is_resized_told:
            text = f"the mask is {width}x{height} and is resized to {size[1]}x{size[0]}"
            self._report(Note(code="W_MASK_RESIZED", text=text))
        self._is_resized_told = True
        rows = (np.arange(size[0]) * 2 + 1) * height // (2 * size[0])
        columns = (np.arange(size[1]) * 2 + 1) * width // (2 * size[1])
        return mask[rows][:, columns]

    def _first_of_video(self) -> Mask:
        video = self._open_video()
        try:
            return video.first()
        finally:
            video.close()

    def close(self) -> None:
        """Let go of the mask's file."""
        if self._video is not None:
            self._video.close()
            self._video = None


class _MaskVideo:
    """A video, or images, whose light parts are the mask."""

    def __init__(self, path: Path, info: VideoInfo, config: EraseConfig, *, is_whole: bool) -> None:
        self._config = config
        self._opening = open_video(path)
        self._video: VideoSource = self._opening.__enter__()
        own = self._video.info
        are_images = own.container == "image2"
        has_same_count = own.num_frames is not None and own.num_frames == info.num_frames
        self.is_by_number = are_images or (is_whole and has_same_count)
        self._patience = 1 / (4 * own.rate)  # seconds that times may be off
        self._frames: Iterator[Frame] = self._video.frames(report=_silent)
        self._next: Frame | None = next(self._frames, None)
        self._start = self._seconds(self._next) if self._next else Fraction(0)
        self._number = -1
        self._current: Frame | None = None

    def first(self) -> Mask:
        """The first of its frames."""
        assert self._next is not None
        return self._mask(self._next)

    def at_number(self, number: int) -> Mask | None:
        """That of a frame counted from the start; None after the end."""
        while self._number < number and self._next is not None:
            self._advance()
        return self._mask(self._current) if self._number == number and self._current else None

    def at_time(self, time: Fraction) -> Mask | None:
        """What is shown at a time since the start; None after the end."""
        while self._next is not None and self._seconds(self._next) - self._start <= (
            time + self._patience
        ):
            self._advance()
        if self._current is None:
            return None
        current = self._current
        end = self._seconds(current) - self._start + current.duration * current.time_base
        if self._next is None and time >= end - self._patience:
            return None
        return self._mask(current)

    def close(self) -> None:
        """Let go of the file."""
        self._opening.__exit__(None, None, None)

    def _advance(self) -> None:
        self._current, self._next = self._next, next(self._frames, None)
        self._number += 1

    def _seconds(self, frame: Frame) -> Fraction:
        return frame.pts * frame.time_base

    def _mask(self, frame: Frame) -> Mask:
        layout = frame.layout
        codes = frame.planes[-1] if layout.has_alpha else frame.planes[0]
        return thresholded((codes >> (layout.depth - 8)).astype(np.uint8), self._config)


def thresholded(codes: NDArray[np.uint8], config: EraseConfig) -> Mask:
    """Where codes (H, W) reach the threshold, or do not where the mask is inverted."""
    mask = codes >= config.mask_threshold
    return ~mask if config.invert_mask else mask


def box_mask(box: Box, size: tuple[int, int]) -> Mask:
    """The mask of a box in a picture of (height, width)."""
    height, width = size
    left = box.x + width if box.x < 0 else box.x
    top = box.y + height if box.y < 0 else box.y
    mask = np.zeros(size, bool)
    mask[max(top, 0) : max(top + box.height, 0), max(left, 0) : max(left + box.width, 0)] = True
    return mask


def _require_less(mask: Mask) -> None:
    share = float(mask.mean())
    if share > _MOST:
        raise ConfigError(
            f"the mask covers {share:.0%} of a frame",
            why="of so much nothing is left to go by",
            hint="white is erased: `--invert-mask` turns a mask round",
        )


def _have_one_shape(size: tuple[int, ...], other: tuple[int, int]) -> bool:
    ratio = size[0] * other[1] / (size[1] * other[0])
    return abs(ratio - 1) <= _SAME_SHAPE


def _is_trimmed(reading: InputConfig) -> bool:
    parts = (reading.start, reading.stop, reading.duration, reading.frames)
    return any(part is not None for part in parts)


def _silent(event: object) -> None:
    """A `Report` for what is said of the mask's own file, or has been said before."""
