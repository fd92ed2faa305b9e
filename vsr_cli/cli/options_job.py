"""Options about how unfinished work is kept, and of sources that cannot wait."""

from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.cli.options import RARE
from vsr_cli.config import MAX_DELAY, JobConfig


def job_options(
    *,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew, whatever an earlier run has left.")
    ] = JobConfig.fresh,
    keep_job: Annotated[
        bool, typer.Option("--keep-job", help="Keep the job when TARGET is complete.", **RARE)
    ] = JobConfig.keep,
    job_dir: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="DIR",
            help="Where unfinished jobs lie.",
            show_default="beside TARGET",
            **RARE,
        ),
    ] = JobConfig.folder,
    checkpoint: Annotated[
        float, typer.Option(metavar="SECONDS", help="Work that may be lost at most.", **RARE)
    ] = JobConfig.checkpoint,
    chunk_length: Annotated[
        int,
        typer.Option(
            metavar="N", help="Frames in each chunk, which starts with a key frame.", **RARE
        ),
    ] = JobConfig.chunk_length,
) -> None:
    """Options about how unfinished work is kept."""


def worker_options(
    *,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Processes that share the work; auto: one for each GPU.",
            show_default="1; auto with `--ray`",
            **RARE,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Have a Ray cluster that you run do the work: auto, or HOST:PORT.",
            show_default="this machine",
            **RARE,
        ),
    ] = None,
    mixed: Annotated[
        bool,
        typer.Option(
            "--mixed", help="With `--ray`: devices may differ, and so do frames a little.", **RARE
        ),
    ] = JobConfig.mixed,
    split: Annotated[
        int,
        typer.Option(
            metavar="FRAMES",
            help="Share shots that are longer, too; differs by rounding.",
            show_default="shots stay whole",
            **RARE,
        ),
    ] = JobConfig.split,
) -> None:
    """Options about who shares the work."""


def shard_options(
    *,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Compute part I of N only; `vsr jobs join` makes TARGET.",
            show_default="all",
            **RARE,
        ),
    ] = None,
) -> None:
    """Options of those who compute a part each."""


def live_options(
    *,
    live: Annotated[
        bool, typer.Option("--live", help="SOURCE is a pipe that goes on: keep up with it.", **RARE)
    ] = False,
    max_delay: Annotated[
        float, typer.Option(metavar="SECONDS", help="With `--live`: how late at most.", **RARE)
    ] = MAX_DELAY,
) -> None:
    """Options of sources that come as they happen."""
