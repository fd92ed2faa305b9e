"""`vsr bench`: what a frame costs, in a table."""

from typing import Annotated

import typer

from vsr_cli import api
from vsr_cli.cli.configured import with_settings
from vsr_cli.cli.console import print_line, print_result
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import report_as_json
from vsr_cli.cli.options import Device, Dtype, Model, ResultAsJson, SeveralSteps
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.config import UpscaleConfig
from vsr_cli.events import BenchResult, Event

COLUMNS = (
    *("source", "scale", "steps", "TFLOP", "s/frame", "frames/s", "sampling", "decoding", "colour"),
    *("flow", "TFLOP/s", "of ceiling", "peak GB", "planned GB"),
)


@with_settings("model", "device", "dtype", "steps", "scale")
def bench(
    *,
    steps: SeveralSteps = None,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help="Source size; may be repeated.", show_default="320x180"),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(*("--scale", "-s"), metavar="N", help="May be repeated.", show_default="4"),
    ] = None,
    num_frames: Annotated[int, typer.Option("--frames", min=2, metavar="N")] = 8,
    quick: Annotated[
        bool, typer.Option("--quick", help="One small size and few frames: half a minute.")
    ] = False,
    model: Model = None,
    device: Device = UpscaleConfig.device,
    dtype: Dtype = UpscaleConfig.dtype,
    as_json: ResultAsJson = False,
) -> None:
    """Measure what frames cost on this machine, in time and memory; video files not included.

    Sampling, decoding, colour and flow are shares of the time of a frame; flow is estimated while
    the networks compute. The ceiling is what a convolution reaches on this device.
    """
    with report_failures(as_json=as_json):
        from vsr_cli.pipeline.memory import reuse_memory

        reuse_memory()
        if not as_json:
            print_result("| " + " | ".join(COLUMNS) + " |")
            print_result("|" + "---|" * len(COLUMNS))
        with progress_bar() as render:
            *_, last = api.bench(
                size=size or ["160x90" if quick else "320x180"],
                scale=scale or ["4"],
                steps=steps or ([4] if quick else [1, 4, 15, 50]),
                num_frames=min(num_frames, 4) if quick else num_frames,
                report=tee(render, report_as_json if as_json else _print_result),
                model=model,
                device=device,
                dtype=dtype,
            )
        print_line(f"on {last.device}, {last.dtype}, at most {last.ceiling:.3f} TFLOP/s")


def _print_result(result: Event) -> None:
    if not isinstance(result, BenchResult):
        return
    height, width = result.lr_size
    reached = result.tflop / result.seconds
    shares = (
        f"{100 * result.shares[name]:.0f} %" for name in ("sample", "decode", "color", "flow")
    )
    cells = (
        *(f"{width}x{height}", result.scale, str(result.steps), f"{result.tflop:.3f}"),
        *(f"{result.seconds:.3f}", f"{1 / result.seconds:.2f}", *shares),
        *(f"{reached:.3f}", f"{100 * reached / result.ceiling:.0f} %"),
        *("-" if gb is None else f"{gb:.2f}" for gb in (result.peak_gb, result.planned_gb)),
    )
    print_result("| " + " | ".join(cells) + " |")
