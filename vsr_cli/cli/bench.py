"""`vsr bench`: what a frame costs, in a table."""

from dataclasses import asdict
from typing import Annotated

import typer

from vsr_cli.cli.console import say, say_json, user_errors
from vsr_cli.cli.options import Device, Dtype, Model, ResultAsJson, SeveralSteps, find_model
from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Cost, Event


def bench(
    *,
    steps: SeveralSteps = None,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help="Source size; may be repeated.", show_default="320x180"),
    ] = None,
    num_frames: Annotated[int, typer.Option("--frames", min=2, metavar="N")] = 8,
    model: Model = None,
    device: Device = UpscaleConfig.device,
    dtype: Dtype = UpscaleConfig.dtype,
    as_json: ResultAsJson = False,
) -> None:
    """Measure TFLOP and seconds for each frame on this machine; video files not included."""
    with user_errors(as_json=as_json):
        from vsr_cli.pipeline.bench import measure

        config = UpscaleConfig(model=find_model(model), device=device, dtype=dtype)
        if not as_json:
            typer.echo("| source | steps | TFLOP/frame | s/frame | frames/s | peak GB |")
            typer.echo("|---|---|---|---|---|---|")
        runtime = measure(
            config,
            [_parse_size(text) for text in size or ["320x180"]],
            steps or [1, 4, 15, 50],
            num_frames,
            _say_cost_as_json if as_json else _say_cost,
        )
        say(f"on {runtime.device}, {str(runtime.dtype).removeprefix('torch.')}")


def _parse_size(text: str) -> tuple[int, int]:
    """`WxH` -> (height, width)."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) >= 8 and int(height) >= 8):
        raise ConfigError(f"`--size {text}` is not a size", hint="use WxH, such as 320x180")
    return int(height), int(width)


def _say_cost(cost: Event) -> None:
    if not isinstance(cost, Cost):
        return
    height, width = cost.lr_size
    peak = "-" if cost.peak_gb is None else f"{cost.peak_gb:.2f}"
    typer.echo(
        f"| {width}x{height} | {cost.steps} | {cost.tflop:.3f} | {cost.seconds:.3f} "
        f"| {1 / cost.seconds:.2f} | {peak} |"
    )


def _say_cost_as_json(cost: Event) -> None:
    if isinstance(cost, Cost):
        say_json("cost", asdict(cost))
