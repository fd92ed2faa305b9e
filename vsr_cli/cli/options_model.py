"""Options about the picture and how it is computed, and the `UpscaleConfig` they make."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.cli.options import RARE, Device, Dtype, Fidelity, Model, MotionScale, Steps, find_model
from vsr_cli.config import (
    ClipConfig,
    ColorFix,
    FlowChoice,
    MgldMode,
    OutputConfig,
    SamplerConfig,
    UpscaleConfig,
)
from vsr_cli.errors import ConfigError


def upscale_config(
    output: OutputConfig,
    *,
    scale: Annotated[
        str,
        typer.Option(
            "--scale", "-s", metavar="N", help="Enlargement per side, 1 to 4, such as 1.5 or 3/2."
        ),
    ] = str(UpscaleConfig.scale),
    steps: Steps = SamplerConfig.steps,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Same seed, same video.")
    ] = SamplerConfig.seed,
    fidelity: Fidelity = UpscaleConfig.fidelity,
    motion_scale: MotionScale = SamplerConfig.motion_scale,
    color: Annotated[
        ColorFix, typer.Option(help="How colours are brought back to the source's.", **RARE)
    ] = UpscaleConfig.color,
    model: Model = None,
    flow: Annotated[
        FlowChoice, typer.Option(help="Optical flow; `raft` needs `--flow-weights`.", **RARE)
    ] = UpscaleConfig.flow,
    flow_weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="RAFT weights, a file of yours.", **RARE)
    ] = UpscaleConfig.flow_weights,
    scene_cut: Annotated[
        bool, typer.Option(help="Start afresh at every cut.", **RARE)
    ] = UpscaleConfig.scene_cut,
    mgld_mode: Annotated[
        MgldMode,
        typer.Option(help="Of imported models: ours, or as published, to compare.", **RARE),
    ] = UpscaleConfig.mgld_mode,
    device: Device = UpscaleConfig.device,
    dtype: Dtype = UpscaleConfig.dtype,
    clip_length: Annotated[
        int, typer.Option(metavar="N", help="Frames computed together.", **RARE)
    ] = ClipConfig.length,
    tile: Annotated[
        str, typer.Option(metavar="N", help="auto, off, or a size in output pixels.", **RARE)
    ] = "auto",
) -> UpscaleConfig:
    """Options -> a job, with what other options have made.

    Raises:
        ConfigError: a value is out of range, or two contradict each other.
    """
    return UpscaleConfig(
        scale=parse_scale(scale),
        model=find_model(model),
        fidelity=fidelity,
        color=color,
        flow=flow,
        flow_weights=flow_weights,
        scene_cut=scene_cut,
        tile=parse_tile(tile),
        mgld_mode=mgld_mode,
        device=device,
        dtype=dtype,
        clip=ClipConfig(length=clip_length, overlap=min(ClipConfig.overlap, clip_length // 2)),
        sampler=SamplerConfig(steps=steps, seed=seed, motion_scale=motion_scale),
        output=output,
    )


def parse_scale(text: str) -> Fraction:
    """`2`, `1.5` or `3/2`.

    Raises:
        ConfigError: it is no number.
    """
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            f"`--scale {text}` is not a number", hint="use 1 to 4, such as 2, 1.5 or 3/2"
        ) from error


def parse_tile(text: str) -> int | None:
    """`auto` leaves it to the memory, `off` is 0, a number is the size in output pixels.

    Raises:
        ConfigError: it is none of these.
    """
    if text == "auto":
        return None
    if text == "off":
        return 0
    if not text.isdecimal():
        raise ConfigError(
            f"`--tile {text}` is not a size", hint="use auto, off, or output pixels such as 512"
        )
    return int(text)
