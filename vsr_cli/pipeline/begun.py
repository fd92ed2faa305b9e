"""How a job begins: what an earlier run has left of it, and how the next one goes on with it."""

from dataclasses import replace
from pathlib import Path

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError, JobDamagedError
from vsr_cli.events import Note, Report
from vsr_cli.media.open import is_pipe
from vsr_cli.pipeline.resume.job import Job
from vsr_cli.pipeline.resume.manifest import (
    Manifest,
    PreviousPlan,
    identify_options,
    identify_source,
)
from vsr_cli.pipeline.run import Run
from vsr_cli.pipeline.run_plan import RunPlan, dtype_name


def require_pipe(config: UpscaleConfig, source: Path) -> None:
    """Refuse a file as a live source.

    Raises:
        ConfigError: it is one.
    """
    if config.max_delay is not None and not is_pipe(source):
        raise ConfigError(
            "`--live` is for a source that comes as it happens",
            why=f"`{source}` is a file, which waits",
            hint="give `-` or a named pipe, or leave `--live` out",
        )


def as_before(run_plan: RunPlan, config: UpscaleConfig, planned: PreviousPlan | None) -> RunPlan:
    """As much at once as in the run before, where the user asks for the same."""
    asked = (config.clip.length, config.tile)
    if planned is None or asked != (planned.asked_length, planned.asked_tile):
        return run_plan
    tile_size = planned.tile_size
    return replace(
        run_plan,
        clip_length=planned.clip_length,
        tile_size=tile_size,
        is_state_on_disk=tile_size is not None,
    )


def read_job(job: Job, report: Report) -> Manifest | None:
    """What an earlier run has written down; None if nothing that can be read."""
    try:
        return job.read()
    except JobDamagedError as error:
        _report_damage(error.why, "starting anew", report)
        job.clear()
        return None


def new_manifest(run: Run, target: Path) -> Manifest:
    """That of a job that begins.

    Raises:
        InputError: the source cannot be read.
        WeightsError: they are missing or damaged.
    """
    device, dtype = "cpu", "none"
    if run.run_plan is not None:
        device, dtype = run.run_plan.device.type, dtype_name(run.run_plan.dtype)
    return Manifest(
        path=str(run.source.absolute()),
        target=str(target.absolute()),
        num_frames=run.output.info.num_frames,
        command=run.config.job.command,
        source=identify_source(run.source),
        options=identify_options(run.config, device, dtype),
    )


def go_on(job: Job, before: Manifest | None, now: Manifest, report: Report) -> Manifest:
    """What an earlier run has left, if it is the same job, as far as it is whole; else a new one.

    Args:
        job: the folder.
        before: what was found in it.
        now: that of a job that begins.
        report: receives `W_JOB_DAMAGED`.

    Raises:
        ConfigError: it is another job.
    """
    if before is None:
        return now
    before.require_same(now)
    before = replace(before, command=now.command or before.command)
    if (damage := job.find_damage(before)) is None:
        return before
    if (rest := before.back_to(damage.num_chunks)) is None:
        _report_damage(damage.why, "starting anew", report)
        job.clear()
        return now
    then = f"going back to frame {rest.checkpoint.first}, with which a shot starts"
    _report_damage(damage.why, then, report)
    rest.write(job.manifest_path)
    return rest


def _report_damage(why: str | None, then: str, report: Report) -> None:
    text = f"what an earlier run has left is damaged ({why}): {then}"
    report(Note(code="W_JOB_DAMAGED", text=text))
