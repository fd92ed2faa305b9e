"""`vsr export`: the model as graphs, for programs without torch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vsr_cli import api
from vsr_cli.cli.configured import with_settings
from vsr_cli.cli.console import print_line
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import report_as_json
from vsr_cli.cli.options import AsJson, Model, Quiet, Steps
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.config import SamplerConfig
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.events import Event, Exported, GraphChecked

EXPORT_EXAMPLES = """\b
Examples:
  vsr export small-onnx/
  vsr export --verify small-onnx/
  vsr export trt/ --engine --size 640x480 --size 1280x720
"""


@with_settings("model", "steps")
def export(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", readable=False, help="Folder to write.")
    ],
    *,
    model: Model = None,
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"],
        typer.Option("--dtype", "--precision", help="What networks compute in."),
    ] = "float32",
    opset: Annotated[int, typer.Option(metavar="N", help="Of ONNX, 18 to 23.")] = 20,
    steps: Steps = SamplerConfig.steps,
    check: Annotated[
        bool, typer.Option(help="Compute all graphs in onnxruntime, against torch.")
    ] = True,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check FOLDER, which is there; write nothing.")
    ] = False,
    engine: Annotated[
        bool, typer.Option("--engine", help="Build TensorRT engines for the GPU here.")
    ] = False,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help="Sources that engines are for; may be repeated."),
    ] = None,
    num_frames: Annotated[
        int, typer.Option("--frames", metavar="N", help="Most frames of a clip, of engines.")
    ] = 8,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace an earlier export.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write the model as ONNX graphs that give the same video without torch."""
    with report_failures(as_json=as_json):
        checks = list[GraphChecked]()

        def listen(event: Event) -> None:
            if isinstance(event, GraphChecked):
                checks.append(event)
            if as_json:
                report_as_json(event)

        with progress_bar(quiet=quiet) as render:
            report = tee(render, listen)
            if verify:
                if engine or size or overwrite:
                    raise ConfigError(
                        "`--verify` writes nothing", hint="leave out `-y`, `--engine` and `--size`"
                    )
                api.verify_export(folder, report=report)
                done = None
            else:
                done = api.export_model(
                    folder,
                    model=model,
                    dtype=dtype,
                    opset=opset,
                    steps=steps,
                    check=check,
                    engine=engine,
                    size=size or [],
                    num_frames=num_frames,
                    overwrite=overwrite,
                    report=report,
                )
        if not quiet:
            _tell(folder, done, checks)


def _tell(folder: Path, done: Exported | None, checks: list[GraphChecked]) -> None:
    """What has come of it, for people."""
    if done is not None:
        engines = f" and {counted(done.engines, 'engine')}" if done.engines else ""
        amount = f"{done.num_bytes / 1e6:.0f} MB in {done.seconds:.0f} s"
        print_line(f"wrote `{folder}`: {counted(done.graphs, 'graph')}{engines}, {amount}")
    outputs = [check for check in checks if check.unit == "range"]
    videos = [check for check in checks if check.unit == "codes"]
    if outputs and videos:
        worst = max(outputs, key=lambda check: check.error)
        code = max(check.error for check in videos)
        print_line(
            f"checked {counted(len(outputs), 'output')}: off by at most {worst.error:.1e} of the "
            f"range (`{worst.graph}`), small videos by {code:.4f} codes on average"
        )
    elif not checks:
        print_line("note: nothing was checked; `vsr export --verify` does that")
