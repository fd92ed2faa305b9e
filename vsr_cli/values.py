"""Values of options, as text or as Python has them."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError, did_you_mean

Number = int | float | str | Fraction  # text as `25`, `29.97` or `30000/1001`
T = TypeVar("T")


def parse_scale(value: Number | None) -> Fraction:
    """Read an enlargement, `2`, `1.5` or `3/2`.

    Raises:
        ConfigError: it is no number.
    """
    if value is None:
        return UpscaleConfig.scale
    if (scale := _as_fraction(value)) is None:
        is_size = re.fullmatch(r"-?\d+[x:]-?\d+|\d+p|[48]k", str(value).lower())
        hint = f"use `--size {value}`" if is_size else "use 1 to 4, such as 2, 1.5 or 3/2"
        raise ConfigError(f"`--scale {value}` is not a number", hint=hint)
    return scale


def parse_tile(value: int | str | None) -> int | None:
    """Read the size of a tile: `auto` leaves it to the memory, `off` is 0, else output pixels.

    Raises:
        ConfigError: it is none of these.
    """
    text = "auto" if value is None else str(value)
    if text == "auto":
        return None
    if text == "off":
        return 0
    if not text.isdecimal():
        raise ConfigError(
            f"`--tile {text}` is not a size", hint="use auto, off, or output pixels such as 512"
        )
    return int(text)


def parse_frames(
    value: str | tuple[int, int | None] | None,
) -> tuple[int, int | None] | None:
    """Read `A:B`, `A:` or `:B`; A is the first frame, B the one after the last.

    Raises:
        ConfigError: it is none of these.
    """
    if value is None or isinstance(value, tuple):
        return value
    match = re.fullmatch(r"(\d*):(\d*)", value)
    if match is None:
        raise ConfigError(
            f"`--frames {value}` is not a range",
            hint="use A:B, such as 0:100 for the first hundred",
        )
    first, last = match.groups()
    return int(first or 0), int(last) if last else None


def parse_name(option: str, name: str | None, names: Mapping[str, T]) -> T | None:
    """Read a name as its code; `auto` leaves it to the source.

    Raises:
        ConfigError: there is no such name.
    """
    if name in (None, "auto"):
        return None
    if name.lower() not in names:
        raise ConfigError(
            f"`{option} {name}` is not known",
            hint=did_you_mean(name, names, "use auto, " + ", ".join(names)),
        )
    return names[name.lower()]


def parse_size(option: str, value: str | tuple[int, int] | None) -> tuple[int, int] | None:
    """Read `WxH`, or take a (width, height), and return (height, width).

    Raises:
        ConfigError: it is no size.
    """
    if value is None:
        return None
    text = value if isinstance(value, str) else f"{value[0]}x{value[1]}"
    match = re.fullmatch(r"([1-9]\d*)[x:]([1-9]\d*)", text)
    if match is None:
        raise ConfigError(f"`{option} {text}` is not a size", hint="use WxH, such as 1920x1080")
    return int(match[2]), int(match[1])


def parse_rate(option: str, value: Number | None) -> Fraction | None:
    """Read frames per second, `25`, `29.97` or `30000/1001`.

    Raises:
        ConfigError: it is no number.
    """
    if value is None:
        return None
    rate = _as_fraction(value)
    if rate is None:
        raise ConfigError(
            f"`{option} {value}` is not a number",
            hint="use frames per second, such as 25, 29.97 or 30000/1001",
        )
    return rate


def parse_settings(
    values: Sequence[str] | Mapping[str, str] | None,
) -> tuple[tuple[str, str], ...]:
    """Read settings of the encoder, each `NAME=VALUE`, or take them from a mapping.

    Raises:
        ConfigError: one is no setting.
    """
    if isinstance(values, Mapping):
        return tuple((name, str(value)) for name, value in values.items())
    found = []
    for text in values or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ConfigError(f"`-x {text}` is no setting", hint="give it as `-x NAME=VALUE`")
        found.append((name, value))
    return tuple(found)


def _as_fraction(value: Number) -> Fraction | None:
    """The exact number; of a float, what it is printed as."""
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        return None
