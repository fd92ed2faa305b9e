"""Overlap in time: what comes before and after the networks runs in threads of its own."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from vsr_cli.cancellation import Stopped, abandon_when, is_stop_deferred

_PATIENCE = 0.1  # seconds between two looks whether anybody still waits
LONGEST_WAIT = 5.0  # seconds for an item, once a stop is asked for

T = TypeVar("T")


@dataclass(frozen=True)
class _End:
    """The last thing in the queue; `error` ended the iterator early."""

    error: BaseException | None = None


def prefetch(
    items: Iterator[T], size: int, *, begin: Callable[[], None] | None = None
) -> Generator[T, None, None]:
    """Iterate in a thread that is at most `size` items ahead; order and errors are kept.

    The thread calls `begin` first.

    Closing the returned generator, also by an error in what consumes it, ends the thread and waits
    for it, so that nothing still reads from files that are about to be closed. A read from a pipe
    or a disk that waits is given up.

    Raises:
        Stopped: a stop was asked for, and no item has come for long: whatever is read may hang.
    """
    ready: queue.Queue[T | _End] = queue.Queue(maxsize=size)
    stopped = threading.Event()

    def work() -> None:
        abandon_when(stopped)
        end = _End()
        try:
            if begin is not None:
                begin()
            for item in items:
                if not _put(ready, item, stopped):
                    return
        except BaseException as error:
            end = _End(error)
        _put(ready, end, stopped)

    thread = threading.Thread(target=work, name="vsr-prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := _get(ready), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        thread.join()


def _get(ready: "queue.Queue[T | _End]") -> T | _End:
    """Wait for an item, but not for ever where a stop is asked for."""
    waited = 0.0
    while True:
        try:
            return ready.get(timeout=_PATIENCE)
        except queue.Empty:
            waited += _PATIENCE
        if is_stop_deferred() and waited >= LONGEST_WAIT:
            raise Stopped


def _put(ready: "queue.Queue[T | _End]", item: T | _End, stopped: threading.Event) -> bool:
    """Wait for room, but not longer than anybody listens; returns whether the item went in."""
    while not stopped.is_set():
        try:
            ready.put(item, timeout=_PATIENCE)
        except queue.Full:
            continue
        return True
    return False


class WriteQueue(Generic[T]):
    """Hands items to a function that runs in another thread, a few items behind.

    Made by `write_behind`. Items are taken in order; the first error ends the taking, and is raised
    to whoever puts or drains next.
    """

    def __init__(self, write: Callable[[T], object], size: int) -> None:
        self._write = write
        self._waiting: queue.Queue[T] = queue.Queue(maxsize=size)
        self._error: BaseException | None = None
        self._stopped = threading.Event()

    def put(self, item: T) -> None:
        """Queue an item, waiting for room.

        Raises:
            BaseException: whatever writing an earlier item has raised.
        """
        if self._error is not None:
            raise self._error
        self._waiting.put(item)  # after an error too there is always somebody who takes it

    def drain(self) -> None:
        """Wait until everything that was put is written.

        Raises:
            BaseException: whatever writing an item has raised.
        """
        self._waiting.join()
        if self._error is not None:
            raise self._error

    def work(self) -> None:
        """Write until the queue is closed; what is put after an error is dropped."""
        while not self._stopped.is_set():
            try:
                item = self._waiting.get(timeout=_PATIENCE)
            except queue.Empty:
                continue
            try:
                if self._error is None:
                    self._write(item)
            except BaseException as error:
                self._error = error
            finally:
                self._waiting.task_done()

    def close(self) -> None:
        """Drop what waits, and end the thread after the item it is at."""
        self._stopped.set()


@contextmanager
def write_behind(write: Callable[[T], object], size: int) -> Iterator[WriteQueue[T]]:
    """Call `write` in a thread of its own, at most `size` items behind.

    Leaving the block waits for the item that is being written; without an error, for all of them.

    Args:
        write: called with each item, in order, never twice at once.
        size: items that may wait.
    """
    waiting = WriteQueue(write, size)
    abandoned = threading.Event()

    def work() -> None:
        abandon_when(abandoned)
        waiting.work()

    thread = threading.Thread(target=work, name="vsr-write", daemon=True)
    thread.start()
    try:
        yield waiting
        waiting.drain()
    except BaseException:
        abandoned.set()  # it may wait for a pipe, too
        raise
    finally:
        waiting.close()
        thread.join()
