"""`vsr batch --watch`: takes videos as they come into folders, once they are whole.

It looks again and again, which works on every file system. Two watchers share a folder as two
batches do: a target that exists is done, and a job that another run holds is left to it.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vsr_cli.atomic import replace_when_complete
from vsr_cli.cli.batch_run import Batch, Outcome
from vsr_cli.cli.console import print_line
from vsr_cli.cli.json_events import write_event
from vsr_cli.cli.sources import Source, find_in_folders
from vsr_cli.errors import ConfigError, VsrError

NOTES = ".vsr-watch.json"  # in the folder of results: what has failed
NOTES_VERSION = 1
UNCHANGED = 2  # looks in a row after which a file counts as written
PATIENCE = 12  # such looks after which a file that is not whole is taken all the same
_UNFINISHED = (".part", ".tmp", ".crdownload", "~")  # ends of names that programs give to files


@dataclass(frozen=True)
class Signature:
    """What changes while a file is written."""

    size: int  # bytes
    time: int  # of its last change, in nanoseconds

    @classmethod
    def of(cls, path: Path) -> "Signature | None":
        """That of a file as it is now; None: it is gone, or cannot be looked at."""
        with suppress(OSError):
            found = path.stat()
            return cls(found.st_size, found.st_mtime_ns)
        return None


@dataclass
class Look:
    """What is known of a file."""

    signature: Signature
    num_unchanged: int = 0  # looks in a row
    is_settled: bool = False  # done, or failed: only a change brings it back
    why: str | None = None  # it waits, as it was said


class Watch:
    """Folders that are looked into again and again."""

    def __init__(
        self, batch: Batch, folders: Sequence[Path], *, recursive: bool, retry: bool
    ) -> None:
        """Begin to watch.

        Args:
            batch: makes the videos.
            folders: where they come.
            recursive: whether folders within folders count.
            retry: whether what has failed in an earlier run is tried again.

        Raises:
            ConfigError: results would come into a folder that is watched.
        """
        self._batch, self._folders, self._recursive = batch, folders, recursive
        self._looks: dict[Path, Look] = {}
        self._notes = FailureNotes(batch.out / NOTES)
        self._failed = {} if retry else self._notes.read()
        for folder in folders:
            if batch.out.resolve() in (folder.resolve(), *folder.resolve().parents):
                raise ConfigError(
                    f"`{folder}` is watched, and results would come into it",
                    why="each of them would be upscaled in its turn",
                    hint="give `--out` a folder beside it",
                )

    def run(
        self,
        every: float,
        idle: float | None,
        *,
        is_fail_fast: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch until a signal comes, or there has been nothing to do for some time.

        Args:
            every: seconds between two looks.
            idle: seconds without work after which it ends; None: never.
            is_fail_fast: whether the first failure ends it.
            sleep: waits for seconds.
            clock: of seconds.
        """
        if not self._batch.quiet:
            names = ", ".join(f"`{folder}`" for folder in self._folders)
            print_line(f"watching {names}; Ctrl-C ends it")
        last = clock()
        while True:
            for source in self.poll():
                outcome = self._make(source)
                last = clock()
                if is_fail_fast and outcome.status == "failed":
                    return
            if any(not look.is_settled for look in self._looks.values()):
                last = clock()
            if idle is not None and clock() - last >= idle:
                return
            sleep(every)

    def poll(self) -> list[Source]:
        """Look once, and return the videos that are whole, unchanged and not made yet."""
        found = {
            source.path: source
            for source in find_in_folders(self._folders, self._batch.out, recursive=self._recursive)
            if not is_unfinished(source)
        }
        self._looks = {path: look for path, look in self._looks.items() if path in found}
        return [source for source in found.values() if self._is_ready(source)]

    def _is_ready(self, source: Source) -> bool:
        signature = Signature.of(source.path)
        if signature is None:
            return False
        look = self._looks.get(source.path)
        if look is None or look.signature != signature:
            self._looks[source.path] = look = Look(signature)
            look.is_settled = self._failed.get(_key(source.path)) == signature
            return False
        if look.is_settled:
            return False
        look.num_unchanged += 1
        if look.num_unchanged < UNCHANGED:
            return False
        return self._is_to_be_made(source, look)

    def _is_to_be_made(self, source: Source, look: Look) -> bool:
        """Whether a file that is no longer written is whole, and has no target yet."""
        with suppress(VsrError):  # it does not open, which is told below
            if self._batch.upscaler.is_made(self._batch.target_of(source)):
                look.is_settled = True
                return False
        if look.why is None:  # what does not change need not be read again
            look.why = _why_incomplete(source.path)
            if look.why is not None:
                self._say_waiting(source, look.why)
        if look.why is not None and look.num_unchanged < PATIENCE:
            return False
        if self._batch.as_json:
            write_event("found", {"source": source.path, "bytes": look.signature.size})
        return True

    def _say_waiting(self, source: Source, why: str) -> None:
        if self._batch.as_json:
            write_event("waiting", {"source": source.path, "why": why})
        if not self._batch.quiet:
            print_line(f"waiting for `{source.path}`: {why}")

    def _make(self, source: Source) -> Outcome:
        outcome = self._batch.make(source)
        look = self._looks[source.path]
        if outcome.status == "busy":  # unless the other run fails, its target will be there
            look.num_unchanged = -PATIENCE
            self._batch.outcomes.remove(outcome)
            return outcome
        look.is_settled = True
        if outcome.status == "failed":
            self._notes.add(source.path, look.signature, int(outcome.exit))
        elif self._failed.pop(_key(source.path), None):
            self._notes.remove(source.path)
        return outcome


