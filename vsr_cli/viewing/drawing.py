"""Pictures laid out for comparison: beside each other, split, one after the other, differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vsr_cli.errors import ConfigError
from vsr_cli.viewing.footage import Picture

Mode = Literal["side", "split", "stack", "blink", "heat", "profile"]
Fit = Literal["bicubic", "nearest"]

LINE = 2  # pixels between pictures, and of the line that splits them
SMALLEST_PIECE = 360  # pixels of the longer side below which pieces are enlarged
# Of differences from none to the largest that is told apart, RGB in equal steps.
HEAT_COLORS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "nearest": Image.Resampling.NEAREST}


@dataclass(frozen=True)
class Piece:
    """A part of the picture, in pixels of the common size."""

    x: int
    y: int
    width: int
    height: int

    def require_within(self, size: tuple[int, int]) -> None:
        """Refuse a piece that reaches out of a picture of (height, width).

        Raises:
            ConfigError: it does.
        """
        if self.y + self.height > size[0] or self.x + self.width > size[1]:
            text = f"{self.width}x{self.height}+{self.x}+{self.y}"
            raise ConfigError(
                f"`--crop {text}` reaches out of the picture",
                why=f"which is {size[1]}x{size[0]}, the size of the largest",
                hint="give WxH+X+Y within it",
            )


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """The size that all pictures get, and the part of it that is shown.

    size: (height, width).
    fit: how smaller pictures are enlarged; their shape is kept, black at the sides if need be.
    piece: None is all of it.
    """

    size: tuple[int, int]
    fit: Fit = "bicubic"
    piece: Piece | None = None

    @property
    def shown_size(self) -> tuple[int, int]:
        """(height, width) of what is shown."""
        return (self.piece.height, self.piece.width) if self.piece else self.size

    def place(self, picture: Picture, shape: tuple[int, int]) -> Picture:
        """A picture on the canvas, cut to the piece.

        Args:
            picture: (h, w, 3).
            shape: (height, width) as it would be shown by itself.
        """
        if picture.shape[:2] != self.size:
            picture = self._enlarged(picture, shape)
        if (piece := self.piece) is None:
            return picture
        rows = slice(piece.y, piece.y + piece.height)
        return picture[rows, piece.x : piece.x + piece.width]

    def _enlarged(self, picture: Picture, shape: tuple[int, int]) -> Picture:
        height, width = self.size
        ratio = min(height / shape[0], width / shape[1])
        fitted = _near(round(shape[0] * ratio), height), _near(round(shape[1] * ratio), width)
        image = np.asarray(Image.fromarray(picture).resize(fitted[::-1], _RESAMPLING[self.fit]))
        if fitted == self.size:
            return image
        whole = np.zeros((height, width, 3), np.uint8)
        top, left = (height - fitted[0]) // 2, (width - fitted[1]) // 2
        whole[top : top + fitted[0], left : left + fitted[1]] = image
        return whole


def _near(side: int, most: int) -> int:
    """A side, or the whole of it where the difference is rounding and not worth a black line."""
    return most if most - side <= max(2, most // 100) else side


def enlarge_small(picture: Picture) -> Picture:
    """A piece that is too small to look at, pixel for pixel, by a whole number."""
    factor = max(1, SMALLEST_PIECE // max(picture.shape[:2]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else picture


def side_by_side(pictures: Sequence[Picture], *, axis: Literal[0, 1]) -> Picture:
    """Pictures of one size in a row (axis 1) or a column (0), a black line between them."""
    gap_shape = list(pictures[0].shape)
    gap_shape[axis] = LINE
    gap = np.zeros(gap_shape, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=axis)


def split(pictures: Sequence[Picture], at: float | None = None) -> Picture:
    """One picture made of a strip of each, from left to right, white lines between them.

    Args:
        pictures: of one size.
        at: where the first strip of two ends, 0 to 1; None: all are as wide.
    """
    whole = pictures[0].copy()
    width = whole.shape[1]
    shares = [at] if at is not None else [k / len(pictures) for k in range(1, len(pictures))]
    for share, picture in zip(shares, pictures[1:], strict=True):
        edge = round(share * width)
        whole[:, edge:] = picture[:, edge:]
        if 0 < edge < width:
            whole[:, max(0, edge - LINE // 2) : edge + LINE // 2] = 255
    return whole


def heat(first: Picture, second: Picture, gain: float) -> Picture:
    """How far luma (BT.601) differs, dark where it does not; `gain` times as many codes."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    difference = np.abs((first.astype(np.float32) - second) @ weights)
    return heat_map()[np.minimum(difference * gain, 255).astype(np.uint8)]


@lru_cache
def heat_map() -> NDArray[np.uint8]:
    """The colours of 256 differences, (256, 3)."""
    stops = np.linspace(0, 255, len(HEAT_COLORS))
    channels = zip(*HEAT_COLORS, strict=True)
    columns = [np.interp(np.arange(256), stops, channel) for channel in channels]
    return np.stack(columns, axis=-1).round().astype(np.uint8)


def draw_name(picture: Picture, text: str, *, at_right: bool = False) -> Picture:
    """Write a name into the lower left or right corner, on a dark field, cut if it is too long."""
    label = _label(text, max(12, picture.shape[0] // 36), picture.shape[1])
    height, width = min(label.shape[0], picture.shape[0]), min(label.shape[1], picture.shape[1])
    drawn = picture.copy()
    left = picture.shape[1] - width if at_right else 0
    drawn[picture.shape[0] - height :, left : left + width] = label[:height, :width]
    return drawn


def draw_scale(picture: Picture, gain: float) -> Picture:
    """Draw what the colours of `heat` mean into the lower right corner, in codes of 8 bits."""
    height, width = picture.shape[:2]
    bar_height = max(12, height // 36)
    bar_width = min(width // 3, 256)
    if bar_width < 16:
        return picture
    bar = heat_map()[np.linspace(0, 255, bar_width).astype(int)][None].repeat(bar_height, axis=0)
    drawn = draw_name(picture, f"0 to {255 / gain:.3g} codes", at_right=True)
    top = max(0, height - round(2.6 * bar_height) - bar_height)
    drawn[top : top + bar_height, width - bar_width :] = bar[: height - top]
    return drawn


@lru_cache(maxsize=64)
def _label(text: str, font_size: int, most: int) -> Picture:
    """White text on a dark field, (h, w, 3), at most `most` pixels wide."""
    font = ImageFont.load_default(size=font_size)
    left, _, right, bottom = font.getbbox(text)
    pad = max(3, font_size // 3)
    size = min(most, round(right - left) + 2 * pad), round(max(bottom, 1.2 * font_size)) + pad
    image = Image.new("RGB", size, (20, 20, 20))
    ImageDraw.Draw(image).text((pad, pad // 2), text, fill=(240, 240, 240), font=font)
    return np.asarray(image)
