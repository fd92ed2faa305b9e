"""Threads that each compute alone: many small things at once, instead of one after the other."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from vsr_cli.pipeline.threads import compute_alone

_MOST = 8

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Within, threads in which torch does not split its work."""
    number = min(_MOST, os.cpu_count() or 1)
    with ThreadPoolExecutor(number, "vsr-repair", initializer=compute_alone) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def map_ahead(
    pool: Executor, function: Callable[[T], R], items: Iterable[T]
) -> Iterator[tuple[T, R]]:
    """Items and what a function gives for them, in order, a few items ahead.

    Unlike with `Executor.map`, no more items are taken, and held, than threads can be busy with.
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(function, item)))
        if len(waiting) > _MOST:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()
