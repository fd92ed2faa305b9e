"""Options about what is read."""

from typing import Annotated

import typer

from vsr_cli.cli.options import RARE
from vsr_cli.config import Alpha, Deinterlace, InputConfig, OnDecodeError


def input_options(
    *,
    start: Annotated[
        str | None,
        typer.Option(
            *("--start", "-ss"), metavar="TIME", help="Begin there: seconds, or HH:MM:SS.mmm."
        ),
    ] = None,
    to: Annotated[
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
    input_fps: Annotated[
        str | None,
        typer.Option(
            *("--input-fps", "--raw-rate"),
            metavar="N",
            help="Frames per second of images, raw video and streams without times.",
            show_default="25",
            **RARE,
        ),
    ] = None,
    on_decode_error: Annotated[
        OnDecodeError,
        typer.Option(
            help="For a lost frame: the one before, one made anew, none, or an error.", **RARE
        ),
    ] = InputConfig.on_decode_error,
) -> None:
    """Options about what is read, and how it is understood."""
