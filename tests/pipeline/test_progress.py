"""Progress that goes up evenly, whatever bursts frames come in."""

from itertools import pairwise

import pytest

from vsr_cli.cli.amounts import seconds_left
from vsr_cli.events import Event, Progress, TimeSpent
from vsr_cli.pipeline.progress import ProgressReporter, WorkMeter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(
    num_clips: int,
    length: int,
    *,
    steps: int,
    regions: int,
    step: float,
    decode: float,
    pause: float = 0.0,
) -> list[Progress]:
    """A steady job: seconds for each step, each decoded frame of a region, and before each clip."""
    clock, events = Clock(), list[Event]()
    reporter = ProgressReporter("upscale", num_clips * length, events.append, clock=clock)
    meter = WorkMeter(steps, clock=clock)
    reporter.follow(meter)
    done = 0
    for _ in range(num_clips):
        clock.now += pause
        meter.begin_clip(length, regions)
        for _ in range(regions):
            for _ in range(steps):
                clock.now += step
                meter.step()
            for _ in range(length):
                clock.now += decode
                meter.decode()
                if regions == 1:
                    meter.give()
                    done += 1
                    reporter.count(done)
        if regions > 1:
            for _ in range(length):
                meter.give()
                done += 1
                reporter.count(done)
    return [event for event in events if isinstance(event, Progress)]


CASES = [
    pytest.param(4, 1, 2.0, 1.0, id="few steps"),
    pytest.param(50, 1, 1.0, 0.5, id="many steps"),
    pytest.param(4, 6, 0.5, 0.4, id="regions"),
    pytest.param(1, 1, 8.0, 0.1, id="a guess that is far off"),
]


@pytest.mark.parametrize(("steps", "regions", "step", "decode"), CASES)
def test_what_is_done_never_goes_down_and_ends_at_all_frames(
    steps: int, regions: int, step: float, decode: float
) -> None:
    events = run(6, 8, steps=steps, regions=regions, step=step, decode=decode)
    parts = [event.frame + event.ahead for event in events]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0, 48)
    assert (events[-1].frame, events[-1].ahead) == (48, 0)


@pytest.mark.parametrize("pause", [0.0, 3.0, 8.0])
@pytest.mark.parametrize(("steps", "regions", "step", "decode"), CASES)
def test_the_time_left_goes_down_with_the_clock_and_is_right(
    steps: int, regions: int, step: float, decode: float, pause: float
) -> None:
    events = run(12, 8, steps=steps, regions=regions, step=step, decode=decode, pause=pause)
    third = next(k for k, event in enumerate(events) if event.frame == 24)
    for before, after in pairwise(events[third:]):
        assert before.left is not None
        assert after.left is not None
        expected = before.left - (after.seconds - before.seconds)
        assert abs(after.left - expected) <= 0.025 * events[-1].seconds
        assert abs(after.left - (events[-1].seconds - after.seconds)) < 0.09 * events[-1].seconds
    assert events[-1].left == 0


@pytest.mark.parametrize(("steps", "regions", "step", "decode"), CASES)
def test_the_time_left_of_a_steady_job_hardly_ever_grows(
    steps: int, regions: int, step: float, decode: float
) -> None:
    events = run(6, 8, steps=steps, regions=regions, step=step, decode=decode)
    second = next(k for k, event in enumerate(events) if event.frame == 8)
    left = [seconds_left(event) for event in events[second:]]
    assert all(seconds is not None for seconds in left)
    for before, after in pairwise(left):
        assert before is not None
        assert after is not None
        assert after <= 1.1 * before + 0.2


def test_a_clip_is_told_of_before_it_is_done() -> None:
    events = run(1, 8, steps=4, regions=1, step=10.0, decode=1.0)
    assert events[0].frame == events[0].seconds == 0
    within = [event for event in events if event.frame == 0 and event.ahead > 0]
    assert len(within) >= 4


def test_steps_that_follow_each_other_quickly_are_not_told_one_by_one() -> None:
    events = run(1, 2, steps=1000, regions=1, step=0.001, decode=0.001)
    assert len(events) < 10


def test_what_passes_before_the_work_begins_is_no_part_of_the_pace() -> None:
    clock, events = Clock(), list[Progress]()

    def report(event: Event) -> None:
        assert isinstance(event, Progress)
        events.append(event)

    reporter = ProgressReporter("upscale", 100, report, clock=clock)
    clock.now += 60  # processes start, and load
    reporter.start_clock()
    clock.now += 2
    reporter.count(1)
    assert events[-1].left == pytest.approx(198)
    clock.now += 2
    reporter.start_clock()  # another begins later
    reporter.count(2)
    assert events[-1].seconds == 4


@pytest.mark.parametrize(("num_frames", "about"), [(None, 20), (20, 999)])
def test_the_time_left_is_told_where_length_and_rate_tell_the_number(
    num_frames: int | None, about: int
) -> None:
    events, now = list[Event](), 0.0
    reporter = ProgressReporter(
        "upscale", num_frames, events.append, about=about, clock=lambda: now
    )
    now = 10.0
    reporter.count(5)
    last = events[-1]
    assert isinstance(last, Progress)
    assert (last.num_frames, last.about) == (num_frames, about if num_frames is None else None)
    assert last.left == pytest.approx(30.0)


def test_the_size_to_come_is_told_by_what_a_frame_takes() -> None:
    events = list[Event]()
    reporter = ProgressReporter("upscale", None, events.append, about=300)
    reporter.count(10)
    reporter.count(50, bytes_per_frame=1000.0)
    reporter.end_at(200)
    reporter.count(60, bytes_per_frame=900.0)
    told = [event.bytes_about for event in events if isinstance(event, Progress)]
    assert told == [None, None, 300_000, 180_000]


def test_every_second_of_a_run_is_told_of_one_stage() -> None:
    clock, events = Clock(), list[Event]()
    reporter = ProgressReporter("upscale", 5, events.append, first=1, clock=clock)
    meter = WorkMeter(2, clock=clock)
    reporter.follow(meter)
    done = 1
    for _ in range(2):
        clock.now += 1
        meter.begin_clip(2, 1)
        for _ in range(2):
            clock.now += 10
            meter.step()
        for _ in range(2):
            clock.now += 100
            meter.decode()
            clock.now += 1000
            meter.give()
            clock.now += 10_000
            done += 1
            reporter.count(done)
            meter.take()
    clock.now += 100_000  # nobody's
    reporter.finish()
    (spent,) = (event for event in events if isinstance(event, TimeSpent))
    assert spent.stages == {"read": 2, "sample": 40, "decode": 400, "color": 4000, "write": 40_000}
    assert (spent.seconds, spent.frames) == (144_442, 4)
