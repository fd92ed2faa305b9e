"""Hands out the units of a job to the workers of a cluster, and takes in what becomes of them."""

import time
from collections import Counter
from dataclasses import replace

from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.events import Crew, Event, Note, Progress, UnitState
from vsr_cli.pipeline.cluster.actor import BUSY, DONE, LEFT, STOPPED
from vsr_cli.pipeline.cluster.fleet import Fleet, Settled
from vsr_cli.pipeline.cluster.pool import Member
from vsr_cli.pipeline.units.crew import MOST_DEATHS, deadly
from vsr_cli.pipeline.units.messages import read_line
from vsr_cli.pipeline.units.tally import Tally
from vsr_cli.pipeline.units.walk import UnitJob

MOST_AHEAD = 2  # units that a worker has at once: the one it is at, and the next
WINDOW = 64  # units among which the longest goes first, so that no long one is left for the end
PAUSE = 1.0  # seconds before a unit that another process has is tried again


class Dispatch:
    """One job on its way through a fleet."""

    def __init__(self, fleet: Fleet, job: UnitJob, stop: StopRequest) -> None:
        """Nothing is handed out yet.

        Args:
            fleet: who computes.
            job: what; its report receives `Progress` of the whole job, `UnitState` and notes.
            stop: ends it at the next safe points.
        """
        self._fleet, self._job = fleet, job
        self._report, self._stop = job.run.report, stop
        units = job.table.units
        self._units = {unit.index: unit for unit in units}
        self._done = {unit.index for unit in units if job.is_done(unit)}
        self._todo = [unit.index for unit in units if unit.index not in self._done]
        self._later: list[tuple[float, int]] = []  # when to try again, and what
        self._attempts: Counter[int] = Counter()
        self._deaths: Counter[int] = Counter()
        self._given_up: set[int] = set()
        self._error: Exception | None = None
        frames = {unit.index: job.num_done(unit) for unit in units}
        self._tally = Tally(job.run.task, job.table.num_frames, frames, self._report, self._state)

    def run(self) -> None:
        """Have all units computed.

        Raises:
            VsrError: what has ended a worker for good.
            DeviceError: workers die of a unit, whoever takes it; or none is left.
            Stopped: as was asked for.
        """
        is_ending = False
        with self._stop.deferred():
            while self._is_more(is_ending=is_ending):
                if not is_ending and (self._stop.is_requested or self._error is not None):
                    is_ending = True
                    self._fleet.tell_to_stop(True)
                if not is_ending:
                    self._share_workers()
                    self._fleet.require_somebody()
                    self._hand_out()
                settled = self._fleet.settled()
                for member, line in self._fleet.heard():
                    self._hear(member, line)
                for call in settled:
                    self._settle(call)
        if is_ending:
            self._fleet.tell_to_stop(False)
        self._fleet.wants(False)
        if self._fleet.is_wanted:
            self._fleet.release_idle()  # while this job is joined
        self._say_what_is_wrong()

    def _is_more(self, *, is_ending: bool) -> bool:
        if self._fleet.is_busy:
            return True
        return not is_ending and len(self._done) + len(self._given_up) < len(self._units)

    def _say_what_is_wrong(self) -> None:
        if self._error is not None:
            raise self._error
        if self._stop.is_requested:
            raise Stopped(num_frames=sum(map(self._job.num_done, self._job.table.units)))
        if self._given_up:
            raise deadly(self._given_up, "on other machines, or with `--clip-length 2`")

    def _state(self) -> Crew:
        fleet, units = self._fleet, len(self._units)
        alive = len(fleet.at_work)
        return Crew(alive=alive, lost=fleet.num_lost, units_done=len(self._done), units=units)

    def _share_workers(self) -> None:
        """Take workers that no job has, or leave those that have nothing to do to others."""
        fleet, is_more = self._fleet, bool(self._todo or self._later)
        fleet.wants(is_more)
        if fleet.must_yield or (not is_more and fleet.is_wanted):
            fleet.release_idle()
        elif is_more:
            fleet.adopt()

    def _hand_out(self) -> None:
        """Give everybody a unit, and then everybody the next, while there are enough of them."""
        if self._fleet.must_yield:
            return
        now = time.monotonic()
        self._todo += [index for when, index in self._later if when <= now]
        self._later = [(when, index) for when, index in self._later if when > now]
        members = self._fleet.at_work
        for ahead in range(MOST_AHEAD):
            if ahead and len(self._todo) <= len(members):
                return  # the last ones are for whoever is free first
            for member in members:
                if self._todo and len(member.units) == ahead:
                    index = max(self._todo[:WINDOW], key=self._length)
                    self._todo.remove(index)
                    self._fleet.give(member, index)

    def _length(self, index: int) -> int:
        return self._units[index].num_frames

    def _hear(self, member: Member, line: str) -> None:
        event = read_line(line.encode())
        if isinstance(event, UnitState):
            self._hear_of_unit(member, event)
        elif isinstance(event, Progress) and member.unit is not None:
            self._tally.count(member.unit.index, event.frame, event.ahead)
        elif isinstance(event, Note) and event not in member.said:
            member.said.add(event)
            self._report(event)

    def _hear_of_unit(self, member: Member, event: UnitState) -> None:
        if event.state == "begun":
            self._attempts[event.index] += 1
            self._tally.begin_unit()
        attempt = self._attempts[event.index]
        event = replace(event, worker=member.number, attempt=attempt)
        member.unit = event if event.state == "begun" else None
        if event.state == "done":
            self._count_done(event.index)
        self._report(event)

    def _count_done(self, index: int) -> None:
        if index not in self._done:
            self._done.add(index)
            self._tally.count(index, self._length(index))

    def _settle(self, call: Settled) -> None:
        """Take in how a call has ended."""
        member, index = call.member, call.index
        if member not in self._fleet.members:
            return  # an earlier call has told that it is gone, and others have its units
        if call.line is None:
            self._lose(member, f"has died ({call.why[:120] or 'Ray does not say why'})")
        elif index is None:
            self._fleet.welcome(call)
        else:
            member.units.remove(index)
            if call.line == DONE:
                self._count_done(index)
            elif call.line == BUSY:
                self._later.append((time.monotonic() + PAUSE, index))
            elif call.line in (LEFT, STOPPED):
                self._todo.insert(0, index)
                if call.line == LEFT:
                    self._lose(member, "is to leave its machine", is_death=False)
            else:
                found: Event | Exception | None = read_line(call.line.encode())
                self._error = self._error or (
                    found if isinstance(found, Exception) else RuntimeError(call.line)
                )

    def _unheard(self, member: Member) -> UnitState | None:
        """The unit of a worker that has had no time to say that it has begun."""
        if not member.units:
            return None
        unit = self._units[member.units[0]]
        self._attempts[unit.index] += 1
        return UnitState(
            index=unit.index,
            start=unit.start,
            stop=unit.stop,
            state="begun",
            attempt=self._attempts[unit.index],
            worker=member.number,
        )

    def _lose(self, member: Member, what: str, *, is_death: bool = True) -> None:
        """A worker is gone: others take up what it had, and another takes its place."""
        node, unit = member.node, member.unit
        if unit is None and is_death:
            unit = self._unheard(member)
        left = self._fleet.bury(member)
        if node:
            text = f"worker {member.number} on {node} {what}: what it had is taken up by others"
            self._report(Note(code="W_WORKER_LOST", text=text))
        if unit is not None:
            member.unit = None
            self._report(replace(unit, state="lost"))
            if is_death:
                self._deaths[unit.index] += 1
            if self._deaths[unit.index] >= MOST_DEATHS:
                self._given_up.add(unit.index)
                self._report(replace(unit, state="given up"))
        self._todo = [index for index in left if index not in self._given_up] + self._todo
        self._fleet.replace(member)
