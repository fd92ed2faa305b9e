"""Working ahead: one stage runs in a thread of its own while the next ones compute."""

import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from vsr_cli.cancellation import abandon_when

T = TypeVar("T")


@dataclass(frozen=True)
class _End:
    """The last thing in the queue; `error` ended the iterator early."""

    error: BaseException | None = None


def prefetch(items: Iterator[T], size: int) -> Generator[T, None, None]:
    """Iterate in a thread that is at most `size` items ahead; order and errors are kept.

    Closing the returned generator, also by an error in what consumes it, ends the thread and waits
    for it, so that nothing still reads from files that are about to be closed. A read from a pipe
    that waits is given up.
    """
    ready: queue.Queue[T | _End] = queue.Queue(maxsize=size)
    stopped = threading.Event()

    def work() -> None:
        abandon_when(stopped)
        end = _End()
        try:
            for item in items:
                if not _put(ready, item, stopped):
                    return
        except BaseException as error:
            end = _End(error)
        _put(ready, end, stopped)

    thread = threading.Thread(target=work, name="vsr-prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        thread.join()


def _put(ready: "queue.Queue[T | _End]", item: T | _End, stopped: threading.Event) -> bool:
    """Wait for room, but not longer than anybody listens; returns whether the item went in."""
    while not stopped.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
