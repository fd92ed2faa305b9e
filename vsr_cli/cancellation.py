"""Ending a job where it can go on later, instead of where a signal happens to find it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_left: ContextVar[threading.Event | None] = ContextVar("_left", default=None)


def leave_when(event: threading.Event) -> None:
    """Say that nobody needs what this thread does any more once `event` is set."""
    _left.set(event)


def is_left() -> bool:
    """Whether nobody needs what this thread does; whatever waits for long asks now and then."""
    event = _left.get()
    return event is not None and event.is_set()


class Stopped(KeyboardInterrupt):
    """The job has ended early because somebody asked for it; what is done is kept."""

    def __init__(self, what: str = "stopped before the end", *, num_frames: int = 0) -> None:
        super().__init__(what)
        self.num_frames = num_frames  # of the target, that need not be computed again


class Stop:
    """A request to stop, heeded at once or, while work is under way, at its next good moment.

    Whoever hears the signal calls `request`; whoever works defers it, and asks now and then.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._is_deferred = False

    def request(self) -> None:
        """Ask to stop.

        Raises:
            Stopped: nobody has deferred it.
        """
        self.is_requested = True
        if not self._is_deferred:
            raise Stopped

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, a request is only noted; the caller asks `is_requested`."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
