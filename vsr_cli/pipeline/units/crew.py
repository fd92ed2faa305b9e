"""Workers of a job on this machine: processes that take its units by their locks.

Nobody hands out work, and nothing is opened that others could reach: a worker walks along the table
and takes what is neither done nor locked. When it dies, the system frees its lock, and another goes
on at the unit's last checkpoint. There are no more workers than units that are missing: who finds
nothing left ends, and the job after this one has its place.
"""

import platform
import queue
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.errors import DeviceError
from vsr_cli.events import Crew as CrewState
from vsr_cli.events import Event, Note, Progress, UnitState, WorkerState
from vsr_cli.pipeline.resume.config_text import to_text
from vsr_cli.pipeline.units.messages import Order, read_line
from vsr_cli.pipeline.units.places import Place
from vsr_cli.pipeline.units.processes import close, end, start_process, tell
from vsr_cli.pipeline.units.slots import Slots, Turn
from vsr_cli.pipeline.units.tally import Tally
from vsr_cli.pipeline.units.walk import UnitJob

MOST_DEATHS = 3  # of workers, of one unit or before they take any
_PATIENCE = 0.1  # seconds between two looks at whether to stop
_MODULE = "vsr_cli.pipeline.units.worker"


@dataclass
class _Worker:
    """A process, and what it is at."""

    id: int
    place: Place
    process: subprocess.Popen[bytes]
    unit: UnitState | None = None
    has_failed: bool = False  # and has said why
    is_leaving: bool = False  # it was told that there is nothing left for it
    waits_since: float = field(default_factory=time.monotonic)  # for a unit, unless it has one
    said: set[Note] = field(default_factory=set)


