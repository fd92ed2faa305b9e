"""Options about what is read, and the `InputConfig` they make."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, TypeVar

import typer

from vsr_cli.cli.options import RARE
from vsr_cli.config import Alpha, Deinterlace, InputConfig, OnDecodeError
from vsr_cli.errors import ConfigError
from vsr_cli.pixels import MATRIX_NAMES, PRIMARIES_NAMES, RANGE_NAMES, TRANSFER_NAMES

Code = TypeVar("Code")


def input_config(
    *,
    start: Annotated[
        str | None,
        typer.Option(
            *("--start", "-ss"), metavar="TIME", help="Begin there: seconds, or HH:MM:SS.mmm."
        ),
    ] = None,
    stop: Annotated[
        str | None, typer.Option(*("--to", "-to"), metavar="TIME", help="End there.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option(*("--duration", "-t"), metavar="TIME", help="End after that.")
    ] = None,
    frames: Annotated[
        str | None, typer.Option(metavar="A:B", help="Only frames A to B-1, counted from 0.")
    ] = None,
    video_stream: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Which picture, counted from 0.", show_default="the best", **RARE
        ),
    ] = InputConfig.video_stream,
    in_matrix: Annotated[
        str, typer.Option(metavar="NAME", help="Colour matrix of SOURCE, as `bt709`.", **RARE)
    ] = "auto",
    in_range: Annotated[
        str, typer.Option(metavar="NAME", help="`limited` or `full`.", **RARE)
    ] = "auto",
    in_primaries: Annotated[
        str, typer.Option(metavar="NAME", help="Colour primaries, as `bt709`.", **RARE)
    ] = "auto",
    in_transfer: Annotated[
        str, typer.Option(metavar="NAME", help="Transfer function, as `smpte2084`.", **RARE)
    ] = "auto",
    deinterlace: Annotated[
        Deinterlace,
        typer.Option(help="`frame`: one from two fields; `field`: one from each.", **RARE),
    ] = InputConfig.deinterlace,
    alpha: Annotated[
        Alpha, typer.Option(help="What to do with transparency.", **RARE)
    ] = InputConfig.alpha,
    in_format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Container of SOURCE, as FFmpeg names it.",
            show_default="found out",
            **RARE,
        ),
    ] = InputConfig.format,
    raw_size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size of raw video.", **RARE)
    ] = None,
    raw_pix_fmt: Annotated[
        str | None, typer.Option(metavar="NAME", help="Pixel format of raw video.", **RARE)
    ] = InputConfig.raw_pix_fmt,
    raw_rate: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Frames per second of raw video and of images.",
            show_default="25",
            **RARE,
        ),
    ] = None,
    on_decode_error: Annotated[
        OnDecodeError,
        typer.Option(help="Where a frame is lost: the one before, none, or an error.", **RARE),
    ] = InputConfig.on_decode_error,
) -> InputConfig:
    """Options -> what is read, and how it is understood.

    Raises:
        ConfigError: a value is out of range, or two contradict each other.
    """
    return InputConfig(
        on_decode_error=on_decode_error,
        start=parse_time("--start", start),
        stop=parse_time("--to", stop),
        duration=parse_time("--duration", duration),
        frames=parse_frames(frames),
        video_stream=video_stream,
        matrix=parse_name("--in-matrix", in_matrix, MATRIX_NAMES),
        range=parse_name("--in-range", in_range, RANGE_NAMES),
        primaries=parse_name("--in-primaries", in_primaries, PRIMARIES_NAMES),
        transfer=parse_name("--in-transfer", in_transfer, TRANSFER_NAMES),
        deinterlace=deinterlace,
        alpha=alpha,
        format=in_format,
        raw_size=parse_raw_size(raw_size),
        raw_pix_fmt=raw_pix_fmt,
        raw_rate=parse_rate(raw_rate),
    )


def parse_time(option: str, text: str | None) -> Fraction | None:
    """`90`, `1:30` or `0:01:30.5`, in seconds, without rounding.

    Raises:
        ConfigError: it is none of these.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", text)
    if match is None:
        raise ConfigError(
            f"`{option} {text}` is not a time", hint="use seconds, or HH:MM:SS.mmm, such as 1:02.5"
        )
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def parse_frames(text: str | None) -> tuple[int, int | None] | None:
    """`A:B`, `A:` or `:B`; A is the first frame, B the one after the last.

    Raises:
        ConfigError: it is none of these.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if match is None:
        raise ConfigError(
            f"`--frames {text}` is not a range", hint="use A:B, such as 0:100 for the first hundred"
        )
    first, last = match.groups()
    return int(first or 0), int(last) if last else None


def parse_name(option: str, text: str, names: Mapping[str, Code]) -> Code | None:
    """The code of a name; `auto` leaves it to the source.

    Raises:
        ConfigError: there is no such name.
    """
    if text == "auto":
        return None
    if text.lower() not in names:
        raise ConfigError(
            f"`{option} {text}` is not known",
            hint="use auto, " + ", ".join(names),
        )
    return names[text.lower()]


def parse_raw_size(text: str | None) -> tuple[int, int] | None:
    """`WxH` -> (height, width).

    Raises:
        ConfigError: it is no size.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)[x:]([1-9]\d*)", text)
    if match is None:
        raise ConfigError(f"`--raw-size {text}` is not a size", hint="use WxH, such as 1920x1080")
    return int(match[2]), int(match[1])


def parse_rate(text: str | None) -> Fraction | None:
    """`25`, `29.97` or `30000/1001`.

    Raises:
        ConfigError: it is no number.
    """
    if text is None:
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            f"`--raw-rate {text}` is not a number",
            hint="use frames per second, such as 25 or 30000/1001",
        ) from error
