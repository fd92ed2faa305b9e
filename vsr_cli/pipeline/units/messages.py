"""What the head of a job and its workers tell each other: a line of JSON each, through pipes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vsr_cli import errors
from vsr_cli.errors import VsrError
from vsr_cli.events import Event, Note, Progress, UnitState

_EVENTS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Note, Progress, UnitState)}
_BUG = "bug"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is told when it starts.

    source, target, folder: absolute; the last is that of the job.
    config: the user's choices, as `config_text` writes them.
    threads: of the CPU, that it may take; None: as many as it likes.
    given_up: units that it shall not try.
    """

    source: Path
    target: Path
    folder: Path
    config: str
    threads: int | None
    given_up: tuple[int, ...]

    def to_line(self) -> str:
        """As one line of text."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_line(cls, line: str) -> "Order":
        """Read what `to_line` gives."""
        values = json.loads(line)
        paths = {name: Path(values[name]) for name in ("source", "target", "folder")}
        return cls(**{**values, **paths, "given_up": tuple(values["given_up"])})


def event_line(event: Event) -> str | None:
    """An event as one line; None: it is nothing that the head wants to know."""
    if type(event).__name__ not in _EVENTS:
        return None
    return json.dumps({"event": type(event).__name__, **asdict(event)})


def error_line(error: Exception, traceback: str) -> str:
    """What has ended a worker, as one line."""
    if isinstance(error, VsrError):
        kind, what = type(error).__name__, str(error)
        return json.dumps({"error": kind, "what": what, "why": error.why, "hint": error.hint})
    return json.dumps({"error": _BUG, "what": traceback})


def read_line(line: bytes) -> Event | Exception | None:
    """Read what a worker has written; None: a line that was cut off."""
    try:
        values = json.loads(line)
        if "error" in values:
            return _read_error(values)
        found: Event = _EVENTS[values.pop("event")](**values)
        return found
    except (ValueError, KeyError, TypeError):
        return None


def _read_error(values: dict[str, Any]) -> Exception:
    if values["error"] == _BUG:
        return RuntimeError(f"in a worker:\n{values['what']}")
    kind = getattr(errors, values["error"], VsrError)
    found: VsrError = kind(values["what"], why=values["why"], hint=values["hint"])
    return found
