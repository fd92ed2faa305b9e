"""`vsr evaluate` and `vsr bench`: what quality and what a frame costs, in tables."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from vsr_cli.cli.console import say, say_json, user_errors
from vsr_cli.config import MAX_STEPS, DtypeChoice, SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Cost, Event, Progress

Level = Literal["clean", "mild", "heavy"]
LEVELS: tuple[Level, ...] = ("clean", "mild", "heavy")

Steps = Annotated[
    list[int] | None,
    typer.Option(metavar="N", min=1, max=MAX_STEPS, help="Denoising steps; may be repeated."),
]
Model = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Weights.", show_default="the shipped ones")
]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")]
Dtype = Annotated[DtypeChoice, typer.Option(help="Number format of networks.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON.")]


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Clips that count as the truth.")],
    *,
    steps: Steps = None,
    level: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="clean, mild or heavy; may be repeated.", show_default="all three"
        ),
    ] = None,
    num_frames: Annotated[
        int, typer.Option("--frames", min=2, metavar="N", help="Taken from each clip.")
    ] = 12,
    lpips_weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="SqueezeNet LPIPS, for the perceptual columns."),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to put side-by-side sheets.")
    ] = None,
    model: Model = UpscaleConfig.model,
    motion_scale: Annotated[
        float, typer.Option(metavar="X", help="Pull along the motion.")
    ] = SamplerConfig.motion_scale,
    fidelity: Annotated[
        float, typer.Option(metavar="W", help="0 invents detail, 1 stays with the source.")
    ] = UpscaleConfig.fidelity,
    device: Device = UpscaleConfig.device,
    dtype: Dtype = UpscaleConfig.dtype,
    seed: Annotated[int, typer.Option(metavar="N", help="Of degradation and noise.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Degrade the clips of DIR, restore them, and measure against bicubic and Lanczos."""
    with user_errors(as_json=as_json):
        from vsr_cli.models.files import shipped_weights
        from vsr_cli.models.weights import load_weights
        from vsr_cli.pipeline.upscale import frame_upscaler
        from vsr_cli.quality.evaluate import bicubic, lanczos
        from vsr_cli.quality.evaluate import evaluate as measure
        from vsr_cli.quality.metrics import Lpips

        network = load_weights(model or shipped_weights())
        counts = steps or [network.default_steps]
        jobs = {}
        for count in counts:
            config = UpscaleConfig(
                fidelity=fidelity,
                device=device,
                dtype=dtype,
                sampler=SamplerConfig(steps=count, seed=seed, motion_scale=motion_scale),
            )
            jobs[f"small@{count}"] = frame_upscaler(network, config)
        table = measure(
            folder,
            {"bicubic": bicubic, "lanczos": lanczos, **jobs},
            [_parse_level(name) for name in level or LEVELS],
            lpips=Lpips(lpips_weights) if lpips_weights else None,
            num_frames=num_frames,
            seed=seed,
            pictures=pictures,
            report=_say_progress,
        )
        typer.echo(table.json() if as_json else table.markdown())


def bench(
    *,
    steps: Steps = None,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help="Source size; may be repeated.", show_default="320x180"),
    ] = None,
    num_frames: Annotated[int, typer.Option("--frames", min=2, metavar="N")] = 8,
    model: Model = UpscaleConfig.model,
    device: Device = UpscaleConfig.device,
    dtype: Dtype = UpscaleConfig.dtype,
    as_json: AsJson = False,
) -> None:
    """Measure TFLOP and seconds for each frame on this machine; video files not included."""
    with user_errors(as_json=as_json):
        from vsr_cli.pipeline.bench import measure

        config = UpscaleConfig(model=model, device=device, dtype=dtype)
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


def _parse_level(name: str) -> Level:
    """A degradation, by its name."""
    for known in LEVELS:
        if name == known:
            return known
    raise ConfigError(f"`--level {name}` is no degradation", hint="use " + ", ".join(LEVELS))


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


def _say_progress(event: Event) -> None:
    if isinstance(event, Progress):
        say(f"{event.stage}: {event.frame} of {event.num_frames}, {event.seconds:.0f} s")
