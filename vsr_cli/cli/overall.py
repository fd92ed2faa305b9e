"""How long a whole batch takes, at the pace so far."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from vsr_cli.cli.amounts import duration, frames_per_second, seconds_left
from vsr_cli.config import InputConfig
from vsr_cli.errors import VsrError
from vsr_cli.events import Progress

MOST_PROBED = 500  # sources that are looked into beforehand; of others the mean is taken


def measure_work(sources: Iterable[Path], config: InputConfig) -> dict[Path, float | None]:
    """How much there is to do of each source, in pixels of all its frames; None: not known."""
    from vsr_cli.media.reading.reader import probe

    work: dict[Path, float | None] = {}
    for source in sources:
        work[source] = None
        with suppress(VsrError):  # which is told when its turn comes
            info = probe(source, config)
            if info.num_frames is not None:
                work[source] = float(info.num_frames * info.height * info.width)
    return work


class Overall:
    """Counts what is done of a batch, to tell how long the rest takes."""

    def __init__(self, work: Mapping[Path, float | None]) -> None:
        """Take what is to be done, of each source by its path."""
        self._waiting = dict(work)
        known = [amount for amount in work.values() if amount is not None]
        self._mean = sum(known) / len(known) if known else None
        self._current: float | None = None
        self._done = self._seconds = 0.0

    def begin(self, source: Path) -> None:
        """Work on a source begins, or is found to be done."""
        amount = self._waiting.pop(source, None)
        self._current = self._mean if amount is None else amount

    def end(self, num_frames: int, last: Progress | None) -> None:
        """Work on a source is done, of which `last` was the last progress."""
        if last is not None and self._current is not None and num_frames:
            share = (num_frames - last.first) / num_frames
            self._done += self._current * max(share, 0.0)
            self._seconds += last.seconds

    def seconds_left(self, now: Progress) -> float | None:
        """Seconds to the end of the batch; None where that cannot be told yet."""
        own, fps = seconds_left(now), frames_per_second(now)
        if own is None or not fps or not now.num_frames:
            return None
        if not self._waiting:
            return own
        if self._current is None or self._mean is None:
            return None
        share = (now.frame + now.ahead - now.first) / now.num_frames
        done, seconds = self._done + self._current * share, self._seconds + now.seconds
        mean = self._mean
        rest = sum(mean if amount is None else amount for amount in self._waiting.values())
        return round(own + rest * seconds / done, 1) if done > 0 else None

    def words(self, now: Progress) -> str:
        """The same for people; empty where it says no more than the time of the file."""
        seconds = self.seconds_left(now) if self._waiting else None
        return "" if seconds is None else f"{duration(seconds)} for all files"
