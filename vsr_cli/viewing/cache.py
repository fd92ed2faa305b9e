"""Samples of earlier previews, kept so that the next one computes only what is new."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vsr_cli.atomic import replace_when_complete
from vsr_cli.errors import InputError, OutputError
from vsr_cli.pipeline.resume.folder import remove_job

MOST_BYTES = 2_000_000_000
_KEY = "[0-9a-f]" * 32  # a pattern of what `key_of` gives
OLDEST_JOB = 7 * 86400  # seconds after which what was interrupted is given up


def key_of(parts: Mapping[str, object]) -> str:
    """A name for what these describe."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Kept:
    """A file, and what is known of it beyond what it holds."""

    path: Path
    facts: dict[str, float]


class Cache:
    """A folder of samples; the oldest leave it when it becomes too large."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self._most_bytes = folder, most_bytes

    def path(self, key: str) -> Path:
        """Where the file of that key is written."""
        return self.folder / f"{key}.mkv"

    def find(self, key: str) -> Kept | None:
        """A file that is complete, with its facts; it counts as new from now on."""
        path = self.path(key)
        try:
            facts = json.loads(self._facts(key).read_text(encoding="utf-8"))
            os.utime(path)
        except (OSError, ValueError, RecursionError):
            return None
        is_whole = isinstance(facts, dict) and facts.get("bytes") == path.stat().st_size
        return Kept(path, facts) if is_whole else None

    def keep(self, key: str, facts: Mapping[str, float]) -> Kept:
        """Note what is known of a file that has been written.

        Raises:
            OutputError: the disk is full.
        """
        path = self.path(key)
        noted = {**facts, "bytes": path.stat().st_size}
        try:
            with replace_when_complete(self._facts(key)) as part:
                part.write_text(json.dumps(noted), encoding="utf-8")
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return Kept(path, noted)

    def prune(self) -> None:
        """Remove the oldest until the rest is small enough, and what nobody goes on with."""
        with suppress(OSError):
            # What is named otherwise, or has no note of ours beside it, is somebody else's.
            ours = [p for p in self.folder.glob(f"{_KEY}.mkv") if self._facts(p.stem).is_file()]
            files = sorted(ours, key=lambda path: path.stat().st_mtime, reverse=True)
            total = 0
            for path in files:
                total += path.stat().st_size
                if total > self._most_bytes:
                    path.unlink(missing_ok=True)
                    self._facts(path.stem).unlink(missing_ok=True)
            for folder in self.folder.glob(f"{_KEY}.mkv.vsr-job"):
                if time.time() - folder.stat().st_mtime > OLDEST_JOB:
                    with suppress(InputError, OutputError):
                        remove_job(folder)

    def _facts(self, key: str) -> Path:
        return self.folder / f"{key}.json"


@contextmanager
def open_cache(folder: Path | None) -> Iterator[Cache]:
    """Open a cache.

    Args:
        folder: made if need be; None: one that is gone afterwards.

    Raises:
        OutputError: it cannot be made.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="vsr-") as temp:
            yield Cache(Path(temp))
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    cache = Cache(folder)
    cache.prune()
    yield cache
    cache.prune()


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"samples cannot be kept in `{folder}`",
        why=error.strerror,
        hint="set `VSR_CACHE_DIR` to a folder of yours, or use `--no-cache`",
    )
