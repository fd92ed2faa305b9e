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
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 10.0  # where no bar can be drawn


@contextmanager
def progress_bar(
    *, quiet: bool = False, more: Callable[[Progress], str] = lambda _: ""
) -> Iterator[Report]:
    """Make a `Report` that prints events on stderr, with a bar on a terminal, else now and then.

    Args:
        quiet: only notes are shown.
        more: what else there is to say of progress.
    """
    if quiet:
        yield _print_note
    elif sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with ProgressBar(more=more) as draw:
            yield _render(draw)
    else:
        yield _render(ProgressLines(more=more))


def tee(first: Report, second: Report) -> Report:
    """Make a `Report` that passes each event on to two others."""

    def report(event: Event) -> None:
        first(event)
        second(event)

    return report


class ProgressBar:
    """One line at the bottom of the terminal; lines written to stderr meanwhile appear above it."""

    def __init__(
        self, console: "Console | None" = None, more: Callable[[Progress], str] = lambda _: ""
    ) -> None:
        from rich import progress  # half of rich, which most commands do without
        from rich.console import Console

        self.progress = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[text]}", markup=False),
            console=console or Console(stderr=True, highlight=False, markup=False, emoji=False),
            transient=True,  # the summary takes its place
            redirect_stdout=False,  # stdout is for programs
        )
        self.task: TaskID | None = None
        self.more = more

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
        parts = (count(event), rate(event), time_left(event), self.more(event))
        text = "  ".join(part for part in parts if part)
        if self.task is None:
            self.task = self.progress.add_task(event.stage, total=event.num_frames, text=text)
        self.progress.update(
            self.task,
            description=event.stage,
            completed=event.frame + event.ahead,
            total=event.num_frames,
            text=text,
        )


class ProgressLines:
    """One plain line per ten seconds, for logs and pipes."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        more: Callable[[Progress], str] = lambda _: "",
    ) -> None:
        self.clock, self.more = clock, more
        self.last = clock()

    def __call__(self, event: Progress) -> None:
        if self.clock() - self.last < SECONDS_BETWEEN_LINES:
            return
        self.last = self.clock()
        begin = f"{event.stage}: {count(event)} {event.unit}"
        parts = [begin, rate(event), time_left(event), self.more(event)]
        print_line(", ".join(part for part in parts if part))


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
    """Seconds to the end; None before anything is done, or without a count."""
    if event.left is not None:
        return round(event.left, 1)
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


def _render(draw: Callable[[Progress], None]) -> Report:
    """Make a `Report` that prints every event in words, but progress with `draw`."""

    def report(event: Event) -> None:
        match event:
            case Plan():
                for line in plan_lines(event):
                    print_line(line)
            case Progress():
                draw(event)
            case Note():
                _print_note(event)
            case DegradationDrawn(seed=seed, steps=(first, *others)):
                for line in (f"seed {seed}, {first}", *others):
                    print_line(line)
            case Done():
                print_line(
                    f"wrote `{event.target}`: {event.frames_out} frames, "
                    f"{event.width}x{event.height}, in {duration(event.seconds)}"
                )

    return report


def _print_note(event: Event) -> None:
    if isinstance(event, Note):
        print_line(f"note: {event.text} ({event.code})")


def plan_lines(plan: Plan) -> list[str]:
    """What was chosen, for people: the files, the model, and the reasons."""
    (source_height, source_width), (height, width) = plan.source_size, plan.target_size
    frames = "number of frames unknown" if plan.num_frames is None else f"{plan.num_frames} frames"
    before, after = f", {frames}", ""
    if plan.rate is not None:  # the source has fewer
        before, after = "", f", {frames} at {float(plan.rate):.6g} per second"
    return [
        f"`{plan.source}` {source_width}x{source_height}{before}"
        f" -> `{plan.target}` {width}x{height}{after}, {plan.codec} {plan.pix_fmt}",
        *([f"repairs: {', '.join(plan.repairs)}"] if plan.repairs else []),
        *_model_lines(plan),
        *_time_line(plan),
        *_memory_line(plan),
        *_disk_line(plan),
        *(f"  {reason}" for reason in plan.reasons),
    ]


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
