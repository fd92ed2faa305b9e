"""Sizes of the target as users ask for them, in the place of an enlargement."""

import re
from dataclasses import dataclass
from fractions import Fraction

from vsr_cli.errors import ConfigError

LEAST_SCALE, MOST_SCALE = 1, 4  # per side
_NAMES = {"4k": "2160p", "uhd": "2160p", "8k": "4320p"}
_HINT = "use 1080p, 4k, WxH, W:-2 or -2:H, as 1440x1080"
_MOST_DISTORTED = Fraction(1, 100)  # of a side, where both are asked for


@dataclass(frozen=True, kw_only=True)
class TargetSize:
    """A size of the target, in pixels; None follows from the source's shape."""

    width: int | None = None
    height: int | None = None
    is_box: bool = False  # the picture fits into it, upright or lying; else sides are exact

    def __post_init__(self) -> None:
        for side in (self.width, self.height):
            if side is not None and (side < 2 or side % 2):
                raise ConfigError(
                    f"a side of {side} pixels is not even",
                    why="most players take only video whose sides are",
                    hint=f"use {max(side + side % 2, 2)}",
                )

    @property
    def text(self) -> str:
        """How users write it."""
        if self.is_box:
            return f"--size {self.height}p"
        if self.width is None:
            return f"--height {self.height}"
        return f"--size {self.width}" + (":-2" if self.height is None else f"x{self.height}")

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the target of a source; sides that are not asked for are even.

        Raises:
            ConfigError: the source has another shape, is larger, or too small.
        """
        wanted = self._fit(height, width)
        if self.width and self.height and not self.is_box:
            distortion = Fraction(wanted[1] * height, wanted[0] * width) - 1
            if abs(distortion) > _MOST_DISTORTED:
                fitting = f"{self.width}:-2` or `--height {self.height}"
                raise ConfigError(
                    f"`{self.text}` is no shape for a source of {width}x{height}",
                    why="the picture would be distorted, and nothing is cut off",
                    hint=f"give one side, as in `--size {fitting}`",
                )
        if wanted[0] < height - 1 or wanted[1] < width - 1:
            raise ConfigError(
                f"`{self.text}` is smaller than the source of {width}x{height}",
                hint="use a larger size, or `--scale 1` to keep that of the source",
            )
        most = (MOST_SCALE * height, MOST_SCALE * width)
        if wanted[0] > most[0] + 1 or wanted[1] > most[1] + 1:
            raise ConfigError(
                f"`{self.text}` is more than {MOST_SCALE} times the source of {width}x{height}",
                hint=f"use up to {most[1]}x{most[0]}, and upscale the result once more",
            )
        return wanted

    def scale(self, height: int, width: int) -> Fraction:
        """The enlargement of that source which comes nearest, in whole or in part.

        Raises:
            ConfigError: as `fit`.
        """
        wanted = self.fit(height, width)
        scale = max(Fraction(wanted[0], height), Fraction(wanted[1], width))
        return min(max(scale, Fraction(LEAST_SCALE)), Fraction(MOST_SCALE))

    def _fit(self, height: int, width: int) -> tuple[int, int]:
        if not self.is_box and self.width and self.height:
            return self.height, self.width
        if not self.is_box or not self.width or not self.height:
            scale = Fraction(self.height or 0, height) or Fraction(self.width or 0, width)
            return self.height or _even(height * scale), self.width or _even(width * scale)
        long, short = max(self.width, self.height), min(self.width, self.height)
        scale = min(Fraction(long, max(height, width)), Fraction(short, min(height, width)))
        return _even(height * scale), _even(width * scale)


def parse_target_size(size: str | tuple[int, int] | None, height: int | None) -> TargetSize | None:
    """Read a size as `1080p`, `4k`, `1920x1080`, `1920:-2`, `-2:1080`, or a height alone.

    Args:
        size: text, or (width, height).
        height: in pixels.

    Raises:
        ConfigError: it is no size, or both are given.
    """
    if size is not None and height is not None:
        raise ConfigError("`--size` and `--height` contradict each other", hint="give one")
    if height is not None:
        return TargetSize(height=height)
    if size is None:
        return None
    text = size if isinstance(size, str) else f"{size[0]}x{size[1]}"
    name = _NAMES.get(text.lower(), text.lower())
    if box := re.fullmatch(r"([1-9]\d{1,4})p", name):
        lines = int(box[1])
        return TargetSize(width=_even(Fraction(lines * 16, 9)), height=lines, is_box=True)
    sides = re.fullmatch(r"([1-9]\d{0,4}|-2)[x:]([1-9]\d{0,4}|-2)", name)
    if sides is None or sides[1] == sides[2] == "-2":
        raise ConfigError(f"`--size {text}` is not a size", hint=_HINT)
    across, down = (None if side == "-2" else int(side) for side in sides.groups())
    return TargetSize(width=across, height=down)


def _even(side: Fraction) -> int:
    """The nearest even number of pixels, 2 at least."""
    return max(2 * int(side / 2 + Fraction(1, 2)), 2)
