"""Threads that each compute alone: many small things at once, instead of one after the other."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

_MOST = 8
_PATIENCE = 60.0  # seconds for threads to start


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


def _compute_alone(meet: Callable[[float], int]) -> None:
    torch.set_num_threads(1)
    meet(_PATIENCE)
