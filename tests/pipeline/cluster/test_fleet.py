"""Workers of a job are mustered, lent to other jobs and taken back, without a cluster."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.pipeline.cluster.fake_ray import FakeActor, FakeCall, FakeRay, sight_of
from vsr_cli.cancellation import Stopped, abandon_when
from vsr_cli.errors import DeviceError
from vsr_cli.events import Event, Note
from vsr_cli.media.reading.index import NoIndexError
from vsr_cli.pipeline.cluster.actor import Mailbox
from vsr_cli.pipeline.cluster.fleet import Fleet
from vsr_cli.pipeline.cluster.pool import Claim, Member, WorkerPool
from vsr_cli.pipeline.cluster.posts import Post
from vsr_cli.pipeline.cluster.sight import Sight


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr_cli.pipeline.cluster.fleet._LOOK", 0.01)


def pool_of(count: int) -> WorkerPool:
    """Of so many workers, all of which start at once."""
    return WorkerPool(FakeRay(room=99), [Post("cpu", 1)] * count)  # type: ignore[arg-type]


def fleet_of(pool: WorkerPool, report: Callable[[Event], None] = lambda _: None) -> Fleet:
    """A job that begins."""
    return Fleet(pool, pool.claim(), report)


def nodes(sights: list[Sight]) -> list[str]:
    return [sight.node for sight in sights]


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Work in a thread, and what it gives in the end."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def test_a_job_that_comes_later_has_workers_when_the_first_has_nothing_for_them() -> None:
    pool = pool_of(2)
    one, two = fleet_of(pool), fleet_of(pool)
    assert nodes(one.muster(lambda _: "one", "")) == ["one", "one"]
    one.members[0].units.append(7)  # it is at work
    thread, found = in_thread(lambda: nodes(two.muster(lambda _: "two", "")))
    thread.join(0.1)
    assert thread.is_alive()  # it waits, for as long as it takes
    assert one.is_wanted
    one.release_idle()
    thread.join(10)
    assert found == [["two"]]
    assert (len(one.members), len(two.members)) == (1, 1)
    assert {member.node for member in (*one.members, *two.members)} == {"one", "two"}


def test_whoever_waits_for_workers_can_be_stopped() -> None:
    pool = pool_of(1)
    one, two = fleet_of(pool), fleet_of(pool)
    one.muster(lambda _: "one", "")
    abandoned = threading.Event()

    def muster() -> bool:
        abandon_when(abandoned)
        with pytest.raises(Stopped):
            two.muster(lambda _: "two", "")
        return True

    thread, found = in_thread(muster)
    abandoned.set()
    thread.join(10)
    assert found == [True]


def test_the_first_job_has_the_first_claim_where_it_has_nobody() -> None:
    pool = pool_of(2)
    one, two = fleet_of(pool), fleet_of(pool)
    one.muster(lambda _: "one", "")
    one.release_idle()
    one.wants(False)
    assert nodes(two.muster(lambda _: "two", "")) == ["two", "two"]
    assert not two.must_yield
    one.wants(True)  # a unit has come back
    assert two.must_yield
    assert not one.must_yield
    two.release_idle()
    assert two.adopt() == []
    assert len(one.adopt()) == 2
    for call in one.settled():
        assert one.welcome(call)
    assert not two.must_yield


def test_no_worker_is_started_where_another_job_has_one() -> None:
    pool = pool_of(2)
    one, two = fleet_of(pool), fleet_of(pool)
    one.muster(lambda _: "one", "")
    one.members[0].units.append(7)
    one.release_idle()
    two.muster(lambda _: "two", "")
    assert len(pool.ray.actors) == 2
    one.bury(one.members[0])
    assert pool.ray.actors[0].is_dead
    one.replace(Member(1, Post("cpu", 1), None))
    assert len(pool.ray.actors) == 3


def test_a_job_that_ends_leaves_the_idle_and_ends_the_busy() -> None:
    pool = pool_of(2)
    one = fleet_of(pool)
    one.muster(lambda _: "one", "")
    one.members[1].units.append(3)
    one.disband()
    assert pool.is_idle
    assert [actor.is_dead for actor in pool.ray.actors] == [False, True]
    two = fleet_of(pool)
    assert nodes(two.muster(lambda _: "two", "")) == ["two", "two"]
    assert len(pool.ray.actors) == 3


def test_whoever_comes_later_and_does_not_fit_is_left_out() -> None:
    events: list[Event] = []
    pool = pool_of(2)
    one, two = fleet_of(pool), fleet_of(pool, events.append)
    one.muster(lambda _: "one", "")
    one.members[0].units.append(7)
    one.release_idle()
    two.muster(lambda _: "two", "")

    def refuse(sight: Sight) -> None:
        raise DeviceError("it has another weights")

    two.check = refuse
    one.members[0].units.clear()
    one.wants(False)
    one.release_idle()
    two.adopt()
    assert [two.welcome(call) for call in two.settled()] == [False]
    assert len(two.at_work) == 1
    assert [event.text for event in events if isinstance(event, Note)] == [
        "worker 1 comes later and is left out: it has another weights"
    ]


def test_a_note_is_told_of_each_job() -> None:
    pool = pool_of(1)
    one = fleet_of(pool)
    one.muster(lambda _: "one", "")
    one.members[0].said.add(Note(code="W_X", text="of this source"))
    one.disband()
    two = fleet_of(pool)
    two.muster(lambda _: "two", "")
    assert two.members[0].said == set()


def test_a_mailbox_keeps_what_each_says_and_tells_whom_it_is_to() -> None:
    box = Mailbox()
    assert not box.tell(1, ["a", "b"])
    assert not box.tell(2, ["c"])
    assert box.take([1]) == [(1, "a"), (1, "b")]
    assert box.take([1, 2]) == [(2, "c")]
    box.stop([1], True)
    assert box.tell(1, []) is True
    assert box.tell(2, ["d"]) is False
    box.stop([1, 2], False)
    assert box.tell(1, []) is False
    box.forget(2)
    assert box.take([2]) == []


class ScanRay(FakeRay):
    """Workers that echo ranges, one call at a time each; the one that is `dead` has died."""

    def __init__(self, count: int, dead: int | None = None) -> None:
        super().__init__(count)
        self.most_at_once = 0
        self.actors = [FakeActor() for _ in range(count)]
        for number, actor in enumerate(self.actors):
            actor.is_dead = number == dead

    def fleet(self) -> Fleet:
        """These workers, at work."""
        found = fleet_of(WorkerPool(self, []))  # type: ignore[arg-type]
        for number, actor in enumerate(self.actors):
            found.members.append(Member(number, Post("cpu", 1), actor, sight_of()))
        return found

    def wait(self, calls: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        self.most_at_once = max(self.most_at_once, len(calls))
        return calls[-1:], calls[:-1]

    def get(self, call: FakeCall) -> str:
        if any(actor.is_dead and call in actor.calls for actor in self.actors):
            raise self.exceptions.RayError("the actor died")
        return f"look at {call.order}"


@pytest.mark.parametrize("count", [1, 3])
def test_workers_scan_all_ranges_each_one_at_a_time(count: int) -> None:
    ray = ScanRay(count)
    found = dict(ray.fleet().scatter([f"range {place}" for place in range(7)]))
    assert found == {place: f"look at range {place}" for place in range(7)}
    assert ray.most_at_once == count
    assert all(actor.calls for actor in ray.actors)


def test_a_worker_that_dies_scanning_leaves_the_scan_to_one_reader() -> None:
    ray = ScanRay(2, dead=1)
    with pytest.raises(NoIndexError, match="has died"):
        list(ray.fleet().scatter(["a", "b", "c"]))


def test_whoever_is_late_is_asked_about_the_next_job_and_not_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vsr_cli.pipeline.cluster.fleet.PATIENCE", 0.0)
    monkeypatch.setattr("vsr_cli.pipeline.cluster.fleet._LOOK", 0.0)
    ray = FakeRay(room=1)
    pool = WorkerPool(ray, [Post("cpu", 1)] * 2)  # type: ignore[arg-type]
    fleet = fleet_of(pool)
    assert [sight.node for sight in fleet.muster(lambda _: "first", "")] == ["first"]
    fleet.disband()
    monkeypatch.setattr("vsr_cli.pipeline.cluster.fleet.PATIENCE", 1000.0)
    fleet = fleet_of(pool)
    assert [sight.node for sight in fleet.muster(lambda _: "second", "")] == ["second"]
    ray.room = 2
    assert [fleet.take_in(call).node for call in fleet.settled()] == ["second"]
    assert len(ray.actors) == 2


def test_whoever_comes_meanwhile_scans_too() -> None:
    pool = pool_of(2)
    one, two = fleet_of(pool), fleet_of(pool)
    one.muster(lambda _: "one", "")
    one.members[0].units.append(7)
    one.release_idle()
    two.muster(lambda _: "two", "")
    one.members[0].units.clear()
    one.wants(False)
    one.release_idle()
    assert len(list(two.scatter([f"range {place}" for place in range(6)]))) == 6
    assert len(two.at_work) == 2
    scans = [[c for c in actor.calls if "range" in c.order] for actor in pool.ray.actors]
    assert all(scans)


def test_a_job_that_waits_has_workers_of_one_that_ends_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However the two fall together: also between its look for free ones and its next step."""
    pool = pool_of(1)
    one, two = fleet_of(pool), fleet_of(pool)
    one.muster(lambda _: "one", "")
    take, has_ended = pool.take, list[bool]()

    def take_just_before_the_end(claim: Claim) -> list[Member]:
        found = take(claim)
        if not has_ended:
            has_ended.append(True)
            one.disband()
        return found

    monkeypatch.setattr(pool, "take", take_just_before_the_end)
    assert nodes(two.muster(lambda _: "two", "")) == ["two"]
