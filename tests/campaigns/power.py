"""Power cuts and kills, at every call that changes names or syncs."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.campaigns.common import nothing
from tests.campaigns.ground import NUM_FRAMES, Ground
from tests.campaigns.recorder import DONE, Recorder, Tree, on_every_call

TARGET = "out.mkv"

T = TypeVar("T")


def cut_power(ground: Ground, most: int) -> None:
    """Record a run, and go on from each state that a power cut may have left of it."""
    for overwrite in (False, True):
        with ground.case() as case:
            root, store = case / "root", case / "store"
            root.mkdir()
            if overwrite:
                (root / TARGET).write_bytes(b"an older video")
            options = ["-y"] if overwrite else []
            recorder = Recorder(root, store, ground.random.randrange(2**31))
            ended = ground.run(ground.command(TARGET, *options), root, prepare=recorder.start)
            if ended.code:
                ground.table.add("power cut", "recording", ended.last_words, good=False)
                continue
            lines = (store / "states.ndjson").read_text().splitlines()
            states = [json.loads(line) for line in _spread(lines, most)]
            found = Counter(
                (name, _after_cut(ground, tree, promised, store, overwrite=overwrite))
                for name, promised, tree in states
            )
        kind = "over an older target" if overwrite else "no target before"
        _show(ground, "power cut", kind, len(lines), found)


def _after_cut(ground: Ground, tree: Tree, promised: int, store: Path, *, overwrite: bool) -> str:
    """What is wrong after a rerun from such a state."""
    with ground.case() as case:
        for name, digest in sorted(tree.items()):
            if digest is None:
                (case / name).mkdir(mode=0o700)
            else:
                (case / name).write_bytes((store / digest).read_bytes())
        target = case / TARGET
        is_old = overwrite and target.exists() and target.read_bytes() == b"an older video"
        is_there = target.exists() and not is_old
        if is_there and (wrong := ground.wrong(target)):
            return f"a wrong target under its name: {wrong}"
        if promised == DONE and not is_there:
            return "the target is lost"
        if is_there and not any(case.glob("*.vsr-job")):
            return ""
        option = "-y" if overwrite or is_there else "-n"
        ended = ground.run(ground.command(TARGET, option), case)
        if wrong := ground.outcome(ended, target):
            return wrong
        if not is_there and ended.first_frame < min(promised, NUM_FRAMES):
            said = [str(e["text"]) for e in ended.events if e.get("code") == "W_JOB_DAMAGED"]
            return f"{promised} frames were done, {ended.first_frame} are taken up {said}"
        return ""


def kill_everywhere(ground: Ground, most: int) -> None:
    """Kill a run before and after each such call, and run it again."""
    for overwrite in (False, True):
        names = calls_of(ground, overwrite=overwrite)
        found = Counter(
            (names[index // 2], _after_kill(ground, index, overwrite=overwrite))
            for index in _spread(range(2 * len(names)), most)
        )
        kind = "over an older target" if overwrite else "no target before"
        _show(ground, "killed at a call", kind, 2 * len(names), found)


def _after_kill(ground: Ground, index: int, *, overwrite: bool) -> str:
    with ground.case() as case:
        target = case / TARGET
        if overwrite:
            target.write_bytes(b"an older video")
        option = "-y" if overwrite else "-n"
        killed = ground.run(ground.command(TARGET, option), case, prepare=kill_at(index))
        is_old = overwrite and target.exists() and target.read_bytes() == b"an older video"
        if killed.code not in (-signal.SIGKILL, 0):
            return killed.last_words
        if target.exists() and not is_old and (wrong := ground.wrong(target)):
            return f"a wrong target under its name: {wrong}"
        ended = ground.run(ground.command(TARGET, option), case)
        return ground.outcome(ended, target)


def kill_at(index: int) -> Callable[[], None]:
    """What kills a process before (even) or after (odd) a call, counted from 0 in pairs."""

    def prepare() -> None:
        passed = iter(range(index + 1))

        def pass_or_die(*_: object) -> None:
            if next(passed, None) == index:
                os.kill(os.getpid(), signal.SIGKILL)

        on_every_call(pass_or_die, pass_or_die)

    return prepare


def calls_of(ground: Ground, *, overwrite: bool = False) -> list[str]:
    """The names of all such calls of a run, in order."""
    with ground.case() as case:
        calls, root = case / "calls", case / "root"
        root.mkdir()
        if overwrite:
            (root / TARGET).write_bytes(b"an older video")
        options = ["-y"] if overwrite else []
        ground.run(ground.command(TARGET, *options), root, prepare=partial(_note_calls, calls))
        return calls.read_text().split()


def _note_calls(path: Path) -> None:
    def note(name: str, _: object) -> None:
        with path.open("a") as file:
            file.write(f"{name}\n")

    on_every_call(lambda _: nothing(), note)


def _spread(items: Sequence[T], most: int) -> list[T]:
    """As many items as wanted, evenly taken."""
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]


def _show(
    ground: Ground, fault: str, kind: str, num_all: int, found: Counter[tuple[str, str]]
) -> None:
    tried = found.total()
    wrong = Counter({key: number for key, number in found.items() if key[1]})
    text = f"{tried - wrong.total()} without loss, {wrong.total()} not"
    ground.table.add(fault, f"{kind}, {tried} of {num_all} states", text, good=not wrong)
    for (name, outcome), number in wrong.most_common(10):
        ground.table.add("", f"  {number} x {name}", outcome, good=False)
