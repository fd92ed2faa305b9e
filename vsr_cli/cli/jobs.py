"""`vsr jobs`: unfinished jobs, what they take on disk, how to be rid of them or to join them."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsr_cli import api
from vsr_cli.cli.command_line import from_here
from vsr_cli.cli.console import print_line
from vsr_cli.cli.damage import DamageWatch
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.help import App
from vsr_cli.cli.json_events import report_as_json, write_event
from vsr_cli.cli.options import AsJson
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from vsr_cli.pipeline.resume.job import FoundJob

jobs_app = App(help="List, show, join or remove unfinished jobs.", no_args_is_help=True)

Folders = Annotated[
    list[Path] | None,
    typer.Argument(readable=False, metavar="DIR", help="Where to look.", show_default="here"),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Look into folders within folders, too.")
]


@jobs_app.command("list")
def list_jobs(
    folders: Folders = None, *, recursive: Recursive = False, as_json: AsJson = False
) -> None:
    """List unfinished jobs: what is done, what they take on disk, and how to go on."""
    with report_failures(as_json=as_json):
        jobs = api.find_jobs(folders or ["."], recursive=recursive)
        for job in jobs:
            if as_json:
                write_event("job", _values(job))
            else:
                print_line(_describe(job))
                if job.command is not None:
                    print_line(f"  to go on: {from_here(job.command)}")
        if not jobs and not as_json:
            print_line("no unfinished jobs here")


@jobs_app.command("clean")
def clean_jobs(
    folders: Folders = None,
    *,
    recursive: Recursive = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove unfinished jobs, but none that is at work; what they had done is lost."""
    with report_failures(as_json=as_json):
        jobs = api.find_jobs(folders or ["."], recursive=recursive)
        idle = [job for job in jobs if not job.is_busy]
        is_asked = sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()
        if idle and not yes and not is_asked:
            raise ConfigError(
                "what unfinished jobs have done would be lost, and there is nobody to ask",
                hint="add `-y`; `vsr jobs list` shows them",
            )
        if idle and not yes and not _is_agreed(idle):
            print_line("nothing is removed")
            return
        for job in jobs:
            is_removed = api.remove_job(job.folder)
            if as_json:
                write_event("job", {"folder": job.folder, "removed": is_removed})
            else:
                what = "removed" if is_removed else "kept, since it is at work:"
                print_line(f"{what} `{job.folder}`, {_size(job.num_bytes)}")
        if not jobs and not as_json:
            print_line("no unfinished jobs here")


Target = Annotated[Path, typer.Argument(readable=False, metavar="TARGET", help="Of the job.")]
JobDir = Annotated[
    Path | None,
    typer.Option(
        readable=False,
        metavar="DIR",
        help="Where unfinished jobs lie.",
        show_default="beside TARGET",
    ),
]


@jobs_app.command("show")
def show_job(target: Target, *, job_dir: JobDir = None, as_json: AsJson = False) -> None:
    """Show how far each part of a job is that `--workers` or `--shard` share."""
    with report_failures(as_json=as_json):
        units = api.find_units(target, job_dir=job_dir)
        for unit in units:
            state = "done" if unit.is_complete else "at work" if unit.is_busy else "waiting"
            if as_json:
                values = {"index": unit.index, "start": unit.start, "stop": unit.stop}
                write_event("unit", {**values, "state": state, "frames": unit.num_done})
            else:
                where = f"frames {unit.start} to {unit.stop - 1}"
                done = f", {unit.num_done} done" if not unit.is_complete and unit.num_done else ""
                print_line(f"unit {unit.index}: {where}: {state}{done}")
        if not as_json:
            num_done = sum(unit.is_complete for unit in units)
            frames = sum(unit.num_done for unit in units)
            print_line(
                f"{num_done} of {counted(len(units), 'unit')}, "
                f"{frames} of {counted(units[-1].stop, 'frame')}"
            )


@jobs_app.command("join")
def join_job(target: Target, *, job_dir: JobDir = None, as_json: AsJson = False) -> None:
    """Make TARGET of the shards of a job, when all are done."""
    with report_failures(as_json=as_json), progress_bar() as render:
        report = tee(render, report_as_json) if as_json else render
        damage = DamageWatch()
        report(api.join_shards(target, job_dir=job_dir, report=tee(report, damage)))
        if damage.has_damage:
            raise typer.Exit(ExitCode.SOURCE_DAMAGED)


def _is_agreed(jobs: "Sequence[FoundJob]") -> bool:
    """Show what would be lost, and ask."""
    for job in jobs:
        print_line(_describe(job))
    size = _size(sum(job.num_bytes for job in jobs))
    return typer.confirm(f"remove {counted(len(jobs), 'unfinished job')}, {size}?", err=True)


def _describe(job: "FoundJob") -> str:
    """A job in a line, for people."""
    frames = counted(job.num_frames if job.num_all is None else job.num_all, "frame")
    done = frames if job.num_all is None else f"{job.num_frames} of {frames}"
    files = f", `{job.source}` -> `{job.target}`" if job.source and job.target else ""
    state = "at work" if job.is_busy else f"{_ago(job.seconds)} ago"
    size = _size(job.num_bytes)
    return f"`{job.folder}`: {done} done{files}, {size}, {state}"


def _values(job: "FoundJob") -> dict[str, object]:
    return {
        "folder": job.folder,
        "source": job.source,
        "target": job.target,
        "frames": job.num_frames,
        "frames_all": job.num_all,
        "bytes": job.num_bytes,
        "age_s": round(job.seconds, 1),
        "command": job.command,
        "busy": job.is_busy,
    }


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def _ago(seconds: float) -> str:
    """How long something is past, roughly."""
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
