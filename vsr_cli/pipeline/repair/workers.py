"""Threads that each compute alone: many small things at once, instead of one after the other."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

_MOST = 8
_PATIENCE = 60.0  # seconds for threads to start

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Within, threads in which torch does not split its work.

    Split, what takes a millisecond waits longer for its parts than it computes, above all on a
    machine with other work. How many threads torch uses is the matter of each thread that has
    begun; what the process has for others is put back at once.
    """
    number = min(_MOST, os.cpu_count() or 1)
    barrier = threading.Barrier(number + 1)
    before = torch.get_num_threads()
    with ThreadPoolExecutor(number, "vsr-repair") as pool:
        for _ in range(number):
            pool.submit(_compute_alone, barrier.wait)
        barrier.wait(_PATIENCE)
        torch.set_num_threads(before)
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


def _compute_alone(meet: Callable[[float], int]) -> None:
    torch.set_num_threads(1)
    meet(_PATIENCE)
