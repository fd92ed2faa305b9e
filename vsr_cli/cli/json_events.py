"""Events for programs: one JSON object a line, on standard output or in a file."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from vsr_cli.atomic import is_same_file
from vsr_cli.cli.amounts import frames_per_second, seconds_left
from vsr_cli.cli.console import print_result
from vsr_cli.errors import ConfigError
from vsr_cli.events import (
    BenchResult,
    Comparison,
    Crew,
    DegradationDrawn,
    Done,
    Event,
    Exported,
    GraphChecked,
    GraphWritten,
    Live,
    Note,
    Plan,
    Prediction,
    PreviewSample,
    Progress,
    TimeSpent,
    UnitState,
    WorkerState,
)

JSON_VERSION = 1
_START = b'{"type": "'  # of every event


class _EventFile:
    """Where events go: standard output, a file, or nowhere."""

    def __init__(self) -> None:
        self.file: TextIO | None = None  # None: standard output
        self.is_lost = False  # whoever read the file has left, which is no reason to stop
        self.common: Mapping[str, object] = {}  # keys of every event
        self.held: list[Note] = []  # to be said before the first event

    def write(self, line: str) -> None:
        if self.file is None:
            print_result(line)
        elif not self.is_lost:
            try:
                self.file.write(f"{line}\n")
                self.file.flush()
            except OSError:
                self.is_lost = True

    def reset(self) -> None:
        if self.file is not None:
            with suppress(OSError):
                self.file.close()
        self.file, self.is_lost = None, False
        self.held.clear()


_event_file = _EventFile()


def write_events_to(place: str | None) -> None:
    """Write the events of this command to a file instead of standard output.

    Args:
        place: a path, or `fd:N` for a file that is open already; None: nowhere.

    Raises:
        ConfigError: it cannot be written to, or holds something else.
    """
    try:
        if place is not None and place.startswith("fd:"):
            number = os.dup(int(place[3:]))
        else:
            if place is not None:
                _require_events(place)
            number = os.open(place or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        _event_file.file = os.fdopen(number, "w", encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"`--progress-file {place}` cannot be written to",
            why=reason,
            hint="give a path, or `fd:3` with `3>events.ndjson`",
        ) from error


def require_other_file(place: str, *files: Path) -> None:
    """Refuse to write events over a file that the job reads or makes.

    Raises:
        ConfigError: `place` is one of them, by whatever name.
    """
    if not place.startswith("fd:") and any(is_same_file(Path(place), file) for file in files):
        raise ConfigError(
            f"`--progress-file {place}` is the source or the target itself",
            hint="give another name; nothing is written over them",
        )


def _require_events(place: str) -> None:
    """Refuse a file that holds anything but events of an earlier run: it is emptied.

    Raises:
        ConfigError: it does.
    """
    with suppress(OSError):  # what cannot be read is refused where it is opened
        path = Path(place)
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                if not file.read(len(_START)) == _START:
                    raise ConfigError(
                        f"`--progress-file {place}` holds something else than events",
                        why="it would be emptied",
                        hint="give another name, or remove it",
                    )


def has_event_file() -> bool:
    """Whether events go to a file, or nowhere, but not to standard output."""
    return _event_file.file is not None


def close_events() -> None:
    """Close the file of `write_events_to`, if there is one; later events go to standard output."""
    _event_file.reset()


def hold_warning(note: Note) -> None:
    """Write a warning before the first event of this command, if it writes any.

    What is found while options are read comes before it is known where events go.
    """
    _event_file.held.append(note)


def write_event(kind: str, values: Mapping[str, object]) -> None:
    """Write one NDJSON event for programs; consumers ignore types and keys they do not know.

    Raises:
        BrokenPipeError: the program that reads standard output has left, or never was there.
        OutputError: standard output cannot be written to.
    """
    held, _event_file.held = _event_file.held, []
    for note in held:
        _write("warning", {"code": note.code, "text": note.text}, {})
    _write(kind, values, _event_file.common)


def _write(kind: str, values: Mapping[str, object], common: Mapping[str, object]) -> None:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = {"type": kind, "v": JSON_VERSION, "time": time, **common}
    _event_file.write(json.dumps({**head, **values}, default=str))


@contextmanager
def events_with(**keys: object) -> Iterator[None]:
    """Within, every event has these keys as well, unless it has them anyway."""
    before = _event_file.common
    _event_file.common = {**before, **keys}
    try:
        yield
    finally:
        _event_file.common = before


def progress_values(event: Progress) -> dict[str, object]:
    """The keys of a `progress` event."""
    return {
        "stage": event.stage,
        "frame": event.frame,
        "ahead": event.ahead,
        "frames": event.num_frames,
        "frames_about": event.about,
        "bytes_about": event.bytes_about,
        "fps": round(fps, 4) if (fps := frames_per_second(event)) else None,
        "eta_s": seconds_left(event),
        **_crew_values(event.crew),
    }


def _crew_values(crew: Crew | None) -> dict[str, object]:
    """Who is at work, where a job is shared."""
    if crew is None:
        return {}
    return {"workers_alive": crew.alive, "units_done": crew.units_done, "units": crew.units}


def report_as_json(event: Event) -> None:
    """A `Report` that writes NDJSON to stdout."""
    match event:
        case Plan():
            write_event("plan", asdict(event))
        case Progress():
            write_event("progress", progress_values(event))
        case UnitState():
            write_event("unit", asdict(event))
        case WorkerState():
            write_event("worker", asdict(event))
        case Note():
            write_event("warning", {"code": event.code, "text": event.text})
        case TimeSpent():
            write_event("spent", asdict(event))
        case Done():
            values = asdict(event)
            write_event("done", {"out": values.pop("target"), **values})
        case Live():
            write_event("live", asdict(event))
        case DegradationDrawn():
            write_event("degradation", asdict(event))
        case BenchResult():
            write_event("cost", asdict(event))
        case Comparison():
            write_event("comparison", asdict(event))
        case PreviewSample():
            write_event("preview", asdict(event))
        case Prediction():
            write_event("prediction", asdict(event))
        case GraphWritten():
            write_event("graph", asdict(event))
        case GraphChecked():
            write_event("check", {**asdict(event), "passed": event.passed})
        case Exported():
            write_event("export", asdict(event))
