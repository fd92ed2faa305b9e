"""Shards of a job become its target."""

from dataclasses import replace
from pathlib import Path

from vsr_cli.config import JobConfig
from vsr_cli.counting import counted
from vsr_cli.errors import JobDamagedError, OutputError
from vsr_cli.events import Done, Report
from vsr_cli.pipeline.resume.config_text import from_text
from vsr_cli.pipeline.resume.folder import job_folder
from vsr_cli.pipeline.resume.job import Job
from vsr_cli.pipeline.resume.manifest import Manifest
from vsr_cli.pipeline.said import without_repeats
from vsr_cli.pipeline.upscale import Upscaler


def read_shared(target: Path, job_dir: Path | None) -> tuple[Path, Manifest]:
    """The folder of a job in units, and its manifest.

    Args:
        target: of the job.
        job_dir: where unfinished jobs lie; None: beside the target.

    Raises:
        OutputError: there is no such job, or it is not shared.
    """
    folder = job_folder(target, JobConfig(folder=job_dir))
    manifest = Job(target, folder).read()
    if manifest is None:
        raise OutputError(
            f"there is no unfinished job of `{target}`",
            hint="give its target, and its `--job-dir`; `vsr jobs list` shows what is there",
        )
    if manifest.units is None:
        done, num_all = manifest.checkpoint.num_frames, manifest.num_frames
        of_all = "" if num_all is None else f" of {num_all}"
        again = "run the same command again"
        raise OutputError(
            f"the unfinished job of `{target}` is not shared",
            why=f"one process makes all of it, {counted(done, 'frame')}{of_all} so far",
            hint=f"to go on, {f'run `{manifest.command}`' if manifest.command else again}",
        )
    return folder, manifest


def join(target: Path, job_dir: Path | None, report: Report) -> Done:
    """Make a target of its shards, when all are done; see `vsr_cli.api.join_shards`.

    Raises:
        OutputError: a unit is missing, or there is no such job.
        VsrError: as any job.
    """
    folder, manifest = read_shared(target, job_dir)
    assert manifest.units is not None
    try:
        config = from_text(manifest.units.config)
    except (ValueError, KeyError, TypeError) as error:
        raise JobDamagedError(
            f"the unfinished job in `{folder}` is damaged",
            why=f"its options cannot be read: {error}",
            hint="run the shards anew, with another `--job-dir`",
        ) from error
    config = replace(config, job=replace(config.job, folder=job_dir))
    upscaler = Upscaler(config)
    return upscaler.join(Path(manifest.path), target, report=without_repeats(report))
