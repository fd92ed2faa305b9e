"""The progress bar; apart from `console` so that rich loads only where a bar is drawn."""

from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console

from vsr_cli.cli.console import count, rate, time_left
from vsr_cli.events import Progress


class Bar:
    """One line at the bottom of the terminal; lines written to stderr meanwhile appear above it."""

    def __init__(self, console: Console | None = None) -> None:
        self.progress = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[text]}", markup=False),
            console=console or Console(stderr=True, highlight=False, markup=False, emoji=False),
            transient=True,  # the summary takes its place
            redirect_stdout=False,  # stdout is for programs
        )
        self.task: progress.TaskID | None = None

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
        text = "  ".join(part for part in (count(event), rate(event), time_left(event)) if part)
        if self.task is None:
            self.task = self.progress.add_task(event.stage, total=event.num_frames, text=text)
        self.progress.update(
            self.task,
            description=event.stage,
            completed=event.frame,
            total=event.num_frames,
            text=text,
        )
