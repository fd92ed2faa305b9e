"""Ending a job where it can go on later, instead of where a signal happens to find it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deferred: ContextVar["StopRequest | None"] = ContextVar("_deferred", default=None)
_abandoned: ContextVar[threading.Event | None] = ContextVar("_abandoned", default=None)


def abandon_when(event: threading.Event) -> None:
    """Abandon the work of this thread as soon as `event` is set."""
    _abandoned.set(event)


def is_abandoned() -> bool:
    """Whether the work of this thread is abandoned; long waits must check it now and then."""
    event = _abandoned.get()
    return event is not None and event.is_set()


def end_if_abandoned() -> None:
    """End work that nobody waits for any more; what computes for seconds calls it now and then.

    Raises:
        Stopped: the work of this thread is abandoned.
    """
    if is_abandoned():
        raise Stopped


def is_stop_deferred() -> bool:
    """Whether a request to stop waits until this thread comes to a safe point."""
    stop = _deferred.get()
    return stop is not None and stop.is_requested


class Stopped(KeyboardInterrupt):
    """Raised where a job ends early on request; what is done is kept."""

    def __init__(self, what: str = "stopped before the end", *, num_frames: int = 0) -> None:
        super().__init__(what)
        self.num_frames = num_frames  # of the target, that need not be computed again


class StopRequest:
    """A request to stop a job, honoured at once or, while it is deferred, at the next safe point.

    The handler of a signal calls `request`; a running job defers it and checks `is_requested`.
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
        before = _deferred.set(self)
        try:
            yield
        finally:
            _deferred.reset(before)
            self._is_deferred = False
