"""One line at the bottom of a terminal that shows how far the work is."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console
from rich.table import Column
from rich.text import Text

from vsr_cli.cli.amounts import count, crew, duration, percent, phase, rate, size_about, time_left
from vsr_cli.events import Progress


class ProgressBar:
    """Draws events of `Progress`; lines written to stderr meanwhile appear above it.

    It is there, and tells the time, before there is anything to count. What is too long for a
    narrow terminal is cut off at its end.
    """

    def __init__(
        self, console: Console | None = None, more: Callable[[Progress], str] = lambda _: ""
    ) -> None:
        """Draw on `console`, by default on stderr; `more` is what else there is to say."""
        self.more = more
        self.progress = progress.Progress(
            _text("{task.description}"),
            progress.BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
            _text("{task.fields[done]}"),
            Elapsed(),
            _text("{task.fields[pace]}"),
            console=console or Console(stderr=True, highlight=False, markup=False, emoji=False),
            expand=True,
            transient=True,  # the summary takes its place
            redirect_stdout=False,  # stdout is for programs
        )
        self.task = self.progress.add_task("loading", total=None, done="", pace="")

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
        """Show how far the work is."""
        self.progress.update(
            self.task,
            description=phase(event),
            completed=event.frame + event.ahead,
            total=event.num_frames or event.about,
            done=_joined(percent(event), count(event)),
            pace=_joined(
                *(time_left(event), crew(event), rate(event), size_about(event), self.more(event))
            ),
        )


class Elapsed(progress.ProgressColumn):
    """The time since the bar appeared, which goes on while nothing else does."""

    def render(self, task: progress.Task) -> Text:
        """Write it as every other time."""
        return Text(duration(task.elapsed or 0))


def _text(template: str) -> progress.TextColumn:
    column = Column(no_wrap=True, overflow="crop")
    return progress.TextColumn(template, markup=False, table_column=column)


def _joined(*parts: str) -> str:
    return "  ".join(part for part in parts if part)
