"""The videos of a batch, one after the other: each is made or left, and its outcome noted."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import get_args

import typer

from vsr_cli.api import Upscaler
from vsr_cli.cancellation import Stopped
from vsr_cli.cli.amounts import duration
from vsr_cli.cli.console import print_line
from vsr_cli.cli.damage import DamageWatch
from vsr_cli.cli.event_kinds import Status
from vsr_cli.cli.failures import FailureReport
from vsr_cli.cli.json_events import events_with, progress_values, report_as_json, write_event
from vsr_cli.cli.overall import MOST_PROBED, Overall, measure_work
from vsr_cli.cli.plan_text import time_needed
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.cli.sources import Source, make_folder, name_target, stand_in
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError, JobBusyError, VsrError
from vsr_cli.events import Event, Plan, Progress, ignore
from vsr_cli.exit_codes import ExitCode


@dataclass(kw_only=True)
class Outcome:
    """What became of one video."""

    source: Path
    target: Path | None = None
    status: Status = "failed"
    exit: ExitCode = ExitCode.DONE
    frames: int = 0
    seconds: float = 0.0
    why: str | None = None  # it was skipped or failed


@dataclass(kw_only=True)
class Batch:
    """A batch at work.

    upscaler: makes them.
    out, template: where results go, and how they are called.
    errors: explains what goes wrong.
    num_files: how many there will be; None: that is not known.
    outcomes: of those that have had their turn.
    """

    upscaler: Upscaler
    out: Path
    template: str
    errors: FailureReport
    as_json: bool
    quiet: bool
    num_files: int | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._taken: dict[Path, Path] = {}  # sources by target: two must not write to one
        self._overall = Overall({})
        self._last: Progress | None = None
        self._is_dry, self._has_trial = False, False
        self._following: Sequence[Source] = ()
        self._begun: Path | None = None  # the next source, which is being made already

    def foresee(self, sources: Sequence[Source]) -> None:
        """Look into what is to be made, so that the time of all of it can be told."""
        near, far = sources[:MOST_PROBED], sources[MOST_PROBED:]
        waiting = [source.path for source in near if not self._is_made(source)]
        work = measure_work(waiting, self.upscaler.config.input)
        self._overall = Overall({**work, **dict.fromkeys((source.path for source in far), None)})

    def target_of(self, source: Source) -> Path:
        """Where the result of a source goes.

        Raises:
            InputError: its name asks for a size, and it cannot be read.
            ConfigError: another source has the same target.
        """
        name = name_target(self.template, source.path, self.upscaler.config)
        target = self.out / source.below / name
        if (other := self._taken.setdefault(target, source.path)) != source.path:
            raise ConfigError(
                f"`{source.path}` and `{other}` would both become `{target}`",
                hint="tell them apart with `--name`, for example by `{name}`",
            )
        return target

    def make(self, source: Source, following: Sequence[Source] = ()) -> Outcome:
        """Upscale one video unless it is made, and say what became of it.

        Args:
            source: the video.
            following: those after it, of which workers without work may begin the next.
        """
        self._following = following
        return self._treat(source, self._upscale)

    def look(self, source: Source) -> Outcome:
        """Say what would be done with one video."""
        self._is_dry = True
        return self._treat(source, self._plan)

    def sum_up(self) -> None:
        """Say what became of all, and leave with the exit code that tells it.

        Raises:
            typer.Exit: some failed or are damaged.
        """
        found = [outcome.status for outcome in self.outcomes]
        counts = {status: found.count(status) for status in get_args(Status)}
        if not self.quiet and self.outcomes and not self._is_dry:
            self._print_table()
        said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        if not self.quiet and self.outcomes:
            print_line(f"{counted(len(self.outcomes), 'video')}: {said}")
        if self.as_json:
            write_event("summary", counts)
        if counts["failed"]:
            raise typer.Exit(ExitCode.SOME_FAILED)
        if counts["damaged"]:
            raise typer.Exit(ExitCode.SOURCE_DAMAGED)

    def _treat(self, source: Source, treat: Callable[[Source, Outcome], None]) -> Outcome:
        """Have a video made or looked at; what is wrong with it is noted."""
        outcome = Outcome(source=source.path)
        keys: dict[str, object] = {"source": str(source.path), "file_index": len(self.outcomes) + 1}
        with events_with(**keys, file_count=self.num_files):
            try:
                treat(source, outcome)
            except Stopped:
                raise
            except Exception as error:  # the next one may do better, even after a bug
                if self.errors.is_stopped:
                    raise
                outcome.exit, outcome.why = self.errors.explain(error), str(error)
            self.outcomes.append(outcome)
            if self.as_json:
                write_event("file", asdict(outcome))
        return outcome

    def _is_made(self, source: Source) -> bool:
        """Whether the target is there; where that cannot be told, it is not."""
        try:
            name = name_target(self.template, source.path, self.upscaler.config)
        except VsrError:
            return False
        return self.upscaler.is_made(self.out / source.below / name)

    def _begin(self, source: Source, outcome: Outcome) -> Path | None:
        """Name the target; None where it is there, and stays."""
        self._overall.begin(source.path)
        target = outcome.target = self.target_of(source)
        if source.path == self._begun or not self._stays(target):
            return target
        outcome.status, outcome.why = "skipped", f"`{target}` exists"
        return None

    def _stays(self, target: Path) -> bool:
        return self.upscaler.is_made(target) and not self.upscaler.config.output.overwrite

    def _next(self) -> tuple[Path, Path] | None:
        """Source and target of the next video that is to be made; None: there is none."""
        for source in self._following:
            with suppress(VsrError):  # which is told when its turn comes
                target = self.target_of(source)
                if not self._stays(target):
                    make_folder(target.parent)
                    self._begun = source.path
                    return source.path, target
        return None

    def _upscale(self, source: Source, outcome: Outcome) -> None:
        """Upscale one video and note what became of it.

        Raises:
            VsrError: whatever is wrong with this one.
        """
        target = self._begin(source, outcome)
        if target is None:
            if outcome.target is not None:
                self.upscaler.forget_finished(outcome.target)
            return
        _prepare_memory()
        make_folder(target.parent)
        if not self.quiet:
            print_line(f"{self._position()}: `{source.path}`")
        damage = DamageWatch()
        try:
            with progress_bar(quiet=self.quiet, more=self._overall.words) as render:
                report = tee(render, self._report_json) if self.as_json else render
                report = tee(tee(report, damage), self._remember)
                done = self.upscaler.upscale(
                    source.path, target, report=report, following=self._next
                )
        except JobBusyError:
            outcome.status, outcome.why = "busy", "another run is at it"
            return
        report(done)
        self._overall.end(done.frames_out, self._last)
        outcome.status, outcome.frames, outcome.seconds = "done", done.frames_out, done.seconds
        if damage.has_damage:
            outcome.status, outcome.exit = "damaged", ExitCode.SOURCE_DAMAGED

    def _plan(self, source: Source, outcome: Outcome) -> None:
        """Say in a line what would be done with one video, and why.

        Raises:
            VsrError: what is wrong is no matter of this video.
        """
        try:
            target = self._begin(source, outcome)
            if target is None:
                self._say_planned(source, f"skip, as {outcome.why}")
                return
            report = report_as_json if self.as_json else ignore
            plan = self.upscaler.plan(source.path, stand_in(target), report=report)
            plan = replace(plan, target=str(target))
        except VsrError as error:
            outcome.exit, outcome.why = error.exit_code, str(error)
            self._say_planned(source, f"fail: {error}", is_always=True)
            return
        outcome.status = "planned"
        outcome.frames, outcome.seconds = plan.num_frames or 0, plan.seconds or 0.0
        self._has_trial |= plan.is_trial
        self._say_planned(source, plan_words(plan))
        if self.as_json:
            write_event("plan", {**asdict(plan), "dry_run": True})

    def sum_up_plans(self) -> None:
        """Say how long all that is planned would take."""
        planned = [outcome for outcome in self.outcomes if outcome.status == "planned"]
        known = [outcome.seconds for outcome in planned if outcome.seconds]
        if self.quiet:
            return
        if known:
            rest = len(planned) - len(known)
            time = f"about {duration(sum(known))} in all, as jobs like these here took"
            if self._has_trial:
                time = f"roughly {duration(sum(known))} in all, as short trials took"
            print_line(time + (f"; {rest} of {len(planned)} are not known" if rest else ""))
        elif planned:
            print_line("no job like these has run here, so how long they take is not known")
        print_line("nothing is written: this is a dry run")

    def _say_planned(self, source: Source, words: str, *, is_always: bool = False) -> None:
        if is_always or not self.quiet:
            print_line(f"{self._position()}: `{source.path}`: {words}")

    def _position(self) -> str:
        number = len(self.outcomes) + 1
        return f"file {number}" + ("" if self.num_files is None else f" of {self.num_files}")

    def _report_json(self, event: Event) -> None:
        if isinstance(event, Progress):
            left = self._overall.seconds_left(event)
            write_event("progress", {**progress_values(event), "batch_eta_s": left})
        else:
            report_as_json(event)

    def _remember(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._last = event

    def _print_table(self) -> None:
        print_line(f"{'status':8} {'code':>4} {'frames':>7} {'time':>8}  file")
        for o in self.outcomes:
            arrow = f" -> {o.target}" if o.target else ""
            time = duration(o.seconds) if o.frames else "-"
            print_line(f"{o.status:8} {o.exit:4} {o.frames or '-':>7} {time:>8}  {o.source}{arrow}")


def _prepare_memory() -> None:
    from vsr_cli.pipeline.memory import reuse_memory  # loads torch, as what follows

    reuse_memory()


def plan_words(plan: Plan) -> str:
    """A plan in one line."""
    (source_height, source_width), (height, width) = plan.source_size, plan.target_size
    frames = "" if plan.num_frames is None else f", {counted(plan.num_frames, 'frame')}"
    time = f", {needed}" if (needed := time_needed(plan)) else ""
    return f"{source_width}x{source_height} -> `{plan.target}` {width}x{height}{frames}{time}"
