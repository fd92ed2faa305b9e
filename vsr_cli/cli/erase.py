"""`vsr erase`: marks, text and objects taken out of the picture."""

from pathlib import Path
from typing import Annotated

import typer

from vsr_cli import api
from vsr_cli.cancellation import StopRequest
from vsr_cli.cli.console import print_line
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.job import Flags, run_job
from vsr_cli.cli.json_events import report_as_json
from vsr_cli.cli.options_all import with_options
from vsr_cli.cli.options_input import input_options
from vsr_cli.cli.options_job import job_options
from vsr_cli.cli.options_output import output_options
from vsr_cli.cli.options_repair import erase_options
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.cli.sources import parse_target
from vsr_cli.errors import ConfigError
from vsr_cli.options import Options

ERASE_EXAMPLES = """\b
Examples:
  vsr erase in.mp4 out.mp4 --box 1610,40,250,90
  vsr erase in.mp4 out.mp4 --box 0,-120,1920,110@0:10-0:14
  vsr erase in.mp4 out.mp4 --mask mask.png
  vsr erase in.mp4 --mask mask.png --show-mask look.png
Marks may be there for a reason: erase what is yours to erase.
"""


@with_options(erase_options, input_options, output_options, job_options)
def erase(
    options: Options,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", readable=False, help="Video to read.")
    ],
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="TARGET", parser=parse_target, help="Video to write, or a folder for it."
        ),
    ] = None,
    *,
    show_mask: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="PNG", help="Only draw what is masked on three frames."
        ),
    ] = None,
    flags: Flags,
) -> None:
    """Replace what is masked by what other frames show in its place."""
    stop = StopRequest()
    with report_failures(verbose=flags.verbose, as_json=flags.as_json, stop=stop):
        if show_mask is not None:
            with progress_bar(quiet=flags.quiet) as render:
                report = tee(render, report_as_json) if flags.as_json else render
                api.show_mask(source, show_mask, report=report, **options)
            if not flags.quiet:
                print_line(f"wrote `{show_mask}`; nothing is erased")
            return
        if target is None:
            raise ConfigError("there is no TARGET", hint="name one, or use `--show-mask`")
        worker = api.Repairer("erase", stop=stop, **options)
        run_job(source, target, worker, worker.repair, flags)
