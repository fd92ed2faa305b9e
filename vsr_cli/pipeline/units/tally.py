"""How far a job in units is, told as one number of frames."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from vsr_cli.events import Crew, Event, Progress, Report, UnitState
from vsr_cli.pipeline.progress import ProgressReporter


class Tally:
    """Adds up what is done of all units."""

    def __init__(
        self,
        task: str,
        num_frames: int,
        done: Mapping[int, int],
        report: Report,
        crew: Callable[[], Crew | None] = lambda: None,
    ) -> None:
        """Begin to count, and say so.

        Args:
            task: what is done, in a word.
            num_frames: of all units that are counted.
            done: frames of each that an earlier run has done.
            report: receives `Progress`.
            crew: tells who is at work.
        """
        self._done, self._ahead = dict(done), dict.fromkeys(done, 0.0)
        self._report, self._unit = report, 0
        self._begun = time.monotonic()

        def with_crew(event: Event) -> None:
            report(replace(event, crew=crew()) if isinstance(event, Progress) else event)

        self._progress = ProgressReporter(task, num_frames, with_crew, first=self.num_done)

    @property
    def num_done(self) -> int:
        """Frames of all units."""
        return sum(self._done.values())

    @property
    def seconds(self) -> float:
        """Since it has begun to count."""
        return time.monotonic() - self._begun

    def begin_unit(self) -> None:
        """Say that somebody is at work: until the first one is, processes start and load."""
        self._progress.start_clock()

    def follow(self, event: Event) -> None:
        """A `Report` for one process that takes unit after unit."""
        if isinstance(event, UnitState):
            self._unit = event.index
            if event.state == "begun":
                self.begin_unit()
            if event.state == "done":
                self.count(event.index, event.stop - event.start)
        if isinstance(event, Progress):
            self.count(self._unit, event.frame, event.ahead)
        else:
            self._report(event)

    def count(self, unit: int, num_frames: int, ahead: float = 0.0) -> None:
        """Say that so many frames of a unit are done, and about so many of those after them."""
        is_more = num_frames != self._done.get(unit)
        self._done[unit], self._ahead[unit] = num_frames, ahead
        self._progress.work(sum(self._ahead.values()))
        if is_more:
            self._progress.count(self.num_done)
