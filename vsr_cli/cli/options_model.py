"""Options about the picture and how it is computed."""

from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.cli.complete import complete_size
from vsr_cli.cli.options import RARE, Device, Dtype, Fidelity, Model, MotionScale, Steps
from vsr_cli.config import (
    ClipConfig,
    ColorFix,
    FlowChoice,
    MgldMode,
    SamplerConfig,
    UpscaleConfig,
)


def model_options(
    *,
    scale: Annotated[
        str | None,
        typer.Option(
            *("--scale", "-s"),
            metavar="N",
            help="Enlargement per side, 1 to 4, such as 1.5 or 3/2.",
            show_default=str(UpscaleConfig.scale),
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Size of TARGET: 1080p, 4k, WxH, W:-2 or -2:H.",
            autocompletion=complete_size,
        ),
    ] = None,
    height: Annotated[
        int | None, typer.Option(metavar="N", help="Height of TARGET, its shape kept.", **RARE)
    ] = None,
    supersample: Annotated[
        bool,
        typer.Option("--supersample", help="Compute twice as large, then reduce: 4 times slower."),
    ] = UpscaleConfig.supersample,
    steps: Steps = SamplerConfig.steps,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Same seed, same video.")
    ] = SamplerConfig.seed,
    fidelity: Fidelity = UpscaleConfig.fidelity,
    strength: Annotated[
        float,
        typer.Option(metavar="W", help="Share of the result; the rest is SOURCE, resized."),
    ] = UpscaleConfig.strength,
    motion_scale: MotionScale = SamplerConfig.motion_scale,
    color: Annotated[
        ColorFix, typer.Option(help="How colours are brought back to the source's.", **RARE)
    ] = UpscaleConfig.color,
    model: Model = None,
    flow: Annotated[
        FlowChoice | None,
        typer.Option(
            help="Optical flow; `raft` needs weights.",
            show_default="raft where there are weights, else dis",
            **RARE,
        ),
    ] = None,
    flow_weights: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="FILE", help="RAFT weights, a file of yours.", **RARE),
    ] = UpscaleConfig.flow_weights,
    scene_cut: Annotated[
        bool, typer.Option(help="Start afresh at every cut.", **RARE)
    ] = UpscaleConfig.scene_cut,
    mgld_mode: Annotated[
        MgldMode | None,
        typer.Option(
            help="Of imported models: ours, or as published, to compare.",
            show_default="default",
            **RARE,
        ),
    ] = None,
    device: Device = UpscaleConfig.device,
    dtype: Dtype = UpscaleConfig.dtype,
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Compile networks first: minutes, for long jobs.", **RARE),
    ] = UpscaleConfig.compile,
    clip_length: Annotated[
        int, typer.Option(metavar="N", help="Frames computed together.", **RARE)
    ] = ClipConfig.length,
    tile: Annotated[
        str, typer.Option(metavar="N", help="auto, off, or a size in output pixels.", **RARE)
    ] = "auto",
) -> None:
    """Options about the picture and how it is computed."""
