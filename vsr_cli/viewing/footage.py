"""Videos as they are shown: RGB pictures, turned and in the shape that a player gives them."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr_cli.config import InputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Report, ignore
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.open import EVERYTHING, is_pipe
from vsr_cli.media.reading.image_sequence import find_images
from vsr_cli.media.reading.reader import open_video
from vsr_cli.ops.tonemap import USUAL_PEAK, is_hdr, tone_mapped
from vsr_cli.ops.yuv import to_rgb
from vsr_cli.pixels import PQ

Picture = NDArray[np.uint8]  # (H, W, 3) RGB

SLACK = Fraction(1, 500)  # seconds by which containers round times
_EARLIER = Fraction(2)  # seconds: clocks of files may start before their first frame


@dataclass(frozen=True, kw_only=True)
class Footage:
    """One video, or a part of it, that can be read more than once.

    name: as people are told it.
    path: a file.
    info: of the part.
    zero: seconds on the clock of the file that count as 0; what comes before is not shown.
    config: which part, and how it is understood.
    length: seconds after which nothing is shown; None: to its end.
    """

    name: str
    path: Path
    info: VideoInfo
    zero: Fraction
    config: InputConfig = EVERYTHING
    length: Fraction | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as a player shows it: turned, and with square pixels."""
        height, width = self.info.height, self.info.width
        width = max(1, round(width * self.info.sample_aspect_ratio))
        return (width, height) if self.info.rotation % 180 else (height, width)

    @property
    def is_hdr(self) -> bool:
        """Whether its codes are those of PQ or HLG, which SDR screens cannot show as they are."""
        return is_hdr(self.info.color.transfer)

    @property
    def peak(self) -> float:
        """The light, in cd/m2, of the screen that it was made for."""
        told = self.info.hdr.max_luminance if self.info.hdr else None
        return float(told) if told and self.info.color.transfer == PQ else USUAL_PEAK

    @property
    def num_frames(self) -> int | None:
        """How many there are, as far as the container tells."""
        info = self.info
        if info.num_frames is not None or info.duration is None:
            return info.num_frames
        return round(info.duration * info.rate)

    @property
    def step(self) -> Fraction:
        """Seconds from one frame to the next, on average."""
        return 1 / self.info.rate

    @property
    def num_bytes(self) -> int:
        """Of the file, or of all images."""
        files = find_images(self.path) or [self.path]
        return sum(file.stat().st_size for file in files)

    def shots(
        self, report: Report = ignore, *, start: Fraction = Fraction(0)
    ) -> Generator["Shown", None, None]:
        """Its frames in order.

        Args:
            report: receives what there is to know of the file.
            start: seconds; what is shown before is left out, by seeking if it is much.
        """
        config = self.config
        if start > 2 * _EARLIER and config.frames is None:
            early = start - _EARLIER + (config.start or 0)
            stop = config.stop
            if config.duration is not None:
                stop = (config.start or 0) + config.duration
            config = replace(config, start=early, stop=stop, duration=None)
        slack = min(SLACK, self.step / 4)
        first = max(start, Fraction(0)) - slack
        with ExitStack() as stack:
            try:
                video = stack.enter_context(open_video(self.path, config))
            except InputError:
                if config is self.config:
                    raise
                return  # it ends before
            for frame in video.frames(report=report):
                time = frame.pts * frame.time_base - self.zero
                is_over = self.length is not None and time > self.length - slack
                if time >= first and not is_over:
                    yield Shown(frame, time, self)


@dataclass(eq=False)
class Shown:
    """One frame, turned into a picture when that is asked for.

    time: seconds since the first frame.
    """

    frame: Frame
    time: Fraction
    footage: Footage
    _picture: Picture | None = None
    _codes: Picture | None = None

    @property
    def end(self) -> Fraction:
        """When the next one takes its place, in seconds."""
        length = self.frame.duration * self.frame.time_base
        return self.time + (length or self.footage.step)

    @property
    def picture(self) -> Picture:
        """The picture as an SDR screen shows it: HDR is tone mapped.

        It is of the footage's size or, where pixels are not square, as stored.
        """
        if self._picture is None:
            if not self.footage.is_hdr:
                return self.codes
            color = self.frame.color
            mapped = tone_mapped(
                self._rgb(),
                transfer=color.transfer,
                primaries=color.primaries,
                peak=self.footage.peak,
            )
            self._picture = self._as_picture(mapped)
        return self._picture

    @property
    def codes(self) -> Picture:
        """The same as coded, of which figures are."""
        if self._codes is None:
            self._codes = self._as_picture(self._rgb())
        return self._codes

    def _rgb(self) -> Tensor:
        """(3, H, W) in [-1, 1], as coded."""
        planes = [torch.from_numpy(plane) for plane in self.frame.planes]
        return to_rgb(planes, self.frame.layout, self.frame.color)

    def _as_picture(self, rgb: Tensor) -> Picture:
        codes = ((rgb + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return np.ascontiguousarray(np.rot90(codes, self.footage.info.rotation // 90))


def open_footage(path: Path, name: str, config: InputConfig = EVERYTHING) -> Footage:
    """Look at a file that is to be shown.

    Raises:
        InputError: it cannot be read, or not twice.
    """
    if is_pipe(path):
        raise InputError(
            f"`{path}` is a pipe, which can be read only once", hint="write it to a file first"
        )
    with open_video(path, config) as video:
        info, first = video.info, next(video.frames(report=ignore))
    return Footage(name=name, path=path, info=info, zero=first.pts * first.time_base, config=config)


def tone_mapping(videos: Sequence[Footage]) -> str | None:
    """What there is to say of those that are HDR, in a sentence without its full stop."""
    if not (names := [video.name for video in videos if video.is_hdr]):
        return None
    are = "is HDR and" if len(names) == 1 else "are HDR and"
    return f"{', '.join(names)} {are} tone mapped to be shown on SDR screens"
