"""`vsr batch`: many videos with one model, each on its own; safe to run again, or twice at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.api import Upscaler
from vsr_cli.cancellation import StopRequest
from vsr_cli.cli.batch_run import Batch
from vsr_cli.cli.command_line import with_command
from vsr_cli.cli.console import show_debug_log
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.options import RARE, AsJson, DryRun, Quiet, Verbose
from vsr_cli.cli.options_all import with_batch_options
from vsr_cli.cli.sources import DEFAULT_NAME, Source, check_template, find_sources
from vsr_cli.cli.watch import Watch
from vsr_cli.errors import ConfigError
from vsr_cli.options import Options

BATCH_EXAMPLES = """\b
Examples:
  vsr batch tapes/ -o up --recursive
  vsr batch *.avi -o up --name '{stem}.mp4' --steps 50
  find . -name '*.mp4' -print0 | vsr batch --jobs-file - -0 -o up
  vsr batch inbox/ -o up --watch
"""


@with_batch_options
def batch(
    options: Options,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(readable=False, metavar="SOURCE", help="Files, folders, patterns."),
    ] = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", readable=False, metavar="DIR", help="Where results go.")
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Of each result: stem, ext, name, width, height.")
    ] = DEFAULT_NAME,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Folders within folders, too.")
    ] = False,
    jobs_file: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="FILE", help="A list of sources; `-` is stdin."),
    ] = None,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="NUL ends each entry of the list.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first that fails.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with what comes into the folders.")
    ] = False,
    every: Annotated[
        float, typer.Option(metavar="S", min=0.01, help="Seconds between two looks.", **RARE)
    ] = 5.0,
    exit_when_idle: Annotated[
        float | None,
        typer.Option(metavar="S", min=0, help="Watch until S seconds pass without work.", **RARE),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Watching, try again what has failed before.", **RARE)
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Upscale many videos into the folder DIR; those that are finished are skipped."""
    stop = StopRequest()
    with report_failures(verbose=verbose, as_json=as_json, stop=stop) as errors:
        if verbose:
            show_debug_log()
        upscaler = Upscaler(stop=stop, **options)
        check_template(name)
        upscaler.config = with_command(upscaler.config)
        work = Batch(
            upscaler=upscaler, out=out, template=name, errors=errors, as_json=as_json, quiet=quiet
        )
        if watch:
            replaces = upscaler.config.output.overwrite
            given = _folders(sources, jobs_file, is_dry=dry_run, replaces=replaces)
            watcher = Watch(work, given, recursive=recursive, retry=retry)
            with upscaler.kept():
                watcher.run(every, exit_when_idle, is_fail_fast=fail_fast)
        else:
            if exit_when_idle is not None or retry:
                raise ConfigError(
                    "`--exit-when-idle` and `--retry` are about watching", hint="add `--watch`"
                )
            found = find_sources(
                sources or [], out, recursive=recursive, jobs_file=jobs_file, is_null=null
            )
            work.num_files = len(found)
            with upscaler.kept():
                _do_all(work, found, is_dry=dry_run, is_fail_fast=fail_fast)
        work.sum_up()


def _do_all(work: Batch, found: Sequence[Source], *, is_dry: bool, is_fail_fast: bool) -> None:
    """Make all videos, one after the other, or say what would be made."""
    if is_dry:
        for source in found:
            work.look(source)
        work.sum_up_plans()
        return
    work.foresee(found)
    for number, source in enumerate(found, 1):
        # Nothing is begun ahead where this one may be the last.
        following = () if is_fail_fast else found[number:]
        if work.make(source, following).status == "failed" and is_fail_fast:
            return


def _folders(
    sources: Sequence[Path] | None, jobs_file: Path | None, *, is_dry: bool, replaces: bool
) -> list[Path]:
    """The folders to watch.

    Raises:
        ConfigError: one is no folder, or what is asked for makes no sense in watching.
    """
    if replaces:
        raise ConfigError(
            "`--watch` and `-y` contradict each other",
            why="a video is done when its target exists",
            hint="remove targets that are to be made anew",
        )
    if jobs_file is not None or is_dry:
        other = "--dry-run" if is_dry else "--jobs-file"
        raise ConfigError(f"`--watch` and `{other}` contradict each other", hint="give one")
    for source in sources or ():
        if not source.is_dir():
            raise ConfigError(f"`{source}` is not a folder that exists", hint="name a folder")
    if not sources:
        raise ConfigError("no folder was given", hint="name the folders to watch")
    return list(sources)
