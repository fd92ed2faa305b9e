"""Units are handed out and taken back without a cluster: workers here do as a test says."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.cluster.fake_ray import sight_of
from tests.pipeline.units.clips import tiny_config
from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.errors import DeviceError, InputError, OutputError, VsrError
from vsr_cli.events import Event, Note, Progress, UnitState
from vsr_cli.pipeline.cluster.actor import BUSY, DONE, LEFT, STOPPED
from vsr_cli.pipeline.cluster.dispatch import Dispatch
from vsr_cli.pipeline.cluster.fleet import Settled
from vsr_cli.pipeline.cluster.pool import Member
from vsr_cli.pipeline.cluster.posts import Post, find_posts
from vsr_cli.pipeline.cluster.sight import (
    Fit,
    Sight,
    require_fit,
    require_room,
    sees_folder,
    weakest,
)
from vsr_cli.pipeline.cluster.sight import leave_token as leave
from vsr_cli.pipeline.resume.units import Unit, UnitTable
from vsr_cli.pipeline.units.messages import error_line, event_line

Answer = Callable[[Member, int], str | None]


def unit(index: int, length: int = 50) -> Unit:
    start = 50 * index
    row = {"entry": start, "first_pts": 0, "last_pts": 0, "first_crc": 0, "last_crc": 0}
    return Unit(index=index, start=start, stop=start + length, **row)


class FakeFleet:
    """Workers that answer one after the other, each with what `answer` says; None: it dies."""

    def __init__(self, count: int, answer: Answer) -> None:
        self.answer = answer
        self.members = [self.member(number + 1) for number in range(count)]
        self.num_lost, self.most_ahead, self.is_stopping = 0, 0, False
        self.given: list[int] = []
        self.lines: list[tuple[Member, str]] = []
        self.is_wanted = self.must_yield = False
        self.left: list[tuple[Member, int]] = []  # to other jobs, after so many units

    def member(self, number: int) -> Member:
        return Member(number, Post("cpu", 1), None, sight_of(), node="one")

    @property
    def at_work(self) -> list[Member]:
        return self.members

    @property
    def is_busy(self) -> bool:
        return any(member.units for member in self.members)

    def give(self, member: Member, index: int) -> None:
        member.units.append(index)
        self.given.append(index)
        self.most_ahead = max(self.most_ahead, len(member.units))

    def settled(self) -> list[Settled]:
        found = []
        for member in self.members:
            if member.units:
                index = member.units[0]
                line = STOPPED if self.is_stopping else self.answer(member, index)
                if line not in (BUSY, STOPPED):
                    state = UnitState(
                        index=index, start=0, stop=50, state="begun", attempt=1, worker=1
                    )
                    self.lines.append((member, event_line(state) or ""))
                found.append(Settled(member, index, line, "it was killed"))
        return found

    def heard(self) -> list[tuple[Member, str]]:
        found, self.lines = self.lines, []
        return found

    def bury(self, member: Member) -> list[int]:
        self.members.remove(member)
        self.num_lost += 1
        units, member.units = member.units, []
        return units

    def replace(self, member: Member) -> None:
        self.members.append(self.member(member.number + 10))

    def require_somebody(self) -> None: ...

    def wants(self, is_more: bool) -> None: ...

    def adopt(self) -> None: ...

    def release_idle(self) -> None:
        idle = [member for member in self.members if not member.units]
        self.left += [(member, len(self.given)) for member in idle]
        self.members = [member for member in self.members if member.units]

    def tell_to_stop(self, is_stopping: bool) -> None:
        self.is_stopping = is_stopping


class FakeJob:
    """A job of so many units, of which none is done."""

    def __init__(self, units: Sequence[Unit], report: Callable[[Event], None]) -> None:
        self.table = UnitTable(units=tuple(units), is_seekable=True, notes=(), config="")
        self.run = self
        self.task, self.report = "upscale", report

    def is_done(self, unit: Unit) -> bool:
        return False

    def num_done(self, unit: Unit) -> int:
        return 0


def dispatch(
    answer: Answer, *, count: int = 2, units: int = 8, stop: StopRequest | None = None
) -> tuple[FakeFleet, list[Event], Callable[[], None]]:
    events: list[Event] = []
    fleet = FakeFleet(count, answer)
    job = FakeJob([unit(index) for index in range(units)], events.append)
    found = Dispatch(fleet, job, stop or StopRequest())  # type: ignore[arg-type]
    return fleet, events, found.run


def test_every_unit_is_computed_and_nobody_has_more_than_two() -> None:
    fleet, events, run = dispatch(lambda member, index: DONE)
    run()
    assert sorted(fleet.given) == list(range(8))
    assert fleet.most_ahead == 2
    crews = [event.crew for event in events if isinstance(event, Progress) and event.crew]
    assert (crews[-1].units_done, crews[-1].alive) == (8, 2)


def test_the_longest_of_the_next_units_goes_first() -> None:
    fleet = FakeFleet(1, lambda member, index: DONE)
    units = [unit(0, 10), unit(1, 90), unit(2, 50)]
    job = FakeJob(units, lambda _: None)
    Dispatch(fleet, job, StopRequest()).run()  # type: ignore[arg-type]
    assert fleet.given == [1, 2, 0]


def test_a_unit_of_a_worker_that_dies_is_taken_up_and_its_attempts_are_counted() -> None:
    died: list[int] = []

    def answer(member: Member, index: int) -> str | None:
        if index == 3 and not died:
            died.append(member.number)
            return None
        return DONE

    fleet, events, run = dispatch(answer)
    run()
    of_it = [event for event in events if isinstance(event, UnitState) and event.index == 3]
    assert [(event.state, event.attempt) for event in of_it] == [
        ("begun", 1),
        ("lost", 1),
        ("begun", 2),
    ]
    assert [event.code for event in events if isinstance(event, Note)] == ["W_WORKER_LOST"]
    assert fleet.num_lost == 1


@pytest.mark.parametrize("end", [None, LEFT])
def test_a_worker_that_goes_with_two_units_is_replaced_once(end: str | None) -> None:
    gone: list[Member] = []

    class Pair(FakeFleet):
        def settled(self) -> list[Settled]:
            if not gone and len(self.members[0].units) == 2:
                gone.append(self.members[0])
                return [Settled(gone[0], index, end, "it was killed") for index in gone[0].units]
            return super().settled()

    fleet, events = Pair(2, lambda member, index: DONE), list[Event]()
    job = FakeJob([unit(index) for index in range(8)], events.append)
    Dispatch(fleet, job, StopRequest()).run()  # type: ignore[arg-type]
    assert len(fleet.members) == 2
    assert fleet.num_lost == 1
    assert sorted(set(fleet.given)) == list(range(8))
    lost = [event for event in events if isinstance(event, UnitState) and event.state == "lost"]
    assert len(lost) == (1 if end is None else 0)  # who leaves before it begins has lost nothing


def test_a_unit_that_kills_three_workers_is_given_up_when_all_others_are_done() -> None:
    fleet, events, run = dispatch(lambda member, index: None if index == 2 else DONE)
    with pytest.raises(DeviceError, match="workers have died of unit 2, 3 of them"):
        run()
    assert fleet.given.count(2) == 3
    assert set(fleet.given) == set(range(8))
    states = [event.state for event in events if isinstance(event, UnitState) and event.index == 2]
    assert states.count("lost") == 3
    assert states[-1] == "given up"


def test_an_error_that_the_user_can_mend_is_final() -> None:
    failure = error_line(OutputError("the disk is full", hint="free some"), "")
    fleet, _, run = dispatch(lambda member, index: failure if index == 0 else DONE)
    with pytest.raises(OutputError, match="the disk is full"):
        run()
    assert fleet.given.count(0) == 1
    assert not fleet.is_stopping  # the next job may go on


def test_a_machine_that_is_taken_away_costs_a_unit_nothing() -> None:
    left: list[int] = []

    def answer(member: Member, index: int) -> str | None:
        if len(left) < 5 and index == 1:
            left.append(index)
            return LEFT
        return DONE

    fleet, events, run = dispatch(answer)
    run()
    assert fleet.num_lost == 5  # of which none counts as died of the unit
    assert not [e for e in events if isinstance(e, UnitState) and e.state == "given up"]


def test_a_unit_that_another_has_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr_cli.pipeline.cluster.dispatch.PAUSE", 0.01)
    tried: list[int] = []

    def answer(member: Member, index: int) -> str | None:
        tried.append(index)
        return BUSY if index == 4 and tried.count(4) < 3 else DONE

    _, _, run = dispatch(answer)
    run()
    assert tried.count(4) == 3


def test_a_request_to_stop_ends_all_of_them() -> None:
    stop = StopRequest()

    def answer(member: Member, index: int) -> str | None:
        stop.is_requested = True
        return DONE

    fleet, _, run = dispatch(answer, stop=stop)
    with pytest.raises(Stopped):
        run()
    assert len(fleet.given) < 8


def test_workers_with_nothing_left_to_do_go_to_the_job_that_wants_them() -> None:
    """The last unit is held until all others have gone; whoever had it goes before the join."""
    turns = 0

    class Shared(FakeFleet):
        def settled(self) -> list[Settled]:
            nonlocal turns
            turns += 1
            found = super().settled()
            return [call for call in found if call.index != 7 or turns > 20]

    fleet = Shared(3, lambda member, index: DONE)
    fleet.is_wanted = True
    job = FakeJob([unit(index) for index in range(8)], lambda _: None)
    Dispatch(fleet, job, StopRequest()).run()  # type: ignore[arg-type]
    assert [given for _, given in fleet.left] == [8, 8, 8]
    assert sorted(fleet.given) == list(range(8))


def test_nobody_goes_where_nobody_is_wanted() -> None:
    fleet, _, run = dispatch(lambda member, index: DONE)
    run()
    assert fleet.left == []


def test_a_job_yields_to_one_that_came_before_and_has_nobody() -> None:
    turns = 0

    class Later(FakeFleet):
        def settled(self) -> list[Settled]:
            nonlocal turns
            turns += 1
            if turns == 3:
                self.must_yield = True
            if turns == 12:
                self.must_yield = False
                self.members = [self.member(7)]
            return super().settled()

    fleet = Later(2, lambda member, index: DONE)
    job = FakeJob([unit(index) for index in range(20)], lambda _: None)
    Dispatch(fleet, job, StopRequest()).run()  # type: ignore[arg-type]
    assert len(fleet.left) == 2
    assert {given for _, given in fleet.left} < set(range(20))
    assert sorted(fleet.given) == list(range(20))


NODES = [
    {"Alive": True, "Resources": {"CPU": 16.0}},
    {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


@pytest.mark.parametrize(
    ("job", "device", "expected"),
    [
        ({}, "auto", [("cuda", 4)] * 2),
        ({}, "cuda:0", [("cuda", 4)] * 2),
        ({}, "cpu", [("cpu", 8)] * 3),
        ({"mixed": True}, "auto", [("cuda", 4)] * 2 + [("cpu", 8)] * 2),
        ({"workers": 1}, "auto", [("cuda", 4)]),
    ],
)
def test_there_is_a_worker_for_each_gpu_or_for_some_cores(
    job: dict[str, Any], device: str, expected: list[tuple[str, int]], model_file: Path
) -> None:
    config = replace(tiny_config(model_file, ray="auto", **{"workers": None, **job}), device=device)
    assert [(post.device, post.cores) for post in find_posts(NODES, config)] == expected


def test_a_worker_has_a_thread_where_there_are_more_gpus_than_cores(model_file: Path) -> None:
    config = tiny_config(model_file, ray="auto", workers=None)
    node = {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 8.0}}
    (post, *_) = find_posts([node], replace(config, device="cuda"))
    assert (post.resources["num_cpus"], post.threads) == (0, 1)


def test_a_cluster_without_the_device_is_refused(model_file: Path) -> None:
    config = replace(tiny_config(model_file, ray="auto", workers=None), device="cuda")
    with pytest.raises(DeviceError, match="no place for a worker"):
        find_posts(NODES[:1], config)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"weights": "b" * 64}, DeviceError, "another weights"),
        ({"vsr": "2.0"}, DeviceError, "another vsr"),
        ({"torch": "2.8"}, DeviceError, "another torch"),
        ({"device": "cuda"}, DeviceError, "another device"),
        ({"dtype": "bfloat16"}, DeviceError, "another dtype"),
        ({"sees_folder": False}, OutputError, "workers do not see `job`"),
        ({"sees_source": False, "plan": None}, InputError, "workers do not see `in.mkv`"),
    ],
)
def test_workers_that_differ_are_refused(
    changes: dict[str, Any], error: type[VsrError], words: str
) -> None:
    sights = [sight_of(), sight_of(node="two", **changes)]
    with pytest.raises(error, match=words) as refused:
        require_fit(
            sights,
            sight_of(),
            Path("in.mkv"),
            Path("job"),
            mixed=False,
            report=lambda _: None,
        )
    assert refused.value.exit_code == {DeviceError: 6, OutputError: 4, InputError: 3}[error]


def test_devices_may_differ_where_that_is_said_but_weights_never() -> None:
    events: list[Event] = []
    sights = [sight_of(), sight_of(node="two", device="cuda", dtype="bfloat16")]
    where = (Path("in.mkv"), Path("job"))
    require_fit(sights, sight_of(), *where, mixed=True, report=events.append)
    assert [event.code for event in events if isinstance(event, Note)] == ["W_MIXED"]
    with pytest.raises(DeviceError, match="another weights"):
        require_fit(
            [sight_of(weights="b" * 64)], sight_of(), *where, mixed=True, report=lambda _: None
        )


def test_all_compute_as_much_at_once_as_the_weakest_can() -> None:
    small = Fit(
        clip_length=4,
        tile_size=64,
        peak_bytes=5,
        free_bytes=10,
        state_bytes=9,
        is_out_of_core=True,
        scratch_bytes=0,
    )
    plan = weakest([sight_of(), sight_of(node="two", plan=small)], mixed=False)
    assert (plan.clip_length, plan.tile_size, plan.peak_bytes) == (4, 64, 5)
    assert plan.is_state_on_disk
    assert plan.is_out_of_core
    assert "two" in plan.reasons[0]


@pytest.mark.parametrize(
    ("length", "tile", "fits"),
    [(8, None, True), (16, None, True), (4, None, False), (8, 64, False)],
)
def test_a_worker_that_comes_later_must_have_room_for_what_was_planned(
    length: int, tile: int | None, fits: bool
) -> None:
    plan = sight_of().plan
    assert plan is not None
    run_plan = weakest([sight_of()], mixed=False)
    later = sight_of(plan=replace(plan, clip_length=length, tile_size=tile))
    with nullcontext() if fits else pytest.raises(DeviceError, match="too little memory"):
        require_room(later, run_plan)
    in_tiles = weakest([sight_of(plan=replace(plan, tile_size=64))], mixed=False)
    require_room(sight_of(plan=replace(plan, tile_size=64)), in_tiles)
    with pytest.raises(DeviceError, match="too little memory"):
        require_room(sight_of(plan=replace(plan, tile_size=32)), in_tiles)


def test_a_folder_is_known_by_what_the_head_has_left_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsr_cli.pipeline.cluster.sight._PATIENCE", 0.0)
    token = leave(tmp_path)
    assert sees_folder(tmp_path, token)
    assert not sees_folder(tmp_path, "another")
    assert not sees_folder(tmp_path / "none", token)
    assert sees_folder(tmp_path / "none", None)  # a plan has no folder


def test_what_a_worker_says_of_itself_comes_back_as_it_was() -> None:
    assert Sight.from_line(sight_of().to_line()) == sight_of()
    assert Sight.from_line('{"error": "bug", "what": ""}') is None
