"""`vsr jobs`: unfinished jobs, what they take on disk, and how to be rid of them."""

from pathlib import Path
from typing import Annotated

import typer

from vsr_cli import api
from vsr_cli.cli.console import print_line
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import write_event
from vsr_cli.cli.options import AsJson

jobs_app = typer.Typer(help="List or remove unfinished jobs.", no_args_is_help=True)

Folders = Annotated[
    list[Path] | None,
    typer.Argument(readable=False, metavar="DIR...", help="Where to look.", show_default="here"),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Look into folders within folders, too.")
]


@jobs_app.command("list")
def list_jobs(
    folders: Folders = None, *, recursive: Recursive = False, as_json: AsJson = False
) -> None:
    """List unfinished jobs: what is done, and what they take on disk."""
    with report_failures(as_json=as_json):
        jobs = api.find_jobs(folders or ["."], recursive=recursive)
        for job in jobs:
            if as_json:
                values = {
                    "folder": job.folder,
                    "source": job.source,
                    "frames": job.num_frames,
                    "bytes": job.num_bytes,
                    "busy": job.is_busy,
                }
                write_event("job", values)
            else:
                state = ", at work" if job.is_busy else ""
                size = f"{job.num_bytes / 1e6:.1f} MB"
                print_line(f"`{job.folder}`: {job.num_frames} frames done, {size}{state}")
        if not jobs and not as_json:
            print_line("no unfinished jobs here")


@jobs_app.command("clean")
def clean_jobs(
    folders: Folders = None, *, recursive: Recursive = False, as_json: AsJson = False
) -> None:
    """Remove unfinished jobs, but none that is at work; what they had done is lost."""
    with report_failures(as_json=as_json):
        for job in api.find_jobs(folders or ["."], recursive=recursive):
            is_removed = api.remove_job(job.folder)
            if as_json:
                write_event("job", {"folder": job.folder, "removed": is_removed})
            else:
                what = "removed" if is_removed else "kept, since it is at work:"
                print_line(f"{what} `{job.folder}`, {job.num_bytes / 1e6:.1f} MB")
