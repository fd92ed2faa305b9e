"""A film in a thread of its own: what it says, what becomes of it, and how it ends early."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from vsr_cli.cancellation import Stopped
from vsr_cli.errors import InputError
from vsr_cli.events import Done, Event, Note, Progress, Report
from vsr_cli.pipeline.units.films import Film
from vsr_cli.pipeline.upscale import Upscaler

DONE = Done(target=Path("b"), frames_in=9, frames_out=9, width=2, height=2, seconds=1.0)
NOTE = Note(code="W_TEST", text="something to know")


class Scripted(Upscaler):
    """Does what a test says."""

    def __init__(self, act: Callable[[Report], None]) -> None:
        self._act = act

    def upscale(self, source: Path, target: Path, *, report: Report = print) -> Done:
        self._act(report)
        return DONE


def begun(act: Callable[[Report], None]) -> Film:
    film = Film(Path("a"), Path("b"))
    film.begin(Scripted(act))
    return film


def progress(frame: int, stage: str = "upscale") -> Progress:
    return Progress(stage=stage, frame=frame, num_frames=9, seconds=1.0)


def test_events_wait_until_they_are_taken_and_of_progress_the_last_is_kept() -> None:
    said: list[Event] = [progress(9, "scan"), progress(1), progress(2), NOTE, progress(3)]

    def say(report: Report) -> None:
        for event in said:
            report(event)

    film = begun(say)
    assert film.result() == DONE
    assert film.take_events() == [progress(9, "scan"), progress(2), NOTE, progress(3)]
    assert film.take_events() == []
    assert film.is_over


def test_what_ends_a_film_is_raised_where_it_is_asked_for() -> None:
    def fail(report: Report) -> None:
        raise InputError("it broke")

    film = begun(fail)
    with pytest.raises(InputError, match="it broke"):
        film.result()


def test_a_film_that_waits_for_its_turn_can_be_ended_or_goes_on() -> None:
    one, two = Film(Path("a"), Path("b")), Film(Path("a"), Path("b"))
    one.begin(Scripted(lambda report: one.wait_for_turn()))
    two.begin(Scripted(lambda report: two.wait_for_turn()))
    assert not one.is_over
    one.give_turn()
    two.end()
    with pytest.raises(Stopped):
        two.result()
    assert one.result() == DONE


def test_a_film_at_a_safe_distance_is_ended_at_its_next_word_and_else_where_it_chooses() -> None:
    is_deferred, is_asked = threading.Event(), threading.Event()

    def compute(report: Report) -> None:
        with film.stop.deferred():
            is_deferred.set()
            is_asked.wait()
            report(NOTE)
        film.end_soon()
        report(NOTE)

    film = Film(Path("a"), Path("b"))
    film.begin(Scripted(compute))
    is_deferred.wait()
    film.end_soon()
    assert film.stop.is_requested
    is_asked.set()
    with pytest.raises(Stopped):
        film.result()
    assert film.take_events() == [NOTE]
