"""Options about what is repaired, and times, as users give them."""

import re
from collections.abc import Sequence
from fractions import Fraction

from vsr_cli.config import Box, FillConfig, Find
from vsr_cli.errors import ConfigError

Time = int | float | str | Fraction  # seconds; text also as `HH:MM:SS.mmm`


def fill_config(
    *,
    find: str | Sequence[Find] | None,
    frames_list: str | Sequence[tuple[int, int]] | None,
    most: int | None,
    is_asked: bool,
    default: tuple[Find, ...],
) -> FillConfig | None:
    """What is to be filled; None where nothing was asked for.

    Args:
        find: see `parse_find`.
        frames_list: see `parse_ranges`.
        most: frames in a row.
        is_asked: whether something is filled though none of these is given.
        default: what to look for where neither `find` nor `frames_list` is given.

    Raises:
        ConfigError: a value is no such thing, or out of range.
    """
    found, listed = parse_find(find), parse_ranges(frames_list)
    if not is_asked and (found, listed, most) == (None, (), None):
        return None
    if found is None:
        found = ("damaged",) if listed else default
    return FillConfig(find=found, frames=listed, most=most)


def parse_find(value: str | Sequence[Find] | None) -> tuple[Find, ...] | None:
    """Read what to look for, such as `damaged,frozen`.

    Raises:
        ConfigError: there is no such fault.
    """
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    for name in names:
        if name not in FillConfig.find:
            raise ConfigError(
                f"`--find {name}` is not known", hint="use " + ", ".join(FillConfig.find)
            )
    return tuple(name for name in FillConfig.find if name in names)


def parse_ranges(
    value: str | Sequence[tuple[int, int]] | None,
) -> tuple[tuple[int, int], ...]:
    """Read frames and ranges of them, both ends included, such as `120,300-303`.

    Raises:
        ConfigError: it is none of these.
    """
    if not isinstance(value, str):
        return tuple(value or ())
    found = []
    for part in value.split(","):
        match = re.fullmatch(r"\s*(\d{1,15})(?:-(\d{1,15}))?\s*", part)
        if match is None:
            raise ConfigError(
                f"`--frames-list {value}` is no list of frames",
                hint="count from 0, such as 120,300-303",
            )
        found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(found)


def parse_box(value: str | Box) -> Box:
    """Read a rectangle, `X,Y,W,H`, perhaps with times, as in `0,-120,1920,110@0:10-0:14`.

    Raises:
        ConfigError: it is none, or an empty one.
    """
    if isinstance(value, Box):
        return value
    place, has_times, times = value.partition("@")
    numbers = place.split(",")
    start, has_stop, stop = times.partition("-")
    is_box = len(numbers) == 4 and all(re.fullmatch(r"\s*-?\d{1,9}\s*", n) for n in numbers)
    if not is_box or (has_times and not has_stop):
        raise ConfigError(
            f"`--box {value}` is no rectangle",
            hint="give X,Y,W,H in pixels, and for a time only X,Y,W,H@0:10-0:14",
        )
    x, y, width, height = (int(number) for number in numbers)
    return Box(
        x=x,
        y=y,
        width=width,
        height=height,
        start=parse_time("--box", start) if has_times else None,
        stop=parse_time("--box", stop) if has_times else None,
    )


def parse_time(option: str, value: Time | None) -> Fraction | None:
    """Read a time, `90`, `1:30` or `0:01:30.5`, in seconds, without rounding.

    Raises:
        ConfigError: it is none of these.
    """
    if value is None:
        return None
    if isinstance(value, Fraction) and value >= 0:
        return value
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", str(value))
    if match is None:
        raise ConfigError(
            f"`{option} {value}` is not a time", hint="use seconds, or HH:MM:SS.mmm, such as 1:02.5"
        )
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)
