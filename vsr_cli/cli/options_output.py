"""Options about what is written, and the `OutputConfig` they make."""

from typing import Annotated, Literal

import typer

from vsr_cli.cli.options import RARE
from vsr_cli.config import OutputConfig


def output_config(
    *,
    video_codec: Annotated[
        str | None,
        typer.Option(
            *("--vcodec", "-c:v"),
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
            metavar="NAME",
            help="The encoder's speed.",
            show_default="the encoder's",
        ),
    ] = OutputConfig.preset,
    pix_fmt: Annotated[
        str | None,
        typer.Option(
            *("--pix-fmt", "-pix_fmt"),
            metavar="NAME",
            help="Pixel format, as FFmpeg names it.",
            show_default="fits the source",
            **RARE,
        ),
    ] = OutputConfig.pix_fmt,
    audio: Annotated[
        Literal["copy", "none"], typer.Option(help="What to do with sound.")
    ] = OutputConfig.audio,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace TARGET.")
    ] = OutputConfig.overwrite,
) -> OutputConfig:
    """Options -> how the target is written.

    Raises:
        ConfigError: a value is out of range, or two contradict each other.
    """
    return OutputConfig(
        video_codec=video_codec,
        crf=crf,
        preset=preset,
        pix_fmt=pix_fmt,
        overwrite=overwrite,
        audio=audio,
    )
