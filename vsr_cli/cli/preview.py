"""`vsr preview`: what a job would make of a few places, and what all of it would cost."""

from pathlib import Path
from typing import Annotated

import typer

from vsr_cli import api
from vsr_cli.cancellation import StopRequest
from vsr_cli.cli.amounts import duration
from vsr_cli.cli.console import print_line, print_result, printable, show_debug_log
from vsr_cli.cli.damage import DamageWatch
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import report_as_json
from vsr_cli.cli.options import AsJson, Quiet, Verbose
from vsr_cli.cli.options_all import with_job_options
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.events import Prediction
from vsr_cli.exit_codes import ExitCode
from vsr_cli.options import Options

PREVIEW_EXAMPLES = """\b
Examples:
  vsr preview in.mp4
  vsr preview in.mp4 look.html --grid steps=4,50 --grid fidelity=1,0.6
  vsr preview in.mp4 frame.png --at 1:30 --frame
  vsr preview in.mp4 --crop auto
"""


@with_job_options
def preview(
    options: Options,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", readable=False, help="Video to look at.")
    ],
    out: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUT",
            readable=False,
            help="`.html`, `.png`, `.mp4` or a folder.",
            show_default="SOURCE.preview.html",
        ),
    ] = None,
    *,
    at: Annotated[
        str, typer.Option(metavar="TIME,...", help="Where: times, or shares of the length.")
    ] = "10%,50%,90%",
    seconds: Annotated[
        float, typer.Option(metavar="S", help="Length of a sample, at most 10.")
    ] = 2,
    frame: Annotated[bool, typer.Option("--frame", help="A single frame of each place.")] = False,
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V,V", help="Try each value of an option; may be repeated."),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(metavar="WxH+X+Y|auto", help="A piece of SOURCE; auto: what moves most."),
    ] = None,
    cache: Annotated[bool, typer.Option(help="Keep samples for the next preview.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what `vsr upscale` with the same options would make of a few places of SOURCE."""
    stop = StopRequest()
    with report_failures(verbose=verbose, as_json=as_json, stop=stop):
        if verbose:
            show_debug_log()
        from vsr_cli.pipeline.memory import reuse_memory

        reuse_memory()
        damage = DamageWatch()
        with progress_bar(quiet=quiet) as render:
            found = api.preview(
                source,
                out,
                at=at,
                seconds=seconds,
                frame=frame,
                grid=grid,
                crop=crop,
                cache=cache,
                report=tee(tee(render, report_as_json) if as_json else render, damage),
                stop=stop,
                **options,
            )
        if not as_json:
            for prediction in found.predictions:
                print_result(printable(prediction_line(prediction)))
        if not quiet:
            print_line(f"wrote `{found.out}`, in {duration(found.seconds)}")
        if damage.has_damage:
            raise typer.Exit(ExitCode.SOURCE_DAMAGED)


def prediction_line(found: Prediction) -> str:
    """What the whole job would cost, for people."""
    parts = [f"{found.s_per_frame:.2f} s/frame"]
    if found.seconds is not None:
        parts.append(f"the whole job about {duration(found.seconds)}")
    if found.bytes is not None:
        free = "" if found.free_disk_gb is None else f" ({found.free_disk_gb:g} GB are free)"
        parts.append(f"about {found.bytes / 1e6:.0f} MB{free}")
    if found.memory_gb is not None and found.free_memory_gb is not None:
        memory = f"about {found.memory_gb:.1f} GB of memory, {found.free_memory_gb:.1f} GB are free"
        parts.append(memory)
    name = f"{found.variant}: " if found.variant else ""
    return name + ", ".join(parts)
