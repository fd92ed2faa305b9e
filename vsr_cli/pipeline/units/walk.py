"""One process at work on a job in units: it takes those that nobody has, one after the other."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.errors import JobBusyError, VsrError
from vsr_cli.events import Event, Progress, Report, UnitState
from vsr_cli.pipeline.begun import go_on, read_job
from vsr_cli.pipeline.checkpointed import compute
from vsr_cli.pipeline.resume.folder import lock_folder
from vsr_cli.pipeline.resume.job import Job
from vsr_cli.pipeline.resume.manifest import Checkpoint, Manifest
from vsr_cli.pipeline.resume.units import Unit, UnitTable
from vsr_cli.pipeline.run import Run

PAUSE = 0.3  # seconds between two looks at units that others have


@dataclass(frozen=True, kw_only=True)
class UnitJob:
    """A job in units, as whoever works on it sees it.

    folder: of the job; each unit has one in it.
    target: what all units become.
    run: how each is computed.
    manifest: of the job, with the table.
    """

    folder: Path
    target: Path
    run: Run
    manifest: Manifest

    @property
    def table(self) -> UnitTable:
        """All units."""
        assert self.manifest.units is not None
        return self.manifest.units

    def job(self, unit: Unit) -> Job:
        """The folder of a unit."""
        return Job(self.target, self.folder / unit.folder_name)

    def num_done(self, unit: Unit) -> int:
        """How many frames of a unit need not be computed again."""
        with suppress(VsrError):  # what is damaged is mended where it is locked
            if (found := self.job(unit).read()) is not None:
                return max(found.checkpoint.num_frames - unit.start, 0)
        return 0

    def is_done(self, unit: Unit) -> bool:
        """Whether all of a unit is there."""
        with suppress(VsrError):
            found = self.job(unit).read()
            return found is not None and found.checkpoint.is_complete
        return False

    def mend(self, unit: Unit, report: Report) -> None:
        """Compare what is there of a unit with what was written; what is damaged does not count.

        Raises:
            ConfigError: it is of another job.
        """
        job = self.job(unit)
        if not job.manifest_path.exists():
            return
        with suppress(JobBusyError), lock_folder(job.folder):
            go_on(job, read_job(job, report), self._nothing_of(unit), report)

    def compute(self, unit: Unit, report: Report, stop: StopRequest) -> None:
        """Compute what is missing of a unit.

        Raises:
            JobBusyError: another process has it.
            VsrError: as any job.
            Stopped: as was asked for.
        """
        job = self.job(unit)
        with lock_folder(job.folder, patience=0):
            before = read_job(job, report)
            if before is not None and before.checkpoint.is_complete:
                return
            begun = _state(unit)
            report(begun)
            started = time.monotonic()
            manifest = go_on(job, before, self._nothing_of(unit), report)
            seekable = self.table.is_seekable
            run = replace(self.run, unit=unit, is_seekable=seekable, report=report)
            compute(job, run, manifest, None, stop)
            seconds = round(time.monotonic() - started, 3)
            report(replace(begun, state="done", seconds=seconds))

    def _nothing_of(self, unit: Unit) -> Manifest:
        """The manifest of a unit of which nothing is done."""
        start = unit.start
        restart = None if unit.entry == start else unit.entry
        checkpoint = Checkpoint(
            num_frames=start, shot_start=unit.entry, unit_start=start, restart=restart
        )
        return replace(self.manifest, units=None, num_frames=unit.num_frames, checkpoint=checkpoint)


def walk(
    job: UnitJob,
    units: Iterable[Unit],
    report: Report,
    stop: StopRequest,
    is_given_up: Callable[[int], bool] = lambda _: False,
) -> None:
    """Compute units until all are done, by whomever.

    Args:
        job: they are of.
        units: which.
        report: receives `UnitState`, and `Progress` and notes of the unit at hand.
        stop: ends it.
        is_given_up: whether nobody shall try a unit any more.

    Raises:
        VsrError: as any job.
        Stopped: as was asked for.
    """
    missing = list(units)
    while missing:
        left: list[Unit] = []
        for unit in missing:
            if stop.is_requested:
                raise Stopped
            if is_given_up(unit.index) or job.is_done(unit):
                continue
            try:
                job.compute(unit, within(unit, report), stop)
            except JobBusyError:
                left.append(unit)
        if len(left) == len(missing):
            time.sleep(PAUSE)
        missing = left


def _state(unit: Unit) -> UnitState:
    start, stop = unit.start, unit.stop
    return UnitState(index=unit.index, start=start, stop=stop, state="begun", attempt=1, worker=1)


def within(unit: Unit, report: Report) -> Report:
    """Pass on progress as that of the unit, whose own frames are counted."""

    def pass_on(event: Event) -> None:
        if isinstance(event, Progress):
            done = max(event.frame - unit.start, 0)
            event = replace(event, frame=done, num_frames=unit.num_frames, left=None)
        report(event)

    return pass_on
