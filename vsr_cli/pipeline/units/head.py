"""A job in units as a whole: its table, its shards, and how they become one target."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vsr_cli.cancellation import StopRequest
from vsr_cli.config import UpscaleConfig
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError, JobBusyError, OutputError
from vsr_cli.events import Done, Note, Plan, Report
from vsr_cli.pipeline.resume.folder import lock_folder
from vsr_cli.pipeline.resume.job import Job
from vsr_cli.pipeline.resume.manifest import Manifest, PreviousPlan
from vsr_cli.pipeline.resume.units import Shard, Unit, UnitTable
from vsr_cli.pipeline.run import Run
from vsr_cli.pipeline.units.crew import Crew
from vsr_cli.pipeline.units.parts import Scanners
from vsr_cli.pipeline.units.places import count_workers, find_places, longest_share
from vsr_cli.pipeline.units.scan import scan_units, why_whole
from vsr_cli.pipeline.units.scanners import scanners_here
from vsr_cli.pipeline.units.slots import Slots
from vsr_cli.pipeline.units.tally import Tally
from vsr_cli.pipeline.units.walk import UnitJob, walk

_PATIENCE = 60.0  # seconds that another shard may take to write down the table
_MOST_NAMED = 20  # units that an error names


def with_units(manifest: Manifest, run: Run, scanners: Scanners) -> Manifest:
    """Scan the source, and write the table of its units into the manifest of a job that begins.

    Args:
        manifest: without a table.
        run: what is to be computed.
        scanners: who scan.

    Raises:
        InputError: the source cannot be read.
    """
    config, run_plan = run.config, run.run_plan
    planned = None
    if run_plan is not None:
        planned = PreviousPlan(
            asked_length=config.clip.length,
            asked_tile=config.tile,
            clip_length=run_plan.clip_length,
            tile_size=run_plan.tile_size,
        )
    table = scan_units(run, scanners)
    return replace(manifest, units=table, planned=planned, num_frames=table.num_frames)


NumDone = Callable[[Unit], int]  # frames of a unit that an earlier run has made


def _nothing(unit: Unit) -> int:
    return 0


def shared_plan(run: Run, table: UnitTable, count: int, num_done: NumDone = _nothing) -> Plan:
    """What was chosen, and how long it takes `count` workers."""
    return share_plan(run.describe(), table, count, num_done)


def share_plan(plan: Plan, table: UnitTable, count: int, num_done: NumDone = _nothing) -> Plan:
    """The plan of one worker, shared by `count` of them.

    Args:
        plan: as if one did all of it.
        table: what they share.
        count: of workers.
        num_done: tells what need not be computed.
    """
    shared = replace(plan, workers=count, units=len(table.units))
    if plan.seconds is None:
        return shared
    left = [unit.num_frames - num_done(unit) for unit in table.units]
    frame = plan.seconds / table.num_frames
    return replace(
        shared,
        seconds=round(frame * longest_share(left, count), 1),
        device_seconds=round(frame * sum(left), 1),
    )


def shard_plan(run: Run, table: UnitTable, shard: Shard, num_done: NumDone = _nothing) -> Plan:
    """What was chosen, and how long one shard takes."""
    plan = replace(run.describe(), units=len(table.units))
    if plan.seconds is None:
        return plan
    left = sum(unit.num_frames - num_done(unit) for unit in shard.of(table.units))
    return replace(plan, seconds=round(plan.seconds * left / table.num_frames, 1))


def repeat_notes(table: UnitTable, report: Report) -> None:
    """Say again what the scan had to say of the source."""
    for code, text in table.notes:
        report(Note(code=code, text=text))


def share(job: UnitJob, count: int, slots: Slots, stop: StopRequest) -> list[Path]:
    """Have all units computed on this machine, and return their chunks in order.

    Args:
        job: to share.
        count: of workers.
        slots: which places jobs of this process have.
        stop: ends it.

    Raises:
        VsrError: as any job.
        Stopped: as was asked for.
    """
    run = job.run
    assert run.run_plan is not None
    for unit in job.table.units:
        job.mend(unit, run.report)
    places = find_places(run.config, run.run_plan.device, count)
    Crew(job, places, slots, stop).run()
    return chunks_of(job)


def chunks_of(job: UnitJob) -> list[Path]:
    """The chunks of all units, in order, each as it was written.

    Raises:
        OutputError: a unit is missing.
        JobDamagedError: a chunk is not what was written.
    """
    missing = [unit.index for unit in job.table.units if not job.is_done(unit)]
    if missing:
        names = ", ".join(map(str, missing[:_MOST_NAMED]))
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        raise OutputError(
            f"{len(missing)} of {counted(len(job.table.units), 'unit')} of `{job.target}` "
            f"{'is' if len(missing) == 1 else 'are'} missing",
            why=f"those are {names}{more}; unit U is of shard U % N + 1 of N",
            hint="run these shards again, which go on where they were, and then join",
        )
    found = []
    for unit in job.table.units:
        folder = job.job(unit)
        if (manifest := folder.read()) is not None:
            folder.check(manifest)
        found += folder.chunks()
    return found


def is_shared(config: UpscaleConfig) -> bool:
    """Whether a job is to be computed in units."""
    return count_workers(config) > 1 or bool(config.job.split)


def all_cores(run: Run) -> Run:
    """The same by one process, which has all cores."""
    return replace(run, num_threads=None)


def do_alone(config: UpscaleConfig, why: str | None, report: Report) -> None:
    """Say that a job is not shared, though it was to be.

    Args:
        config: the user's choices.
        why: not; None: the source cannot be read twice, or the target is not made of chunks.
        report: receives `W_ONE_READER`.

    Raises:
        ConfigError: shots were to be split, which decides about the picture.
    """
    why = why or "the source cannot be read twice, or the target is not made of chunks"
    if config.job.split:
        raise ConfigError("`--split` cannot be had here", why=why, hint="leave it out")
    report(Note(code="W_ONE_READER", text=f"one process does all of this job: {why}"))


def open_table(target: Path, folder: Path, run: Run, now: Manifest) -> Manifest:
    """The manifest of a job that shards share; whoever comes first writes it.

    Args:
        target: of the job.
        folder: of the job, which all shards see.
        run: what would be computed.
        now: the manifest of a job that begins.

    Raises:
        ConfigError: it is another job, or one that cannot be shared.
        JobBusyError: one process is at work on all of it.
    """
    job = Job(target, folder)
    found = job.read()
    if found is None:
        if (why := why_whole(run)) is not None:
            raise ConfigError(
                "this job cannot be computed in shards", why=why, hint="leave `--shard` out"
            )
        scanned = with_units(now, run, scanners_here())
        with lock_folder(folder, patience=_PATIENCE):
            found = job.read()
            if found is None:
                found = scanned
                found.write(job.manifest_path)
    found.require_same(now)
    if found.units is None:
        raise JobBusyError(
            f"an unfinished job of `{target}` was begun by one process",
            hint="let it go on without `--shard`, or remove it with `vsr jobs clean`",
        )
    return found


def compute_shard(job: UnitJob, shard: Shard, stop: StopRequest) -> Done:
    """Compute the units of a shard.

    Raises:
        VsrError: as any job.
        Stopped: as was asked for.
    """
    run, units = job.run, shard.of(job.table.units)
    for unit in units:
        job.mend(unit, run.report)
    done = {unit.index: job.num_done(unit) for unit in units}
    num_frames = sum(unit.num_frames for unit in units)
    tally = Tally(run.task, num_frames, done, run.report)
    walk(job, units, tally.follow, stop)
    height, width = run.output.coding.size
    return Done(
        target=job.target,
        frames_in=num_frames,
        frames_out=num_frames,
        width=width,
        height=height,
        seconds=tally.seconds,
        shard=f"{shard.number}/{shard.count}",
    )
