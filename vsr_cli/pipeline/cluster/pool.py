"""Workers on a cluster, shared by the jobs of this process: they keep their model between them."""

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Note, Report, UnitState, WorkerState
from vsr_cli.pipeline.cluster.actor import Mailbox, UnitWorker
from vsr_cli.pipeline.cluster.connection import Handle, connected
from vsr_cli.pipeline.cluster.posts import Post, find_posts
from vsr_cli.pipeline.cluster.sight import Sight


@dataclass(eq=False)
class Member:
    """A worker, and what it has.

    sight: what it says of itself; None: it has not answered yet.
    units: handed to it, in order; it is at work on the first.
    unit: what it has said of that.
    is_known: whether it has been told of.
    said: notes, which are passed on once for each job.
    node: the name of its machine; empty until it is known.
    """

    number: int
    post: Post
    actor: Handle
    sight: Sight | None = None
    units: list[int] = field(default_factory=list)
    unit: UnitState | None = None
    is_known: bool = False
    said: set[Note] = field(default_factory=set)
    node: str = ""

    def state(self, state: Literal["started", "done", "lost"]) -> WorkerState:
        """What is told of it."""
        return WorkerState(id=self.number, node=self.node, device=self.post.device, state=state)

    def become_free(self) -> None:
        """Forget the job that it was at."""
        self.sight, self.unit = None, None
        self.said.clear()


class Claim:
    """A job's claim to workers, before those of all jobs that came later.

    wants: whether it has more work than workers.
    has_any: whether it has a worker at all.
    """

    def __init__(self) -> None:
        self.wants, self.has_any = True, False


class WorkerPool:
    """All workers of this process on a cluster; safe in threads, of which each has a job."""

    def __init__(self, ray: ModuleType, posts: Sequence[Post]) -> None:
        """Nobody is there yet.

        Args:
            ray: the package, connected to a cluster.
            posts: where workers are wanted.
        """
        self.ray = ray
        self._posts = posts
        self._lock = threading.Lock()
        self._all: list[Member] = []
        self._free: list[Member] = []
        self._claims: list[Claim] = []  # in the order in which jobs have come
        self._num_started = 0
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            node_id=ray.get_runtime_context().get_node_id(), soft=False
        )
        beside = {"num_cpus": 0, "scheduling_strategy": here}
        self._mailbox = ray.remote(Mailbox).options(**beside).remote()

    def claim(self) -> Claim:
        """Begin a job."""
        with self._lock:
            self._claims.append(Claim())
            return self._claims[-1]

    def end(self, claim: Claim) -> None:
        """End a job, whose workers have been given back."""
        with self._lock:
            self._claims.remove(claim)

    @property
    def is_idle(self) -> bool:
        """Whether there is no job."""
        return not self._claims

    def is_wanted(self, claim: Claim) -> bool:
        """Whether another job could do with more workers."""
        with self._lock:
            return any(other.wants for other in self._claims if other is not claim)

    def must_yield(self, claim: Claim) -> bool:
        """Whether a job that came before has work, and nobody to do it."""
        with self._lock:
            before = self._claims[: self._claims.index(claim)]
            return any(other.wants and not other.has_any for other in before)

    def has_others(self, claim: Claim) -> bool:
        """Whether workers of another job are there, that may become free."""
        with self._lock:
            return any(other.has_any for other in self._claims if other is not claim)

    def take(self, claim: Claim) -> list[Member]:
        """Have all who are free, unless a job that came before has nobody."""
        if self.must_yield(claim):
            return []
        with self._lock:
            found, self._free = self._free, []
            return found

    def give_back(self, members: Sequence[Member]) -> None:
        """Let other jobs have workers."""
        for member in members:
            member.become_free()
        with self._lock:
            self._free += members

    def fill(self) -> list[Member]:
        """Start workers where nobody is; returns them."""
        with self._lock:
            missing = Counter(self._posts) - Counter(member.post for member in self._all)
            return [self._start(post) for post in missing.elements()]

    def start(self, post: Post) -> Member:
        """Start a worker."""
        with self._lock:
            return self._start(post)

    def kill(self, member: Member) -> None:
        """Have a worker no more."""
        with self._lock:
            self._all.remove(member)
        with suppress(self.ray.exceptions.RayError, ValueError):
            self.ray.kill(member.actor)
        with suppress(self.ray.exceptions.RayError):
            self.ray.get(self._mailbox.forget.remote(member.number))

    def heard(self, members: Sequence[Member]) -> list[tuple[Member, str]]:
        """What workers have said since the last time."""
        by_number = {member.number: member for member in members}
        lines = self.ray.get(self._mailbox.take.remote(list(by_number)))
        return [(by_number[number], line) for number, line in lines]

    def tell_to_stop(self, members: Sequence[Member], is_stopping: bool) -> None:
        """Have workers end at their next safe points, or let them take work again."""
        numbers = [member.number for member in members]
        self.ray.get(self._mailbox.stop.remote(numbers, is_stopping))

    def dismiss(self, report: Report) -> None:
        """Have no worker on the cluster any more.

        Args:
            report: receives `WorkerState` of those who were there.
        """
        for member in self._all:
            if member.is_known:
                report(member.state("done"))
            with suppress(self.ray.exceptions.RayError, ValueError):
                self.ray.kill(member.actor)
        self._all, self._free = [], []
        with suppress(self.ray.exceptions.RayError, ValueError):
            self.ray.kill(self._mailbox)

    def _start(self, post: Post) -> Member:
        self._num_started += 1
        actor = (
            self.ray.remote(UnitWorker)
            .options(max_restarts=0, max_task_retries=0, **post.resources)
            .remote(self._num_started, self._mailbox, post.threads)
        )
        self._all.append(Member(self._num_started, post, actor))
        return self._all[-1]


class Cluster:
    """A cluster that is connected to when workers are first needed."""

    def __init__(self, config: UpscaleConfig) -> None:
        """Nothing is connected yet."""
        self._config = config
        self._lock = threading.Lock()
        self._connection = ExitStack()
        self._pool: WorkerPool | None = None

    def begin(self, report: Report) -> tuple[WorkerPool, Claim]:
        """Its workers, and the claim of a job that begins.

        Args:
            report: receives notes on the connection.

        Raises:
            VsrError: see `connected` and `find_posts`.
        """
        with self._lock:
            if self._pool is None:
                ray = self._connection.enter_context(
                    connected(self._config.job.ray or "auto", report)
                )
                self._pool = WorkerPool(ray, find_posts(ray.nodes(), self._config))
            return self._pool, self._pool.claim()

    def leave(self, report: Report) -> None:
        """Let all workers go, unless a job has any."""
        with self._lock:
            pool = self._pool
            if pool is not None and not pool.is_idle:
                return
            self._pool = None
            if pool is not None:
                pool.dismiss(report)
            self._connection.close()
