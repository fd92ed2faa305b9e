"""Events for people: a progress bar on a terminal, else plain lines, on standard error."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vsr_cli.cli.console import print_line
from vsr_cli.events import DegradationDrawn, Done, Event, Note, Plan, Progress, Report

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_LINES = 10.0  # where no bar can be drawn
_KINDS = {"audio": "sound", "subtitle": "subtitles", "attachment": "attached files"}


@contextmanager
def progress_bar(*, quiet: bool = False, verbose: bool = False) -> Iterator[Report]:
    """Make a `Report` that prints events on stderr, with a bar on a terminal, else now and then.

    Args:
        quiet: only notes are shown.
        verbose: a plan is shown with everything that was chosen, and why.
    """
    if quiet:
        yield _print_note
    elif sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with ProgressBar() as draw:
            yield _render(draw, verbose=verbose)
    else:
        yield _render(ProgressLines(), verbose=verbose)


def tee(first: Report, second: Report) -> Report:
    """Make a `Report` that passes each event on to two others."""

    def report(event: Event) -> None:
        first(event)
        second(event)

    return report


class ProgressBar:
    """One line at the bottom of the terminal; lines written to stderr meanwhile appear above it."""

    def __init__(self, console: "Console | None" = None) -> None:
        from rich import progress  # half of rich, which most commands do without
        from rich.console import Console
        from rich.table import Column

        def text(template: str) -> progress.TextColumn:
            return progress.TextColumn(
                template, markup=False, table_column=Column(no_wrap=True, overflow="crop")
            )

        self.progress = progress.Progress(
            text("{task.description}"),
            progress.BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
            text("{task.fields[text]}"),
            console=console or Console(stderr=True, highlight=False, markup=False, emoji=False),
            expand=True,
            transient=True,  # the summary takes its place
            redirect_stdout=False,  # stdout is for programs
        )
        self.task = self.progress.add_task("loading", total=None, text="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def __call__(self, event: Progress) -> None:
        parts = (percent(event), count(event), elapsed(event), time_left(event), rate(event))
        self.progress.update(
            self.task,
            description=phase(event),
            completed=event.frame + event.ahead,
            total=event.num_frames,
            text="  ".join(part for part in parts if part),
        )


class ProgressLines:
    """One plain line per ten seconds, with the time of day, for logs and pipes."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], str] = lambda: time.strftime("%H:%M:%S"),
    ) -> None:
        self.clock, self.time_of_day = clock, time_of_day
        self.last = clock()

    def __call__(self, event: Progress) -> None:
        if self.clock() - self.last < SECONDS_BETWEEN_LINES:
            return
        self.last = self.clock()
        done = f"{count(event)} {event.unit}"
        if share := percent(event):
            done += f" ({share})"
        parts = [f"{self.time_of_day()} {phase(event)}: {done}", time_left(event), rate(event)]
        print_line(", ".join(part for part in parts if part))


def phase(event: Progress) -> str:
    """What is being done, in a word; when every frame is written, the file is put together."""
    is_last = event.num_frames is not None and event.num_frames <= event.frame > 0
    return "finishing" if is_last and event.unit == "frames" else event.stage


def percent(event: Progress) -> str:
    """How much is done, the frames that an earlier run has written among them."""
    if not event.num_frames:
        return ""
    return f"{min(int(100 * (event.frame + event.ahead) / event.num_frames), 100)} %"


def elapsed(event: Progress) -> str:
    """The time since this run began."""
    return duration(event.seconds)


def count(event: Progress) -> str:
    """Frames done, and of how many."""
    return f"{event.frame}/{event.num_frames}" if event.num_frames else f"{event.frame}"


def frames_per_second(event: Progress) -> float | None:
    """The pace of this run; None before anything is done."""
    num_frames = event.frame + event.ahead - event.first
    return num_frames / event.seconds if num_frames > 0 and event.seconds > 0 else None


def rate(event: Progress) -> str:
    """Frames per second, or seconds per frame where that is the larger number."""
    fps = frames_per_second(event)
    if not fps:
        return ""
    one = event.unit.removesuffix("s")
    return f"{fps:.1f} {event.unit}/s" if fps >= 1 else f"{1 / fps:.1f} s/{one}"


def seconds_left(event: Progress) -> float | None:
    """Seconds to the end at the pace so far; None before the first frame or without a count."""
    fps = frames_per_second(event)
    if not event.num_frames or not fps:
        return None
    return round(max(event.num_frames - event.frame - event.ahead, 0) / fps, 1)


def time_left(event: Progress) -> str:
    """The time to the end at the pace so far, for people; empty where it is not known."""
    seconds = seconds_left(event)
    return "" if seconds is None else f"{duration(seconds)} left"


