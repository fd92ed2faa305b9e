"""Options about what is repaired, and times, as users give them."""

import operator
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypedDict, TypeVar

from vsr_cli.config import OnDecodeError
from vsr_cli.errors import ConfigError
from vsr_cli.repair_config import Box, DirtConfig, EraseConfig, FillConfig, Find, Unseen

T = TypeVar("T")
Task = Literal["upscale", "fill", "erase"]
Time = int | float | str | Fraction  # seconds; text also as `HH:MM:SS.mmm`


class RepairOptions(TypedDict, total=False):
    """Options about what is repaired; part of `vsr_cli.options.Options`."""

    find: Sequence[Find] | str | None
    frames_list: str | Sequence[tuple[int, int]] | None
    most: int | None

    box: Sequence[str | Box] | None  # one of them is a list of it
    mask: str | Path | None
    mask_threshold: int | None
    invert_mask: bool | None
    grow: int | None
    feather: int | None
    reach: int | None
    unseen: Unseen | None

    dirt: bool | None
    dirt_level: float | None
    dirt_most: float | None

    on_decode_error: OnDecodeError | None


def fill_config(options: RepairOptions, task: Task) -> FillConfig | None:
    """What is to be filled; None where nothing was asked for.

    Raises:
        ConfigError: a value is no such thing, or out of range.
    """
    find, listed = parse_find(options.get("find")), parse_ranges(options.get("frames_list"))
    most, is_asked = options.get("most"), options.get("on_decode_error") == "fill"
    if task != "fill" and not is_asked and (find, listed, most) == (None, (), None):
        return None
    if find is None:
        find = FillConfig.find if task == "fill" and not listed else ("damaged",)
    return FillConfig(find=find, frames=listed, most=most)


def dirt_config(options: RepairOptions) -> DirtConfig | None:
    """What is taken for dirt; None where it stays.

    Raises:
        ConfigError: a value is out of range.
    """
    level, most = options.get("dirt_level"), options.get("dirt_most")
    if not options.get("dirt") and level is None and most is None:
        return None
    return DirtConfig(level=_or(level, DirtConfig.level), most=_or(most, DirtConfig.most))


def erase_config(options: RepairOptions, task: Task) -> EraseConfig | None:
    """What is taken out; None where nothing was asked for.

    Raises:
        ConfigError: a value is no such thing, or out of range, or there is nothing to erase.
    """
    boxes = tuple(parse_box(box) for box in options.get("box") or ())
    mask = options.get("mask")
    if not boxes and mask is None and (task != "erase" or dirt_config(options) is not None):
        return None
    return EraseConfig(
        boxes=boxes,
        mask=None if mask is None else Path(mask),
        mask_threshold=_or(options.get("mask_threshold"), EraseConfig.mask_threshold),
        invert_mask=_or(options.get("invert_mask"), EraseConfig.invert_mask),
        grow=_or(options.get("grow"), EraseConfig.grow),
        feather=_or(options.get("feather"), EraseConfig.feather),
        reach=_or(options.get("reach"), EraseConfig.reach),
        unseen=_or(options.get("unseen"), EraseConfig.unseen),
    )


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
        return tuple(_range(pair) for pair in value or ())
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


def _range(pair: tuple[int, int]) -> tuple[int, int]:
    try:
        first, last = pair
        return operator.index(first), operator.index(last)
    except (TypeError, ValueError):
        raise ConfigError(
            f"`--frames-list` takes no {pair!r} from Python",
            hint="give first and last, as in [(300, 303)], or text such as 120,300-303",
        ) from None


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
    if has_times and not (start.strip() and stop.strip()):
        raise ConfigError(
            f"`--box {value}` does not say when it {'ends' if start.strip() else 'starts'}",
            hint="give both times, as in X,Y,W,H@0:10-0:14",
        )
    x, y, width, height = (int(number) for number in numbers)
    first, last = (_box_time(value, time) if has_times else None for time in (start, stop))
    return Box(x=x, y=y, width=width, height=height, start=first, stop=last)


def _box_time(box: str, time: str) -> Fraction | None:
    try:
        return parse_time("--box", time)
    except ConfigError as error:
        raise ConfigError(
            f"`--box {box}` has a time that is none: `{time}`", hint=error.hint
        ) from None


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


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