class Crew:
    """The workers of one job, seen from the process that has started them."""

    def __init__(
        self, job: UnitJob, places: Sequence[Place], slots: Slots, stop: StopRequest
    ) -> None:
        """Nobody is at work yet.

        Args:
            job: to share; its report receives `Progress` of the whole job, `UnitState`,
                `WorkerState` and notes.
            places: one for each worker.
            slots: which of them jobs of this process have.
            stop: ends all of them at their next safe points.
        """
        self._job, self._places, self._slots, self._stop = job, places, slots, stop
        self._report = report = job.run.report
        self._workers: dict[int, _Worker] = {}
        self._messages: queue.Queue[tuple[int, bytes | None]] = queue.Queue()
        self._attempts: Counter[int] = Counter()  # by unit
        self._deaths: Counter[int | None] = Counter()  # likewise; None: before the first
        self._given_up: set[int] = set()
        self._num_started = self._num_lost = 0
        self._error: Exception | None = None
        self._is_over = False  # a worker has found nothing left
        self._turn = Turn()
        units = job.table.units
        self._units = {unit.index for unit in units}
        self._done = {unit.index for unit in units if job.is_done(unit)}
        frames = {unit.index: job.num_done(unit) for unit in units}
        task, count = job.run.task, job.table.num_frames
        self._tally = Tally(task, count, frames, report, self._state)

    def run(self) -> None:
        """Have all units computed.

        Raises:
            VsrError: what has ended a worker for good.
            DeviceError: workers die of a unit, whoever takes it.
            Stopped: as was asked for.
        """
        if self._done == self._units:
            return
        try:
            with self._stop.deferred(), self._slots.turn() as self._turn:
                self._listen()
        finally:
            self._end()
        if self._error is not None:
            raise self._error
        if self._stop.is_requested:
            raise Stopped(num_frames=sum(map(self._job.num_done, self._job.table.units)))
        if self._given_up:
            raise deadly(self._given_up, "with fewer workers, or `--clip-length 2`")

    def _state(self) -> CrewState:
        units = len(self._job.table.units)
        return CrewState(
            alive=len(self._workers), lost=self._num_lost, units_done=len(self._done), units=units
        )

    def _start(self, place: Place) -> None:
        self._num_started += 1
        process = start_process(_MODULE, place.threads)
        worker = _Worker(self._num_started, place, process)
        self._workers[worker.id] = worker
        config = replace(self._job.run.config, device=place.device)
        order = Order(
            source=self._job.run.source.absolute(),
            target=self._job.target.absolute(),
            folder=self._job.folder.absolute(),
            config=to_text(config),
            threads=place.threads,
            given_up=tuple(self._given_up),
        )
        tell(process, order.to_line())
        threading.Thread(target=self._read, args=(worker,), daemon=True).start()
        self._tell_worker(worker, "started")

    def _read(self, worker: _Worker) -> None:
        """Pass on what a worker writes; runs in a thread of its own."""
        assert worker.process.stdout is not None
        for line in worker.process.stdout:
            self._messages.put((worker.id, line))
        self._messages.put((worker.id, None))

    def _listen(self) -> None:
        """Take in what workers say until all have ended."""
        is_ending = False
        while True:
            if not is_ending and (self._stop.is_requested or self._error is not None):
                is_ending = True
                for worker in self._workers.values():
                    close(worker.process)
            if not is_ending:
                self._balance()
            if not self._workers and (is_ending or not self._num_missing()):
                return
            try:
                number, line = self._messages.get(timeout=_PATIENCE)
            except queue.Empty:
                continue
            worker = self._workers[number]
            if line is None:
                self._turn.is_served = False  # its place is for another of this job
                self._bury(worker, is_ending=is_ending)
                continue
            message = read_line(line)
            if isinstance(message, Exception):
                self._error, worker.has_failed = self._error or message, True
            elif message is not None:
                self._hear(worker, message)

    def _num_missing(self) -> int:
        """How many units nobody has, though they are to be done."""
        at_work = {worker.unit.index for worker in self._workers.values() if worker.unit}
        return 0 if self._is_over else len(self._units - self._done - self._given_up - at_work)

    def _balance(self) -> None:
        """Have a worker for each unit that nobody has, as far as there are places, and no more."""
        missing, workers = self._num_missing(), self._workers.values()
        waiting = [worker for worker in workers if not (worker.unit or worker.is_leaving)]
        # Whoever has waited longest may have taken one of them, and not said so yet.
        for worker in sorted(waiting, key=lambda worker: worker.waits_since)[missing:]:
            worker.is_leaving = True
            close(worker.process)
        wanted = missing - len(waiting) if self._deaths[None] < MOST_DEATHS else 0
        while wanted > 0 and (place := self._slots.take(self._turn, self._places)) is not None:
            self._start(place)
            wanted -= 1
        self._turn.is_served = wanted <= 0

    def _hear(self, worker: _Worker, event: Event) -> None:
        if isinstance(event, UnitState):
            if event.state == "begun":
                self._attempts[event.index] += 1
                self._tally.begin_unit()
            attempt = self._attempts[event.index]
            event = replace(event, worker=worker.id, attempt=attempt)
            worker.unit = event if event.state == "begun" else None
            worker.waits_since = time.monotonic()
            if event.state == "done":
                self._done.add(event.index)
                self._tally.count(event.index, event.stop - event.start)
            self._report(event)
        elif isinstance(event, Progress) and worker.unit is not None:
            self._tally.count(worker.unit.index, event.frame, event.ahead)
        elif isinstance(event, Note) and event not in worker.said:
            worker.said.add(event)
            self._report(event)

    def _bury(self, worker: _Worker, *, is_ending: bool) -> None:
        """Take a worker off the list, and note what it has died of."""
        code = worker.process.wait()
        close(worker.process)
        del self._workers[worker.id]
        self._slots.give_back(worker.place)
        if code == 0 or worker.has_failed:
            self._tell_worker(worker, "done" if code == 0 else "lost")
            self._is_over |= not worker.is_leaving
            return
        self._num_lost += 1
        self._tell_worker(worker, "lost")
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        then = "what it had is taken up by others"
        text = f"worker {worker.id} on {worker.place.device} has died ({what}): {then}"
        self._report(Note(code="W_WORKER_LOST", text=text))
        unit = None if worker.unit is None else worker.unit.index
        self._deaths[unit] += 1
        if worker.unit is not None:
            self._report(replace(worker.unit, state="lost"))
        if is_ending:
            return
        if worker.unit is not None and self._deaths[unit] >= MOST_DEATHS:
            self._give_up(worker.unit)
        if not self._workers and self._deaths[None] >= MOST_DEATHS:
            self._error = DeviceError(
                "workers die before they take any work",
                why=f"the last one with {what}",
                hint="try the same without `--workers`, which says more",
            )

    def _give_up(self, unit: UnitState) -> None:
        """Let nobody try a unit any more."""
        self._given_up.add(unit.index)
        self._report(replace(unit, state="given up"))
        for worker in self._workers.values():
            tell(worker.process, str(unit.index))

    def _tell_worker(self, worker: _Worker, state: Literal["started", "done", "lost"]) -> None:
        device = worker.place.device
        self._report(WorkerState(id=worker.id, node=platform.node(), device=device, state=state))

    def _end(self) -> None:
        """Leave no process behind, whatever has happened."""
        for worker in self._workers.values():
            end(worker.process)
            self._slots.give_back(worker.place)
        self._workers.clear()


def deadly(given_up: Collection[int], how: str) -> DeviceError:
    """What is said of units that were given up.

    Args:
        given_up: their indices.
        how: to run the same command again.
    """
    return DeviceError(
        f"workers have died of unit {min(given_up)}, {MOST_DEATHS} of them",
        why="a lack of memory is the most likely reason; all other units are done",
        hint=f"run the same command again {how}",
    )