def duration(seconds: float) -> str:
    """A time as people write it: `8 s`, `3:05`, `1:03:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def _render(draw: Callable[[Progress], None], *, verbose: bool) -> Report:
    """Make a `Report` that prints every event in words, but progress with `draw`."""

    def report(event: Event) -> None:
        match event:
            case Plan():
                for line in plan_lines(event) if verbose else plan_summary(event):
                    print_line(line)
            case Progress():
                draw(event)
            case Note():
                _print_note(event)
            case DegradationDrawn(seed=seed, steps=(first, *others)):
                for line in (f"seed {seed}, {first}", *others):
                    print_line(line)
            case Done():
                print_line(done_line(event))

    return report


def _print_note(event: Event) -> None:
    if isinstance(event, Note):
        print_line(f"note: {event.text} ({event.code})")


def done_line(done: Done) -> str:
    """What was written, for people."""
    parts = [f"{done.frames_out} frames", f"{done.width}x{done.height}"]
    if done.num_bytes is not None:
        parts.append(file_size(done.num_bytes))
    kept = [name for kind, name in _KINDS.items() if kind in done.streams]
    if kept:
        parts.append(f"{' and '.join(kept)} kept")
    return f"wrote `{done.target}`: {', '.join(parts)}, in {duration(done.seconds)}"


def file_size(num_bytes: int) -> str:
    """A size as people write it: `812 kB`, `12.4 MB`, `1.3 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{max(num_bytes / 1e3, 1):.0f} kB"


def plan_summary(plan: Plan) -> list[str]:
    """What becomes of what, where, and how long it takes, in two or three lines for people."""
    device = "this CPU" if plan.device == "cpu" else plan.device
    facts = [f"on {device}" if plan.steps is not None else f"without a model, on {device}"]
    if plan.seconds is not None:
        facts.append(f"about {duration(plan.seconds)}")
    if plan.memory_gb is not None and plan.free_memory_gb is not None:
        facts.append(
            f"{plan.memory_gb:.1f} GB of memory, of {plan.free_memory_gb:.1f} that are free"
        )
    if plan.seconds is None:
        facts.append("the first frames will tell how long it takes")
    return [
        _files_line(plan),
        *([f"repairs: {', '.join(plan.repairs)}"] if plan.repairs else []),
        ", ".join(facts),
    ]


def plan_lines(plan: Plan) -> list[str]:
    """Everything that was chosen, for people: the files, the model, and the reasons."""
    return [
        f"{_files_line(plan)}, {plan.codec} {plan.pix_fmt}",
        *([f"repairs: {', '.join(plan.repairs)}"] if plan.repairs else []),
        *_model_lines(plan),
        *_time_line(plan),
        *_memory_line(plan),
        *_disk_line(plan),
        *(f"  {reason}" for reason in plan.reasons),
    ]


def _files_line(plan: Plan) -> str:
    (source_height, source_width), (height, width) = plan.source_size, plan.target_size
    frames = "number of frames unknown" if plan.num_frames is None else f"{plan.num_frames} frames"
    length = f", {duration(plan.duration)}" if plan.duration else ""
    before, after = f", {frames}{length}", ""
    if plan.rate is not None:  # the source has fewer
        before, after = length, f", {frames} at {float(plan.rate):.6g} per second"
    return (
        f"`{plan.source}` {source_width}x{source_height}{before}"
        f" -> `{plan.target}` {width}x{height}{after}"
    )


def _model_lines(plan: Plan) -> list[str]:
    if plan.motion_scale is None or plan.fidelity is None:
        return [f"model {plan.model}"]
    return [
        f"model {plan.model}, steps {plan.steps}, seed {plan.seed}, on {plan.device}"
        f" in {plan.dtype}",
        f"motion scale {plan.motion_scale:g}, fidelity {plan.fidelity:g}, color {plan.color},"
        f" flow {plan.flow}, clips of {plan.clip_length} frames, tile {plan.tile}",
    ]


def _time_line(plan: Plan) -> list[str]:
    if plan.seconds is None:
        return []
    return [f"about {duration(plan.seconds)}, as long as a job like this took here"]


def _memory_line(plan: Plan) -> list[str]:
    if plan.memory_gb is None or plan.free_memory_gb is None:
        return []
    return [f"about {plan.memory_gb:.1f} GB of memory, {plan.free_memory_gb:.1f} GB are free"]


def _disk_line(plan: Plan) -> list[str]:
    if plan.disk_gb is None or plan.free_disk_gb is None:
        return []
    return [
        f"up to {plan.disk_gb:.2f} GB of disk while it runs, beside the coded video; "
        f"{plan.free_disk_gb:.1f} GB are free"
    ]
