"""Options about what is written."""

from typing import Annotated

import typer

from vsr_cli.cli.complete import (
    complete_encoder,
    complete_format,
    complete_pixel_format,
    complete_speed,
)
from vsr_cli.cli.options import RARE
from vsr_cli.config import Audio, OutputConfig, Subs, Verify


def output_options(
    *,
    vcodec: Annotated[
        str | None,
        typer.Option(
            *("--vcodec", "-c:v"),
            autocompletion=complete_encoder,
            metavar="NAME",
            help="Encoder, as FFmpeg names it.",
            show_default="fits target and source",
        ),
    ] = OutputConfig.video_codec,
    crf: Annotated[
        float | None,
        typer.Option(
            *("--crf", "-crf"),
            metavar="X",
            help="Lower is better and larger.",
            show_default="the encoder's",
        ),
    ] = OutputConfig.crf,
    preset: Annotated[
        str | None,
        typer.Option(
            *("--preset", "-preset"),
            autocompletion=complete_speed,
            metavar="NAME",
            help="The encoder's speed.",
            show_default="the encoder's",
        ),
    ] = OutputConfig.preset,
    pix_fmt: Annotated[
        str | None,
        typer.Option(
            *("--pix-fmt", "-pix_fmt"),
            autocompletion=complete_pixel_format,
            metavar="NAME",
            help="Pixel format, as FFmpeg names it.",
            show_default="fits the source",
            **RARE,
        ),
    ] = OutputConfig.pix_fmt,
    enc_opt: Annotated[
        list[str] | None,
        typer.Option(
            *("--enc-opt", "-x"), metavar="K=V", help="Setting of the encoder; repeat.", **RARE
        ),
    ] = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Lose nothing in coding: FFV1 in `.mkv`.", **RARE)
    ] = OutputConfig.lossless,
    format: Annotated[
        str | None,
        typer.Option(
            *("--format", "-f"),
            autocompletion=complete_format,
            metavar="NAME",
            help="Container, as FFmpeg names it.",
            show_default="by TARGET's extension; matroska for `-`",
        ),
    ] = OutputConfig.format,
    cfr: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Constant frames per second, such as 25 or 30000/1001.",
            show_default="the source's times",
            **RARE,
        ),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Make frames between, up to a constant rate above the source's, such as 60.",
            show_default="off",
        ),
    ] = None,
    audio: Annotated[
        Audio, typer.Option(help="Sound: as it is, none, or encoded again.")
    ] = OutputConfig.audio,
    subs: Annotated[Subs, typer.Option(help="Subtitles.", **RARE)] = OutputConfig.subs,
    chapters: Annotated[
        bool, typer.Option("--chapters/--no-chapters", help="Copy chapters.", **RARE)
    ] = OutputConfig.chapters,
    attachments: Annotated[
        bool, typer.Option("--attachments/--no-attachments", help="Copy fonts and covers.", **RARE)
    ] = OutputConfig.attachments,
    metadata: Annotated[
        bool, typer.Option("--metadata/--no-metadata", help="Copy titles and other tags.", **RARE)
    ] = OutputConfig.metadata,
    strict_copy: Annotated[
        bool,
        typer.Option("--strict-copy", help="Fail if TARGET cannot hold a stream as it is.", **RARE),
    ] = OutputConfig.strict_copy,
    verify: Annotated[
        Verify,
        typer.Option(help="Check the file: its packets, every frame, or not at all.", **RARE),
    ] = OutputConfig.verify,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace TARGET.")
    ] = OutputConfig.overwrite,
) -> None:
    """Options about how the target is written."""
