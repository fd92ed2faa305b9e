"""`vsr batch`: many videos with one model, each on its own; safe to run again, or twice at once."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.api import Upscaler
from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.cli.amounts import duration
from vsr_cli.cli.console import print_line, show_debug_log
from vsr_cli.cli.damage import DamageWatch
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import report_as_json, write_event
from vsr_cli.cli.options import AsJson, Quiet, Verbose
from vsr_cli.cli.options_all import with_job_options
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.cli.sources import DEFAULT_NAME, Source, check_template, find_sources, name_target
from vsr_cli.errors import ConfigError, JobBusyError, OutputError
from vsr_cli.events import Report
from vsr_cli.exit_codes import ExitCode
from vsr_cli.options import Options

BATCH_EXAMPLES = """\b
Examples:
  vsr batch tapes/ -o up --recursive
  vsr batch *.avi -o up --name '{stem}.mp4' --steps 50
  find . -name '*.mp4' -print0 | vsr batch --jobs-file - -0 -o up
"""


@dataclass(kw_only=True)
class Outcome:
    """What became of one video."""

    source: Path
    target: Path | None = None
    status: str = "failed"  # done, damaged, skipped, busy or failed
    exit: ExitCode = ExitCode.DONE
    frames: int = 0
    seconds: float = 0.0


@with_job_options
def batch(
    options: Options,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(readable=False, metavar="SOURCE...", help="Files, folders, patterns."),
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
        found = find_sources(sources or [], recursive=recursive, jobs_file=jobs_file, is_null=null)
        outcomes: list[Outcome] = []
        taken: dict[Path, Path] = {}  # sources by target: two must not write to one
        with progress_bar(quiet=quiet) as render:
            report = tee(render, report_as_json) if as_json else render
            for source in found:
                outcome = Outcome(source=source.path)
                try:
                    _upscale_one(upscaler, source, out, name, taken, outcome, report)
                except Stopped:
                    raise
                except Exception as error:  # the next one may do better, even after a bug
                    if errors.is_stopped:
                        raise
                    outcome.exit = errors.explain(error)
                outcomes.append(outcome)
                if as_json:
                    write_event("file", asdict(outcome))
                if fail_fast and outcome.status == "failed":
                    break
        _sum_up(outcomes, quiet=quiet, as_json=as_json)


def _upscale_one(
    upscaler: Upscaler,
    source: Source,
    out: Path,
    name: str,
    taken: dict[Path, Path],
    outcome: Outcome,
    report: Report,
) -> None:
    """Upscale one video and note what became of it.

    Raises:
        VsrError: whatever is wrong with this one.
    """
    folder = out / source.below
    target = outcome.target = folder / name_target(name, source.path, upscaler.config)
    if (other := taken.setdefault(target, source.path)) != source.path:
        raise ConfigError(
            f"`{source.path}` and `{other}` would both become `{target}`",
            hint="tell them apart with `--name`, for example by `{name}`",
        )
    if target.exists() and not upscaler.config.output.overwrite:
        upscaler.forget_finished(target)
        outcome.status = "skipped"
        return
    from vsr_cli.pipeline.memory import reuse_memory  # loads torch, as what follows

    reuse_memory()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"`{folder}` cannot be made", why=error.strerror, hint="choose another `--out`"
        ) from error
    damage = DamageWatch()
    try:
        done = upscaler.upscale(source.path, target, report=tee(report, damage))
    except JobBusyError:
        outcome.status = "busy"  # another batch is at it
        return
    report(done)
    outcome.status, outcome.frames, outcome.seconds = "done", done.frames_out, done.seconds
    if damage.has_damage:
        outcome.status, outcome.exit = "damaged", ExitCode.SOURCE_DAMAGED


def _sum_up(outcomes: list[Outcome], *, quiet: bool, as_json: bool) -> None:
    """Say what became of all, and leave with the exit code that tells it.

    Raises:
        typer.Exit: some failed or are damaged.
    """
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in ("done", "damaged", "skipped", "busy", "failed")
    }
    if not quiet and outcomes:
        print_line(f"{'status':8} {'code':>4} {'frames':>7} {'time':>8}  file")
        for o in outcomes:
            arrow = f" -> {o.target}" if o.target else ""
            time = duration(o.seconds) if o.frames else "-"
            print_line(f"{o.status:8} {o.exit:4} {o.frames or '-':>7} {time:>8}  {o.source}{arrow}")
        said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        print_line(f"{len(outcomes)} videos: {said}")
    if as_json:
        write_event("summary", counts)
    if counts["failed"]:
        raise typer.Exit(ExitCode.SOME_FAILED)
    if counts["damaged"]:
        raise typer.Exit(ExitCode.SOURCE_DAMAGED)
