"""Workers of one job on a cluster, seen from its head: who is there, and who has which unit."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vsr_cli.cancellation import end_if_abandoned
from vsr_cli.errors import DeviceError, VsrError
from vsr_cli.events import Note, Report
from vsr_cli.media.reading.index import NoIndexError
from vsr_cli.pipeline.cluster.pool import Claim, Member, WorkerPool
from vsr_cli.pipeline.cluster.posts import Post
from vsr_cli.pipeline.cluster.sight import Sight
from vsr_cli.pipeline.units.messages import read_line

PATIENCE = 180.0  # seconds for the first workers to start
LONELY = 600.0  # seconds without any worker, as where all machines are taken away
_LOOK = 0.2  # seconds between two looks at what has come
MOST_FAILED_STARTS = 3

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settled:
    """How a call to a worker has ended.

    index: of the unit; None: it was asked to look around.
    line: what it has returned; None: it has died.
    why: it has died.
    """

    member: Member
    index: int | None
    line: str | None
    why: str = ""


class Fleet:
    """Workers of one job, and calls to them; which unit is computed is not its matter."""

    def __init__(self, pool: WorkerPool, claim: Claim, report: Report) -> None:
        """Nobody is there yet.

        Args:
            pool: where workers come from, and go to.
            claim: of the job to them.
            report: receives `WorkerState`, and notes on workers that are left out.
        """
        self.report = report
        self.check: Callable[[Sight], None] = lambda sight: None  # refuses who comes later
        self.members: list[Member] = []
        self.num_lost = self._failed_starts = 0
        self._pool, self._claim, self._ray = pool, claim, pool.ray
        self._calls = dict[object, tuple[Member, int | None]]()
        self._order: Callable[[Post], str] = str
        self._meant = ""
        self._last_seen = time.monotonic()

    @property
    def at_work(self) -> list[Member]:
        """Those that can be given units."""
        return [member for member in self.members if member.sight is not None]

    @property
    def is_busy(self) -> bool:
        """Whether anybody has a unit."""
        return any(member.units for member in self.members)

    def muster(self, order: Callable[[Post], str], meant: str) -> list[Sight]:
        """Have workers, new ones where there are none yet, and have all of them look around.

        Args:
            order: gives the job's for a post, as a line.
            meant: what they should see; see `UnitWorker.look`.

        Returns:
            What they say of themselves. Those that have not started in time come later; an earlier
            job has waited for them. Where another job has the rest, one is enough.

        Raises:
            VsrError: one cannot do what is asked.
            DeviceError: none has started.
        """
        self._order, self._meant = order, meant
        late = [member for member in self.adopt() if not member.is_known]
        for member in self._pool.fill():
            self._take(member)
        deadline, why = time.monotonic() + PATIENCE, "the cluster has no room for them now"
        while not self.at_work or any(
            member.sight is None for member in self.members if member not in late
        ):
            for settled in self.settled():
                if settled.line is None:
                    why = settled.why
                    self.bury(settled.member)
                else:
                    self.take_in(settled)
            others = self._may_have_others()
            if others:
                deadline = time.monotonic() + PATIENCE
            is_late = time.monotonic() > deadline
            if is_late and self.at_work:
                break
            if is_late or not (self.members or others):
                raise DeviceError(
                    "no worker has started on the cluster",
                    why=why,
                    hint="see `ray status`; vsr must be installed on every machine of it",
                )
        return [member.sight for member in self.members if member.sight is not None]

    def adopt(self) -> list[Member]:
        """Take workers that no job has, and have them look around; returns them."""
        found = self._pool.take(self._claim)
        if found:
            self._pool.tell_to_stop(found, False)
        for member in found:
            self._take(member)
        return found

    def release_idle(self) -> None:
        """Leave workers that have nothing to do to other jobs."""
        idle = [member for member in self.members if not member.units]
        for member in idle:
            self._drop(member)
        self._pool.give_back(idle)
        self._claim.has_any = bool(self.at_work)  # not before: see `_may_have_others`

    def disband(self) -> None:
        """Leave all workers to other jobs; those that are still at work are ended."""
        for member in [member for member in self.members if member.units]:
            self.bury(member)
        self.release_idle()
        self._pool.end(self._claim)

    def wants(self, is_more: bool) -> None:
        """Say whether there is more to do than these workers are at."""
        self._claim.wants = is_more

    @property
    def is_wanted(self) -> bool:
        """Whether another job could do with more workers."""
        return self._pool.is_wanted(self._claim)

    @property
    def must_yield(self) -> bool:
        """Whether a job that came before has work, and nobody to do it."""
        return self._pool.must_yield(self._claim)

    def welcome(self, settled: Settled) -> bool:
        """Have a worker that comes later at work; one that does not fit the others is left out.

        Returns:
            Whether it is at work.
        """
        try:
            self.check(self.take_in(settled))
        except VsrError as error:
            self.bury(settled.member)
            why = f"{error}: {error.why}" if error.why else str(error)
            text = f"worker {settled.member.number} comes later and is left out: {why}"
            self.report(Note(code="W_WORKER_LOST", text=text))
            return False
        return True

    def take_in(self, settled: Settled) -> Sight:
        """Take what a worker says of itself, which is at work from now on.

        Raises:
            VsrError: it cannot do what is asked.
        """
        assert settled.line is not None
        sight = Sight.from_line(settled.line)
        if sight is None:
            raise _error_of(settled.line)
        member, self._failed_starts = settled.member, 0
        member.sight, member.node = sight, sight.node
        self._claim.has_any = True
        if not member.is_known:
            member.is_known = True
            self.report(member.state("started"))
        return sight

    def scatter(self, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Have ranges of a source looked at, one by each worker at a time; see `Scanners`.

        Whoever comes meanwhile takes part.

        Raises:
            NoIndexError: a worker has died, which is found out again when units are given out.
        """
        calls: dict[object, tuple[Member, int]] = {}
        waiting, idle = list(range(len(lines))), self.at_work
        while waiting or calls:
            self.adopt()
            for late in self.settled(0):
                if late.line is None:
                    self.bury(late.member)
                elif self.welcome(late):
                    idle.append(late.member)
            while waiting and idle:
                member, place = idle.pop(), waiting.pop(0)
                calls[member.actor.scan.remote(lines[place])] = (member, place)
            ready, _ = self._ray.wait(list(calls), num_returns=1, timeout=_LOOK)
            for reference in ready:
                member, place = calls.pop(reference)
                try:
                    line: str = self._ray.get(reference)
                except self._ray.exceptions.RayError as error:
                    raise NoIndexError("a worker that was to scan a part has died") from error
                idle.append(member)
                yield place, line

    def give(self, member: Member, index: int) -> None:
        """Have a worker compute a unit of the job that it was mustered for."""
        member.units.append(index)
        order = self._order(member.post)
        self._calls[member.actor.compute.remote(order, index)] = (member, index)

    def settled(self, patience: float = _LOOK) -> list[Settled]:
        """What has come to an end, after a wait of so many seconds at the most."""
        end_if_abandoned()
        if not self._calls:
            time.sleep(patience)
            return []
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=patience)
        if ready:  # all that are there by now
            count = len(self._calls)
            ready, _ = self._ray.wait(list(self._calls), num_returns=count, timeout=0)
        found = []
        for reference in ready:
            member, index = self._calls.pop(reference)
            try:
                found.append(Settled(member, index, self._ray.get(reference)))
            except self._ray.exceptions.RayError as error:
                why = " ".join(str(error).split())
                _log.debug("worker %s: %s", member.number, why)
                found.append(Settled(member, index, None, why[:300]))
        return found

    def heard(self) -> list[tuple[Member, str]]:
        """What workers have said since the last time; those that are gone are not listened to."""
        return self._pool.heard(self.members)

    def bury(self, member: Member) -> list[int]:
        """Take a worker off the list, with another in its place as soon as there is room.

        Returns:
            The units that it had.
        """
        self._drop(member)
        self._claim.has_any = bool(self.at_work)
        self._pool.kill(member)
        if member.is_known:
            self.num_lost += 1
            self.report(member.state("lost"))
        else:
            self._failed_starts += 1
        units, member.units = member.units, []
        return units

    def replace(self, member: Member) -> None:
        """Start another where one has died, unless none starts at all."""
        if self._failed_starts < MOST_FAILED_STARTS:
            self._take(self._pool.start(member.post))

    def require_somebody(self) -> None:
        """Wait for machines that were taken away, or for another job's workers, but not for ever.

        Raises:
            DeviceError: nobody has been there for long.
        """
        now = time.monotonic()
        if self.at_work or self._may_have_others():
            self._last_seen = now
        elif now - self._last_seen > LONELY or not self.members:
            raise DeviceError(
                "no worker is left on the cluster",
                why="its machines are gone, or workers die before they take any work",
                hint="run the same command again, which goes on, when there are others",
            )

    def tell_to_stop(self, is_stopping: bool) -> None:
        """Have all workers end at their next safe points, or let them take work again."""
        self._pool.tell_to_stop(self.members, is_stopping)

    def _take(self, member: Member) -> None:
        self.members.append(member)
        post = member.post
        reference = member.actor.look.remote(self._order(post), self._meant, post.device)
        self._calls[reference] = (member, None)

    def _drop(self, member: Member) -> None:
        self.members.remove(member)
        self._calls = {key: call for key, call in self._calls.items() if call[0] is not member}

    def _may_have_others(self) -> bool:
        """Take whoever is free, and tell whether another job has workers that may become free."""
        found = self._pool.has_others(self._claim)  # asked first: else they could slip through
        self.adopt()
        return found


def _error_of(line: str) -> Exception:
    """What is wrong, as a worker says it."""
    found = read_line(line.encode())
    return found if isinstance(found, Exception) else RuntimeError(f"a worker says {line!r}")
