"""Films of a batch in one queue: when workers find nothing left of one, they begin the next.

Each film has a thread of its own on this machine, which plans, scans and joins it, and its own
workers and folder; what they share are the places where workers compute, and whoever comes first
has them first. One film is looked ahead to, no more, which bounds what lies on the disk.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from vsr_cli.cancellation import Stopped, StopRequest, abandon_when, end_if_abandoned
from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import OutputError
from vsr_cli.events import Done, Event, Progress, Report
from vsr_cli.media.reading.reader import VideoSource
from vsr_cli.media.writing.output_plan import OutputPlan
from vsr_cli.pipeline.memory import counted_once
from vsr_cli.pipeline.resume.job import Job
from vsr_cli.pipeline.resume.manifest import Manifest
from vsr_cli.pipeline.run import Run
from vsr_cli.pipeline.run_plan import RunPlan
from vsr_cli.pipeline.upscale import Upscaler

if TYPE_CHECKING:
    from typing import Self

_PATIENCE = 0.1  # seconds between two looks at whether to stop

# Tells source and target of the next film; None: there is none.
Following = Callable[[], tuple[Path, Path] | None]


class Film:
    """A video that is made in a thread of its own; what it reports waits until it is taken."""

    def __init__(self, source: Path, target: Path) -> None:
        """Nothing is done yet."""
        self.source, self.target = source, target
        self.stop = StopRequest()
        self.has_workers = threading.Event()
        self._turn, self._abandoned = threading.Event(), threading.Event()
        self._news, self._events = threading.Condition(), list[Event]()
        self._done: Done | None = None
        self._error: BaseException | None = None

    def begin(self, upscaler: Upscaler) -> None:
        """Start to make it."""
        self._thread = threading.Thread(
            target=self._make, args=(upscaler,), name="vsr-film", daemon=True
        )
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether it is made, or has failed."""
        return not self._thread.is_alive()

    @property
    def has_turn(self) -> bool:
        """Whether all films before it are made, or have failed."""
        return self._turn.is_set()

    def give_turn(self) -> None:
        """Say that no film before it is at work any more."""
        self._turn.set()

    def wait_for_turn(self) -> None:
        """Wait until no film before it is at work; called in its thread.

        Raises:
            Stopped: as was asked for.
        """
        while not self._turn.wait(_PATIENCE):
            end_if_abandoned()

    def take_events(self) -> list[Event]:
        """What it has reported since the last time; waits a moment for the first."""
        with self._news:
            if not self._events:
                self._news.wait(_PATIENCE)
            found, self._events = self._events, []
        return found

    def end_soon(self) -> None:
        """Have it end at its next safe point, or where it is if it computes nothing."""
        try:
            self.stop.request()
        except Stopped:
            self._abandoned.set()

    def end(self) -> None:
        """Have it end, and wait for that."""
        while not self.is_over:
            self.end_soon()
            self._thread.join(_PATIENCE)

    def result(self) -> Done:
        """What has become of it; waits until it is over.

        Raises:
            VsrError: whatever has ended it.
            Stopped: as was asked for.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._done is not None
        return self._done

    def _make(self, upscaler: Upscaler) -> None:
        abandon_when(self._abandoned)
        try:
            self._done = upscaler.upscale(self.source, self.target, report=self._hold)
        except BaseException as error:  # raised again by `result`
            self._error = error

    def _hold(self, event: Event) -> None:
        """Keep an event; of progress in a row the last is enough."""
        end_if_abandoned()
        with self._news:
            if self._events and _replaces(event, self._events[-1]):
                self._events.pop()
            self._events.append(event)
            self._news.notify()


def _replaces(event: Event, last: Event) -> bool:
    """Whether an event makes the one before it needless."""
    if isinstance(event, Progress) and isinstance(last, Progress):
        return event.stage == last.stage
    return False


class FilmQueue:
    """Makes films one after the other, and looks ahead to the next where workers share one."""

    def __init__(self, make: "Callable[[Film, Report], InTurn]", stop: StopRequest) -> None:
        """Nothing is made yet.

        Args:
            make: gives what makes a film; also takes who hears of it.
            stop: ends all of them at their next safe points.
        """
        self._make, self._stop = make, stop
        self._films: dict[tuple[Path, Path], Film] = {}

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for film in self._films.values():
            film.end_soon()
        for film in self._films.values():
            film.end()

    def upscale(self, source: Path, target: Path, *, report: Report, following: Following) -> Done:
        """Upscale one video; see `Upscaler.upscale`.

        Args:
            source: a video.
            target: of it.
            report: receives its events, in the thread of the caller, those of one that was looked
                ahead to as well.
            following: asked once, when workers share this one, for that of the next call.

        Raises:
            VsrError: as there.
            Stopped: as was asked for.
        """
        film = self._films.get((source, target)) or self._begin(source, target, report)
        film.give_turn()
        try:
            with self._stop.deferred():
                self._follow(film, report, following)
        finally:
            film.end()
            del self._films[source, target]
        return film.result()

    def _follow(self, film: Film, report: Report, following: Following) -> None:
        """Pass on events of a film until it is over, and begin the next meanwhile."""
        is_last = len(self._films) > 1
        while True:
            is_over = film.is_over
            for event in film.take_events():
                report(event)
            if is_over:
                return
            if self._stop.is_requested:
                for other in self._films.values():
                    other.end_soon()
            elif film.has_workers.is_set() and not is_last:
                is_last = True
                if (found := following()) is not None:
                    self._begin(*found, report)

    def _begin(self, source: Path, target: Path, report: Report) -> Film:
        """Start to make a film.

        Raises:
            Stopped: as was asked for.
        """
        if self._stop.is_requested:
            raise Stopped
        film = self._films[source, target] = Film(source, target)
        film.begin(self._make(film, report))
        return film


class InTurn(Upscaler):
    """Makes one film, with the one before it perhaps still at work.

    film_made: which.
    """

    film_made: Film

    def _try_speed(self, run: Run) -> Run:
        """The same while workers compute: a trial beside them would measure them, too."""
        return super()._try_speed(run) if self.film_made.has_turn else run

    def _require_disk(self, job: Job, run: Run) -> None:
        """What lacks room beside the film before it may have enough when that is joined."""
        try:
            super()._require_disk(job, run)
        except OutputError:
            if self.film_made.has_turn:
                raise
            self.film_made.wait_for_turn()
            assert run.disk is not None
            run.disk.as_of_now(job.folder).require(job.folder)

    def _shared(self, job: Job, run: Run, manifest: Manifest, *, is_new: bool) -> Manifest:
        manifest = super()._shared(job, run, manifest, is_new=is_new)
        if manifest.units is None:  # this process computes it
            self.film_made.wait_for_turn()
        return manifest

    def _compute_units(self, job: Job, run: Run, manifest: Manifest) -> list[Path]:
        self.film_made.has_workers.set()
        return super()._compute_units(job, run, manifest)

    def _upscale_once(
        self, video: VideoSource, source: Path, output: OutputPlan, report: Report
    ) -> tuple[int, tuple[str, ...]]:
        self.film_made.wait_for_turn()
        return super()._upscale_once(video, source, output, report)


class FilmUpscaler(InTurn):
    """Makes one film with workers of this machine."""

    def __init__(self, all_films: Upscaler, film: Film, free: dict[str, int]) -> None:
        """Take what all films share.

        Args:
            all_films: its model and choices are those of all films.
            film: which.
            free: memory that was free when the first was planned, by device; filled then.
        """
        super().__init__(all_films.config, stop=film.stop)
        self.model, self.slots = all_films.model, all_films.slots
        self.film_made, self._free = film, free

    def _fit(self, config: UpscaleConfig, output: OutputPlan, reserved: int) -> RunPlan:
        """As much as if no worker of the film before it held any memory: that is given back."""
        with counted_once(self._free):
            return super()._fit(config, output, reserved)


def films_here(upscaler: Upscaler) -> "Callable[[Film, Report], InTurn]":
    """What makes films with workers of this machine, for `FilmQueue`."""
    free: dict[str, int] = {}
    return lambda film, _: FilmUpscaler(upscaler, film, free)
