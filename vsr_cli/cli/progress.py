"""Events for people: a progress bar on a terminal, else plain lines, on standard error."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vsr_cli.cli.amounts import count, crew, percent, phase, rate, size_about, time_left
from vsr_cli.cli.console import print_line
from vsr_cli.cli.plan_text import done_line, live_line, plan_lines, plan_summary, time_line
from vsr_cli.events import (
    DegradationDrawn,
    Done,
    Event,
    Live,
    Note,
    Plan,
    Progress,
    Report,
    TimeSpent,
)

SECONDS_BETWEEN_LINES = 10.0  # where no bar can be drawn


@contextmanager
def progress_bar(
    *,
    quiet: bool = False,
    verbose: bool = False,
    more: Callable[[Progress], str] = lambda _: "",
) -> Iterator[Report]:
    """Make a `Report` that prints events on stderr, with a bar on a terminal, else now and then.

    Args:
        quiet: only notes are shown.
        verbose: a plan is shown with everything that was chosen, and why; and what took the time.
        more: what else there is to say of progress.
    """
    if quiet:
        yield print_note
    elif sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from vsr_cli.cli.bar import ProgressBar  # loads half of rich

        with ProgressBar(more=more) as draw:
            yield _render(draw, verbose=verbose)
    else:
        yield _render(ProgressLines(more=more), verbose=verbose)


def tee(first: Report, second: Report) -> Report:
    """Make a `Report` that passes each event on to two others."""

    def report(event: Event) -> None:
        first(event)
        second(event)

    return report


class ProgressLines:
    """One plain line per ten seconds, with the time of day, for logs and pipes."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], str] = lambda: time.strftime("%H:%M:%S"),
        more: Callable[[Progress], str] = lambda _: "",
    ) -> None:
        self.clock, self.time_of_day, self.more = clock, time_of_day, more
        self.last = clock()

    def __call__(self, event: Progress) -> None:
        if self.clock() - self.last < SECONDS_BETWEEN_LINES:
            return
        self.last = self.clock()
        done = f"{count(event)} {event.unit}"
        if share := percent(event):
            done += f" ({share})"
        parts = [
            f"{self.time_of_day()} {phase(event)}: {done}",
            time_left(event),
            crew(event),
            rate(event),
            size_about(event),
            self.more(event),
        ]
        print_line(", ".join(part for part in parts if part))


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
                print_note(event)
            case Live():
                print_line(live_line(event))
            case DegradationDrawn(seed=seed, steps=(first, *others)):
                for line in (f"seed {seed}, {first}", *others):
                    print_line(line)
            case TimeSpent() if verbose:
                print_line(time_line(event))
            case Done():
                print_line(done_line(event))

    return report


def print_note(event: Event) -> None:
    """A `Report` that prints notes for people, and nothing else."""
    if isinstance(event, Note):
        print_line(f"note: {event.text} ({event.code})")
