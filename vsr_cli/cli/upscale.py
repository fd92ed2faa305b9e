"""`vsr upscale`: options become an `UpscaleConfig`, the pipeline does the work."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.api import Upscaler
from vsr_cli.cancellation import StopRequest
from vsr_cli.cli.console import print_line, show_debug_log
from vsr_cli.cli.damage import DamageWatch
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import report_as_json, require_other_file, write_event, write_events_to
from vsr_cli.cli.options import AsJson, ProgressFile, Quiet, Verbose
from vsr_cli.cli.options_all import with_job_options
from vsr_cli.cli.progress import plan_lines, progress_bar, tee
from vsr_cli.cli.sources import name_beside
from vsr_cli.errors import ConfigError
from vsr_cli.exit_codes import ExitCode
from vsr_cli.options import Options
from vsr_cli.stdio import is_stdout

EXAMPLES = """\b
Examples:
  vsr upscale in.mp4 out.mp4
  vsr in.mp4
  vsr upscale in.avi out.mkv --steps 50 --scale 2
  vsr upscale in.mp4 - | mpv -
  vsr upscale -n --json -- -odd-name.mov out.mp4
"""


@with_job_options
def upscale(
    options: Options,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", readable=False, help="Video to read.")
    ],
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="[TARGET]",
            readable=False,
            help="Video to write.",
            show_default="beside SOURCE, named by size",
        ),
    ] = None,
    *,
    skip_existing: Annotated[
        bool,
        typer.Option(*("--skip-existing", "-n"), help="Succeed if TARGET exists."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check and say, write nothing."),
    ] = False,
    as_json: AsJson = False,
    progress_file: ProgressFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Upscale the video SOURCE and write it to TARGET, sound and timing kept."""
    stop = StopRequest()
    to_stdout, as_json = as_json, as_json or progress_file is not None
    with report_failures(verbose=verbose, as_json=as_json, stop=stop):
        upscaler = Upscaler(stop=stop, **options)
        if target is None:
            target = name_beside(source, upscaler.config)
            if not quiet:
                print_line(f"writing `{target}`")
        if progress_file is not None:
            require_other_file(progress_file, source, target)
            write_events_to(progress_file)
        if verbose:
            show_debug_log()
        if to_stdout and progress_file is not None:
            raise ConfigError("`--json` and `--progress-file` say the same", hint="give one")
        if to_stdout and is_stdout(target):
            write_events_to(None)
            raise ConfigError(
                "standard output cannot hold both video and events",
                why="`-` writes the video there, and `--json` the events",
                hint="use `--progress-file fd:3 3>events.ndjson`, or a file name",
            )
        if skip_existing and upscaler.config.output.overwrite:
            raise ConfigError("`-n` and `-y` contradict each other", hint="give one of them")
        if skip_existing and not is_stdout(target) and target.exists():
            upscaler.forget_finished(target)
            _skip(target, quiet=quiet, as_json=as_json)
        elif dry_run:
            _show_plan(source, target, upscaler, quiet=quiet, as_json=as_json)
        else:
            run(source, target, upscaler, quiet=quiet, as_json=as_json)


def run(
    source: Path,
    target: Path,
    upscaler: Upscaler,
    *,
    quiet: bool,
    as_json: bool = False,
) -> None:
    """Upscale one video and show how it goes.

    Raises:
        VsrError: whatever the pipeline refuses.
        BrokenPipeError: nobody reads the target.
    """
    from vsr_cli.pipeline.memory import reuse_memory  # loads torch, as what follows

    if is_stdout(target) and sys.stdout is None:
        raise BrokenPipeError("standard output is closed")
    reuse_memory()
    damage = DamageWatch()
    with progress_bar(quiet=quiet) as render:
        report = tee(tee(render, report_as_json) if as_json else render, damage)
        done = upscaler.upscale(source, target, report=report)
    report(done)
    if damage.has_damage:
        raise typer.Exit(ExitCode.SOURCE_DAMAGED)


def _skip(target: Path, *, quiet: bool, as_json: bool) -> None:
    if not quiet:
        print_line(f"kept `{target}`: it exists")
    if as_json:
        write_event("skipped", {"out": target})


def _show_plan(
    source: Path, target: Path, upscaler: Upscaler, *, quiet: bool, as_json: bool
) -> None:
    """Check both ends of the job and say what would be done; no model is loaded.

    Raises:
        VsrError: the source cannot be read, or the target not be written.
    """
    with progress_bar(quiet=quiet) as render:
        report = tee(render, report_as_json) if as_json else render
        plan = upscaler.plan(source, target, report=report)
    if not quiet:
        for line in plan_lines(plan):
            print_line(line)
        print_line("nothing is written: this is a dry run")
    if as_json:
        write_event("plan", {**asdict(plan), "dry_run": True})
