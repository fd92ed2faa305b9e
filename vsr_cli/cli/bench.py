"""`vsr bench`: what a frame costs, in a table."""

from typing import Annotated

import typer

from vsr_cli import api
from vsr_cli.cli.console import print_line, print_result
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import report_as_json
from vsr_cli.cli.options import Device, Dtype, Model, ResultAsJson, SeveralSteps
from vsr_cli.config import UpscaleConfig
from vsr_cli.events import BenchResult, Event


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
    with report_failures(as_json=as_json):
        from vsr_cli.pipeline.memory import reuse_memory

        reuse_memory()
        if not as_json:
            print_result("| source | steps | TFLOP/frame | s/frame | frames/s | peak GB |")
            print_result("|---|---|---|---|---|---|")
        *_, last = api.bench(
            size=size or ["320x180"],
            steps=steps or [1, 4, 15, 50],
            num_frames=num_frames,
            report=report_as_json if as_json else _print_result,
            model=model,
            device=device,
            dtype=dtype,
        )
        print_line(f"on {last.device}, {last.dtype}")


def _print_result(result: Event) -> None:
    if not isinstance(result, BenchResult):
        return
    height, width = result.lr_size
    peak = "-" if result.peak_gb is None else f"{result.peak_gb:.2f}"
    print_result(
        f"| {width}x{height} | {result.steps} | {result.tflop:.3f} | {result.seconds:.3f} "
        f"| {1 / result.seconds:.2f} | {peak} |"
    )