class FailureNotes:
    """The file that remembers which videos have failed, with what tells them from better ones."""

    def __init__(self, path: Path) -> None:
        """Take its path; it need not exist."""
        self._path = path

    def read(self) -> dict[str, Signature]:
        """What has failed, by path; nothing where the file is missing, damaged or a stranger's."""
        found = {}
        for path, values in self._read().items():
            if isinstance(values, dict):
                size, changed = values.get("size"), values.get("mtime_ns")
                if isinstance(size, int) and isinstance(changed, int):
                    found[path] = Signature(size, changed)
        return found

    def add(self, path: Path, signature: Signature, code: int) -> None:
        """Note that a video has failed; where that cannot be written, it will be tried again."""
        note = {"size": signature.size, "mtime_ns": signature.time, "exit": code}
        self._write({**self._read(), _key(path): note})

    def remove(self, path: Path) -> None:
        """Forget what has failed once."""
        notes = self._read()
        self._write({key: note for key, note in notes.items() if key != _key(path)})

    def _read(self) -> Mapping[str, object]:
        with suppress(OSError, ValueError):
            values = json.loads(self._path.read_text(encoding="utf-8"))
            if isinstance(values, dict) and isinstance(values.get("failed"), dict):
                return dict(values["failed"])
        return {}

    def _write(self, failed: Mapping[str, object]) -> None:
        values = {"v": NOTES_VERSION, "failed": failed}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replace_when_complete(self._path) as part:
                part.write_text(json.dumps(values, indent=1), encoding="utf-8")


def _why_incomplete(path: Path) -> str | None:
    from vsr_cli.media.reading.whole import why_incomplete  # loads libraries of video

    return why_incomplete(path)


def is_unfinished(source: Source) -> bool:
    """Whether a file is hidden, or has a name that programs give to what they still write."""
    path = source.path
    is_hidden = any(part.startswith(".") for part in (*source.below.parts, path.name))
    return is_hidden or path.name.startswith("~") or path.stem.lower().endswith(_UNFINISHED)


def _key(path: Path) -> str:
    return os.fspath(path.absolute()).encode(errors="backslashreplace").decode()
