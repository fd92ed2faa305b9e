"""`vsr fill`: frames that are missing, made of those before and after them."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vsr_cli import api
from vsr_cli.cancellation import StopRequest
from vsr_cli.cli.console import print_line, print_result
from vsr_cli.cli.damage import DamageWatch
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.job import Flags, run_job
from vsr_cli.cli.json_events import report_as_json, write_event
from vsr_cli.cli.options_all import with_options
from vsr_cli.cli.options_input import input_options
from vsr_cli.cli.options_job import job_options
from vsr_cli.cli.options_output import output_options
from vsr_cli.cli.options_repair import fill_options
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.cli.sources import parse_target
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.exit_codes import ExitCode
from vsr_cli.options import Options

FILL_EXAMPLES = """\b
Examples:
  vsr fill in.mp4 out.mp4
  vsr fill in.mp4 out.mp4 --find frozen --most 4
  vsr fill in.mp4 out.mp4 --frames-list 120,300-303
  vsr fill in.mp4 --list --json
"""


@with_options(
    *(fill_options, input_options, output_options, job_options),
    defaults={"on_decode_error": "fill"},
)
def fill(
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
    only_list: Annotated[
        bool, typer.Option("--list", help="Only tell which frames; write nothing.")
    ] = False,
    flags: Flags,
) -> None:
    """Make frames that are damaged, black or frozen anew of those around them."""
    stop = StopRequest()
    with report_failures(verbose=flags.verbose, as_json=flags.as_json, stop=stop):
        if only_list:
            _list(source, options, quiet=flags.quiet, as_json=flags.as_json)
            return
        if target is None:
            raise ConfigError("there is no TARGET", hint="name one, or use `--list`")
        worker = api.Repairer("fill", stop=stop, **options)
        run_job(source, target, worker, worker.repair, flags)


def _list(source: Path, options: Options, *, quiet: bool, as_json: bool) -> None:
    """Tell which frames would be made anew, one line for each row of them."""
    num_frames, damage = 0, DamageWatch()
    with progress_bar(quiet=quiet) as render:
        report = tee(tee(render, report_as_json) if as_json else render, damage)
        for gap in api.find_gaps(source, report=report, **options):
            num_frames += gap.last - gap.first + 1
            if as_json:
                write_event("gap", {**asdict(gap), "start": round(float(gap.start), 6)})
                continue
            frames = f"{gap.first}" if gap.first == gap.last else f"{gap.first}-{gap.last}"
            print_result(f"{frames}\t{float(gap.start):.3f} s\t{', '.join(gap.reasons)}")
    if not quiet:
        print_line(f"{counted(num_frames, 'frame')} would be made anew; nothing is written")
    if damage.has_damage:
        raise typer.Exit(ExitCode.SOURCE_DAMAGED)
