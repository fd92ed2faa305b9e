"""Standard streams that are closed, full, or that nobody reads."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.campaigns.ground import DOCUMENTED, Ground
from tests.campaigns.power import TARGET

STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2}


def close(number: int) -> None:
    """Close a stream, as `N>&-` in a shell does, and as Python then sees it."""
    os.close(number)
    setattr(sys, [*STREAMS][number], None)


def fill(number: int) -> None:
    """Have every write fail as on a full disk."""
    os.dup2(os.open("/dev/full", os.O_RDWR), number)


def leave(number: int) -> None:
    """A pipe whose reader has left."""
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, number)


def disturb_streams(ground: Ground) -> None:
    """Each stream by itself, and both for output, with events on stdout and without."""
    ways: dict[str, Callable[[int], None]] = {"closed": close, "full": fill, "not read": leave}
    for as_json in (False, True):
        for way, disturb in ways.items():
            for numbers in ((0,), (1,), (2,), (1, 2)):
                if 0 in numbers and disturb is not close:
                    continue
                streams = " and ".join([*STREAMS][number] for number in numbers)
                where = f"{streams} {way}{', --json' if as_json else ''}"
                allowed = _allowed(way, numbers, as_json)
                prepare = partial(_disturb_all, disturb, numbers)
                outcome = _run(ground, prepare, allowed, as_json=as_json)
                ground.table.add("stream", where, outcome or "as it should", good=not outcome)


def _disturb_all(disturb: Callable[[int], None], numbers: tuple[int, ...]) -> None:
    for number in numbers:
        disturb(number)


def _allowed(way: str, numbers: tuple[int, ...], as_json: bool) -> set[int]:
    """Exit codes: the work is done unless the one who waits for output has left."""
    if way == "not read" and (2 in numbers or as_json):
        return {141} if 1 in numbers or 2 in numbers else {0}
    if as_json and 1 in numbers:
        return {141} if way == "closed" else {4}
    return {0}


def _run(ground: Ground, prepare: Callable[[], None], allowed: set[int], *, as_json: bool) -> str:
    """What is wrong, an empty string if nothing."""
    with ground.case() as case:
        command = ground.command()
        if not as_json:
            command.remove("--json")
        ended = ground.run(command, case, prepare=prepare)
        target = case / TARGET
        if ended.code not in allowed & DOCUMENTED:
            return f"not {allowed} but {ended.last_words}"
        if ended.code == 0:
            return ground.outcome(ended, target)
        again = ground.run(ground.command(), case)
        return ground.outcome(again, target)


def target_on_closed_stdout(ground: Ground) -> None:
    """Video for standard output, which is closed: nobody is there to read it."""
    with ground.case() as case:
        command = [*ground.command(Path("-")), "-f", "matroska"]
        command.remove("--json")
        ended = ground.run(command, case, prepare=partial(close, 1))
        good = ended.code in (4, 141)
        ground.table.add("stream", "stdout closed, and the target", ended.last_words, good=good)
