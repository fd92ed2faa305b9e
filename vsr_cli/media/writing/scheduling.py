"""Encoders must not take the machine for themselves."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextmanager
def same_scheduling() -> Iterator[None]:
    """Undo what opening an encoder within this context did to the scheduling of the process.

    For root, and whoever else may (`CAP_SYS_NICE`), SVT-AV1 gives its threads, and the one that
    opens it, real-time priority of the highest rank (`SCHED_FIFO`): whatever else the machine has
    to do stands still while they compute, its own kernel's threads included, and `nice` counts for
    nothing. They get back what the opening thread had. Threads that were there before are left
    alone, and so is a process that is real-time by its user's wish. It does so on Linux only.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, parameters, known = os.sched_getscheduler(0), os.sched_getparam(0), set(_threads())
    try:
        yield
    finally:
        for thread in (0, *(number for number in _threads() if number not in known)):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> list[int]:
    """Numbers of the threads of this process; none where the system does not show them."""
    try:
        return [int(path.name) for path in _THREADS.iterdir()]
    except OSError:
        return []
