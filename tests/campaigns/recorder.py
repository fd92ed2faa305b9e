"""Watches what a run asks the file system for, and works out what a power cut would leave.

What is legal is taken at its worst: content that was not synced may be gone, half there or zeros,
and names given, taken or exchanged since the folder was synced may be the old ones again.
"""

import functools
import hashlib
import json
import os
import random
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# What has an effect on names, or promises that something is on disk.
NAMES = ("fsync", "fdatasync", "rename", "replace", "link", "symlink", "unlink", "remove")
CALLS = (*NAMES, "mkdir", "rmdir", "truncate", "ftruncate")

Tree = dict[str, str | None]  # path in the folder -> digest of its content; None for a folder


def on_every_call(before: Callable[[str], None], after: Callable[[str, object], None]) -> None:
    """Have functions called around every call of this process that changes names or syncs.

    Args:
        before: gets the name of the call.
        after: gets the name, and its first argument.
    """
    lock = threading.RLock()

    def watch(name: str) -> None:
        call = getattr(os, name)

        @functools.wraps(call)
        def watched(*args: object, **kwargs: object) -> object:
            with lock:
                before(name)
                result = call(*args, **kwargs)
                after(name, args[0])
                return result

        setattr(os, name, watched)

    for name in CALLS:
        watch(name)


@dataclass
class Recorder:
    """Follows one folder, and notes every state that a power cut may leave.

    root: the folder; store: where contents and notes go, elsewhere.
    """

    root: Path
    store: Path
    seed: int = 0
    _uids: dict[int, int] = field(default_factory=dict)  # inode -> a number never used again
    _live: dict[str, int] = field(default_factory=dict)  # path -> uid of a file; -1 is a folder
    _now: dict[int, str] = field(default_factory=dict)  # uid -> digest of what is in it
    _synced: dict[int, str] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)  # as `_live`, of folders as last synced
    _pending: list[dict[str, int | None]] = field(default_factory=list)  # since then, in order
    _seen: set[str] = field(default_factory=set)
    _promised: int = 0  # frames that must not be lost any more
    _old_target: int | None = None

    def start(self) -> None:
        """Begin, with all that is there on disk."""
        self.store.mkdir(exist_ok=True)
        self._look()
        self._names, self._synced = dict(self._live), dict(self._now)
        self._pending = []
        self._old_target = self._live.get("out.mkv")
        self._random = random.Random(self.seed)
        on_every_call(lambda name: self._step(f"before {name}"), self._after)

    def _after(self, name: str, argument: object) -> None:
        self._step(name, at_once=True)
        if name in ("fsync", "fdatasync") and isinstance(argument, int):
            self._sync(argument)
            self._step(f"after {name}")

    def _step(self, name: str, *, at_once: bool = False) -> None:
        self._look(at_once=at_once)
        for tree in self._states():
            text = json.dumps([tree, self._promised], sort_keys=True)
            if text not in self._seen:
                self._seen.add(text)
                with (self.store / "states.ndjson").open("a") as file:
                    file.write(json.dumps([name, self._promised, tree]) + "\n")

    def _look(self, *, at_once: bool = False) -> None:
        """See what has changed; `at_once`: by one call, all of it or nothing."""
        found: dict[str, int] = {}
        inodes: dict[int, int] = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            try:
                about = path.lstat()
                if stat.S_ISDIR(about.st_mode):
                    found[name] = -1
                    continue
                data = path.read_bytes()
            except OSError:  # gone, by another thread
                continue
            uid = self._uids.get(about.st_ino) or max([*self._now, 0]) + 1
            self._uids[about.st_ino] = inodes[about.st_ino] = found[name] = uid
            self._now[uid] = self._keep(data)
        self._uids = inodes
        names = sorted({*found, *self._live})
        changes = [{n: found.get(n)} for n in names if found.get(n) != self._live.get(n)]
        if at_once and changes:
            changes = [{name: uid for change in changes for name, uid in change.items()}]
        self._pending += changes
        self._live = found

    def _keep(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self.store / digest
        if not path.exists():
            path.write_bytes(data)
        return digest

    def _sync(self, descriptor: int) -> None:
        """Note what a finished fsync has promised."""
        about = os.fstat(descriptor)
        if not stat.S_ISDIR(about.st_mode):
            if (uid := self._uids.get(about.st_ino)) is not None:
                self._synced[uid] = self._now[uid]
            return
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        if not path.is_relative_to(self.root.resolve()):
            return
        folder = str(path.relative_to(self.root.resolve())).removeprefix(".")
        for change in self._pending:
            for name in [name for name in change if _parent(name) == folder]:
                _apply(self._names, {name: change.pop(name)})
        self._pending = [change for change in self._pending if change]
        manifest = self.root / folder / "manifest.json"
        if folder and manifest.is_file():
            done = json.loads(manifest.read_text())["checkpoint"]["num_frames"]
            self._promised = max(self._promised, done)
        elif not folder and self._live.get("out.mkv") not in (None, self._old_target):
            self._promised = DONE

    def _states(self) -> Iterator[Tree]:
        """Trees that a power cut may leave at this moment."""
        contents = (self._synced, self._now)
        for pending in ([], self._pending):
            for known in contents:
                yield self._tree(pending, known)
        for _ in range(2):
            some = [change for change in self._pending if self._random.random() < 0.5]
            yield self._tree(some, self._half_written())

    def _tree(self, pending: list[dict[str, int | None]], contents: dict[int, str]) -> Tree:
        names = dict(self._names)
        for change in pending:
            _apply(names, change)
        tree: Tree = {}
        for name, uid in names.items():
            if _parent(name) and names.get(_parent(name)) != -1:
                continue  # in a folder that is not there
            tree[name] = None if uid == -1 else contents.get(uid) or self._keep(b"")
        return tree

    def _half_written(self) -> dict[int, str]:
        """Contents of which what was not synced is there in part, or is zeros."""
        found = dict(self._synced)
        for uid, digest in self._now.items():
            if self._synced.get(uid) == digest:
                continue
            data = (self.store / digest).read_bytes()
            before = (self.store / self._synced[uid]).read_bytes() if uid in self._synced else b""
            kept = _same_start(data, before)  # what was synced, and is no other
            cut = self._random.randint(kept, len(data))
            tail = bytes(len(data) - cut) if self._random.random() < 0.5 else b""
            found[uid] = self._keep(data[:cut] + tail)
        return found


DONE = 10**9  # promised: the target itself


def _same_start(one: bytes, other: bytes) -> int:
    """The number of bytes that two begin with alike."""
    both = min(len(one), len(other))
    return next((index for index in range(both) if one[index] != other[index]), both)


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _apply(names: dict[str, int], change: dict[str, int | None]) -> None:
    for name, uid in change.items():
        if uid is None:
            names.pop(name, None)
        else:
            names[name] = uid
