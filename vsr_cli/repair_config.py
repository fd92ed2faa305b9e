"""What is made anew, erased and taken for dirt, with defaults and limits."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from vsr_cli.errors import ConfigError

Find = Literal["damaged", "black", "frozen"]  # what is wrong with a frame
Unseen = Literal["smooth", "blur", "stop"]


@dataclass(frozen=True, kw_only=True)
class FillConfig:
    """Which frames are made anew of those before and after them. All counts are in frames."""

    find: tuple[Find, ...] = ("damaged", "black", "frozen")
    frames: tuple[tuple[int, int], ...] = ()  # more of them, first and last, as they are read
    most: int | None = None  # in a row; None: 12, and 8 of frozen ones

    def __post_init__(self) -> None:
        if not self.find and not self.frames:
            raise ConfigError("there is nothing to fill", hint="give `--find` or `--frames-list`")
        if self.most is not None and not 1 <= self.most <= 48:
            raise ConfigError(f"`--most {self.most}` is out of range", hint="use 1 to 48")
        for first, last in self.frames:
            if not 0 <= first <= last:
                raise ConfigError(
                    f"`--frames-list` holds no frame from {first} to {last}",
                    hint="give frames from 0, such as 120,300-303",
                )


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle of the picture as it is stored, in pixels, all the time or for some of it."""

    x: int  # negative: from the right edge
    y: int  # negative: from the bottom
    width: int
    height: int
    start: Fraction | None = None  # seconds since the source's first frame; None: always
    stop: Fraction | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ConfigError(f"`--box {self.text}` is empty", hint="give it as X,Y,W,H")
        if self.start is not None and (self.stop is None or self.stop <= self.start):
            raise ConfigError(
                f"`--box {self.text}` ends before it starts", hint="give times as @0:10-0:14"
            )

    @property
    def text(self) -> str:
        """How users write it."""
        place = f"{self.x},{self.y},{self.width},{self.height}"
        if self.start is None or self.stop is None:
            return place
        return f"{place}@{float(self.start):g}-{float(self.stop):g}"


@dataclass(frozen=True, kw_only=True)
class EraseConfig:
    """What is taken out of the picture, and how the hole is closed."""

    boxes: tuple[Box, ...] = ()
    mask: Path | None = None  # a video, an image for all frames, or a folder of images
    mask_threshold: int = 128  # codes of 8 bits from which a mask is white, which is erased
    invert_mask: bool = False
    grow: int = 3  # pixels, because masks are tight and codecs smear the rim
    feather: int = 2  # pixels over which source and fill are mixed, inside of the grown mask
    reach: int = 48  # frames that are looked ahead for what is hidden
    unseen: Unseen = "smooth"  # what is done with what no frame shows

    def __post_init__(self) -> None:
        if not self.boxes and self.mask is None:
            raise ConfigError(
                "there is nothing to erase", hint="give `--box`, `--mask` or `--dirt`"
            )
        for name, value, least, most in (
            ("mask-threshold", self.mask_threshold, 1, 255),
            ("grow", self.grow, 0, 64),
            ("feather", self.feather, 0, 64),
            ("reach", self.reach, 1, 240),
        ):
            if not least <= value <= most:
                raise ConfigError(
                    f"`--{name} {value}` is out of range", hint=f"use {least} to {most}"
                )


@dataclass(frozen=True, kw_only=True)
class DirtConfig:
    """What is taken for dirt on film."""

    level: float = 0.5  # 0 to 1: higher finds more, and takes more for dirt that is none
    most: float = 0.02  # of a frame; more is motion or a flash, and is left alone

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 1:
            raise ConfigError(f"`--dirt-level {self.level:g}` is out of range", hint="use 0 to 1")
        if not 0 < self.most <= 0.2:
            raise ConfigError(
                f"`--dirt-most {self.most:g}` is out of range", hint="use up to 0.2 of a frame"
            )
