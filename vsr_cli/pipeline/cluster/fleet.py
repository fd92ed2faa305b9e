"""Workers on a cluster, seen from the head of their jobs: who is there, and who has which unit."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

from vsr_cli.errors import DeviceError
from vsr_cli.events import Note, Report, UnitState, WorkerState
from vsr_cli.media.reading.index import NoIndexError
from vsr_cli.pipeline.cluster.actor import Mailbox, UnitWorker
from vsr_cli.pipeline.cluster.connection import Handle
from vsr_cli.pipeline.cluster.posts import Post
from vsr_cli.pipeline.cluster.sight import Sight
from vsr_cli.pipeline.units.messages import read_line

PATIENCE = 180.0  # seconds for the first workers to start
LONELY = 600.0  # seconds without any worker, as where all machines are taken away
_LOOK = 0.2  # seconds between two looks at what has come
MOST_FAILED_STARTS = 3

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Member:
    """A worker, and what it has.

    sight: what it says of itself; None: it has not answered yet.
    units: handed to it, in order; it is at work on the first.
    unit: what it has said of that.
    is_known: whether it has been told of.
    said: notes, which are passed on once.
    """

    number: int
    post: Post
    actor: Handle
    sight: Sight | None = None
    units: list[int] = field(default_factory=list)
    unit: UnitState | None = None
    is_known: bool = False
    said: set[Note] = field(default_factory=set)

    @property
    def node(self) -> str:
        """The name of its machine; empty until it is known."""
        return "" if self.sight is None else self.sight.node


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
    """Workers on a cluster, and calls to them; which unit is computed is not its matter."""

    def __init__(self, ray: ModuleType, posts: Sequence[Post], report: Report) -> None:
        """Nobody is there yet.

        Args:
            ray: the package, connected to a cluster.
            posts: where workers are wanted.
            report: receives `WorkerState`.
        """
        self.posts, self.report = posts, report
        self.num_lost = self._num_started = self._failed_starts = 0
        self.members: list[Member] = []
        self._ray, self._calls = ray, dict[object, tuple[Member, int | None]]()
        self._order: Callable[[Post], str] = str
        self._meant = ""
        self._last_seen = time.monotonic()
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            node_id=ray.get_runtime_context().get_node_id(), soft=False
        )
        beside = {"num_cpus": 0, "scheduling_strategy": here}
        self._mailbox = ray.remote(Mailbox).options(**beside).remote()

    @property
    def at_work(self) -> list[Member]:
        """Those that can be given units."""
        return [member for member in self.members if member.sight is not None]

    @property
    def is_busy(self) -> bool:
        """Whether anybody has a unit."""
        return any(member.units for member in self.members)

    def muster(self, order: Callable[[Post], str], meant: str) -> list[Sight]:
        """Start workers where there are none yet, and have all of them look around.

        Args:
            order: gives the job's for a post, as a line.
            meant: what they should see; see `UnitWorker.look`.

        Returns:
            What they say of themselves. Those that have not started in time come later; an earlier
            job has waited for them.

        Raises:
            VsrError: one cannot do what is asked.
            DeviceError: none has started.
        """
        self._order, self._meant = order, meant
        self._calls.clear()  # what those that are late would say of the job before
        late = [member for member in self.members if not member.is_known]
        for member in self.members:
            member.sight = None
            self._ask_to_look(member)
        missing = Counter(self.posts) - Counter(member.post for member in self.members)
        for post in missing.elements():
            self._start(post)
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
            is_late = time.monotonic() > deadline
            if is_late and self.at_work:
                break
            if is_late or not self.members:
                raise DeviceError(
                    "no worker has started on the cluster",
                    why=why,
                    hint="see `ray status`; vsr must be installed on every machine of it",
                )
        return [member.sight for member in self.members if member.sight is not None]

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
        member.sight = sight
        if not member.is_known:
            member.is_known = True
            self.tell(member, "started")
        return sight

    def scatter(self, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Have ranges of a source looked at, one by each worker at a time; see `Scanners`.

        Raises:
            NoIndexError: a worker has died, which is found out again when units are given out.
        """
        calls: dict[object, tuple[Member, int]] = {}
        waiting, idle = list(range(len(lines))), self.at_work
        while waiting or calls:
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

    def settled(self) -> list[Settled]:
        """Wait a moment, and return what has come to an end meanwhile."""
        if not self._calls:
            time.sleep(_LOOK)
            return []
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=_LOOK)
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
        by_number = {member.number: member for member in self.members}
        lines = self._ray.get(self._mailbox.take.remote())
        return [(by_number[number], line) for number, line in lines if number in by_number]

    def bury(self, member: Member) -> list[int]:
        """Take a worker off the list, with another in its place as soon as there is room.

        Returns:
            The units that it had.
        """
        self.members.remove(member)
        self._calls = {key: call for key, call in self._calls.items() if call[0] is not member}
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(member.actor)
        if member.is_known:
            self.num_lost += 1
            self.tell(member, "lost")
        else:
            self._failed_starts += 1
        units, member.units = member.units, []
        return units

    def replace(self, member: Member) -> None:
        """Start another where one has died, unless none starts at all."""
        if self._failed_starts < MOST_FAILED_STARTS:
            self._start(member.post)

    def require_somebody(self) -> None:
        """Wait for machines that were taken away, but not for ever.

        Raises:
            DeviceError: nobody has been there for long.
        """
        now = time.monotonic()
        if self.at_work:
            self._last_seen = now
        elif now - self._last_seen > LONELY or not self.members:
            raise DeviceError(
                "no worker is left on the cluster",
                why="its machines are gone, or workers die before they take any work",
                hint="run the same command again, which goes on, when there are others",
            )

    def tell_to_stop(self, is_stopping: bool) -> None:
        """Have all workers end at their next safe points, or let them take work again."""
        self._ray.get(self._mailbox.stop.remote(is_stopping))

    def tell(self, member: Member, state: Literal["started", "done", "lost"]) -> None:
        """Report what has become of a worker."""
        device = member.post.device if member.sight is None else member.sight.device
        self.report(WorkerState(id=member.number, node=member.node, device=device, state=state))

    def dismiss(self) -> None:
        """Have no worker on the cluster any more."""
        for member in self.members:
            if member.is_known:
                self.tell(member, "done")
            with suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.kill(member.actor)
        self.members, self._calls = [], {}
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(self._mailbox)

    def _start(self, post: Post) -> None:
        self._num_started += 1
        actor = (
            self._ray.remote(UnitWorker)
            .options(max_restarts=0, max_task_retries=0, **post.resources)
            .remote(self._num_started, self._mailbox, post.threads)
        )
        member = Member(self._num_started, post, actor)
        self.members.append(member)
        self._ask_to_look(member)

    def _ask_to_look(self, member: Member) -> None:
        post = member.post
        reference = member.actor.look.remote(self._order(post), self._meant, post.device)
        self._calls[reference] = (member, None)


def _error_of(line: str) -> Exception:
    """What is wrong, as a worker says it."""
    found = read_line(line.encode())
    return found if isinstance(found, Exception) else RuntimeError(f"a worker says {line!r}")
