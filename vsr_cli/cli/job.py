"""How commands that make one target of one source run their job and show it."""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import typer

from vsr_cli.cli.command_line import with_command
from vsr_cli.cli.console import print_line, show_debug_log
from vsr_cli.cli.damage import DamageWatch
from vsr_cli.cli.json_events import report_as_json, require_other_file, write_event, write_events_to
from vsr_cli.cli.options import AsJson, DryRun, ProgressFile, Quiet, SkipExisting, Verbose
from vsr_cli.cli.plan_text import plan_lines
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.cli.sources import make_folder, name_in_folder, stand_in
from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Done, Plan, Report
from vsr_cli.exit_codes import ExitCode
from vsr_cli.stdio import is_stdout


class Worker(Protocol):
    """What the functions here need of a class of `vsr_cli.api`."""

    config: UpscaleConfig

    def plan(self, source: Path, target: Path, *, report: Report) -> Plan:
        """Say what would be done."""

    def is_made(self, target: Path) -> bool:
        """Whether there is something under the name of a target."""

    def forget_finished(self, target: Path) -> None:
        """Remove what a crash has left beside a target that is complete."""


class Work(Protocol):
    """Makes a target of a source."""

    def __call__(self, source: Path, target: Path, *, report: Report) -> Done: ...


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What all such commands have beside the options of a job, as it is typed."""

    skip_existing: SkipExisting = False
    dry_run: DryRun = False
    as_json: AsJson = False
    progress_file: ProgressFile = None
    quiet: Quiet = False
    verbose: Verbose = False

    @property
    def has_events(self) -> bool:
        """Whether events are written anywhere."""
        return self.as_json or self.progress_file is not None


def run_job(source: Path, target: Path, worker: Worker, work: Work, flags: Flags) -> Path:
    """Do what the flags say: the work, or a look at it, or nothing as the target exists.

    Args:
        source: as it is typed.
        target: likewise; a folder gets a video named by the source.
        worker: decides what is done.
        work: does it.
        flags: what all such commands have.

    Returns:
        The target.

    Raises:
        VsrError: whatever the pipeline refuses.
    """
    typed = target
    if not is_stdout(target):
        target = name_in_folder(source, target, worker.config)
        if typed != target and not flags.quiet:
            print_line(f"writing `{target}`")
    if flags.progress_file is not None:
        require_other_file(flags.progress_file, source, target)
        write_events_to(flags.progress_file)
    if flags.verbose:
        show_debug_log()
    if flags.as_json and flags.progress_file is not None:
        raise ConfigError("`--json` and `--progress-file` say the same", hint="give one")
    if flags.as_json and is_stdout(target):
        write_events_to(None)
        raise ConfigError(
            "standard output cannot hold both video and events",
            why="`-` writes the video there, and `--json` the events",
            hint="use `--progress-file fd:3 3>events.ndjson`, or a file name",
        )
    if flags.skip_existing and worker.config.output.overwrite:
        raise ConfigError("`-n` and `-y` contradict each other", hint="give one of them")
    if flags.skip_existing and not is_stdout(target) and worker.is_made(target):
        worker.forget_finished(target)
        if not flags.quiet:
            print_line(f"kept `{target}`: it exists")
        if flags.has_events:
            write_event("skipped", {"out": target})
    elif flags.dry_run:
        # The folder of a target that was named here is made when the work begins.
        standing = target if target == typed else stand_in(target)
        _show_plan(source, target, standing, worker, flags)
    else:
        if worker.config.job.shard is not None and is_stdout(target):
            raise ConfigError("a pipe cannot be made of shards", hint="name a file as TARGET")
        worker.config = with_command(worker.config)
        if target != typed:
            make_folder(target.parent)
        run(source, target, work, flags)
    return target


def run(
    source: Path,
    target: Path,
    work: Callable[..., Done],
    flags: Flags,
) -> None:
    """Make one target and show how it goes.

    Raises:
        VsrError: whatever the pipeline refuses.
        BrokenPipeError: nobody reads the target.
    """
    from vsr_cli.pipeline.memory import reuse_memory  # loads torch, as what follows

    if is_stdout(target) and sys.stdout is None:
        raise BrokenPipeError("standard output is closed")
    reuse_memory()
    damage = DamageWatch()
    with progress_bar(quiet=flags.quiet, verbose=flags.verbose) as render:
        report = tee(tee(render, report_as_json) if flags.has_events else render, damage)
        done = work(source, target, report=report)
    report(done)
    if damage.has_damage:
        raise typer.Exit(ExitCode.SOURCE_DAMAGED)


def _show_plan(source: Path, target: Path, standing: Path, worker: Worker, flags: Flags) -> None:
    """Check both ends of the job and say what would be done; `standing` is looked at for `target`.

    Raises:
        VsrError: the source cannot be read, or the target not be written.
    """
    with progress_bar(quiet=flags.quiet) as render:
        report = tee(render, report_as_json) if flags.has_events else render
        plan = worker.plan(source, standing, report=report)
        plan = replace(plan, target=str(target))
    if not flags.quiet:
        for line in plan_lines(plan):
            print_line(line)
        print_line("nothing is written: this is a dry run")
    if flags.has_events:
        write_event("plan", {**asdict(plan), "dry_run": True})
