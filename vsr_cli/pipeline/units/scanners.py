"""`python -m vsr_cli.pipeline.units.scanners`: a process that looks at ranges of a source.

It reads a range a line from standard input, and writes what it has seen of it to standard output.
When its input ends, it ends, too.
"""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from vsr_cli.cancellation import end_if_abandoned
from vsr_cli.media.reading.index import NoIndexError
from vsr_cli.pipeline.units.parts import Scanners, scan_part
from vsr_cli.pipeline.units.places import cores
from vsr_cli.pipeline.units.processes import end, start_process, tell

MOST = 8  # processes: each holds torch, some hundred megabytes
_PATIENCE = 0.1  # seconds between two looks at whether to stop
_MODULE = "vsr_cli.pipeline.units.scanners"


def scanners_here() -> Scanners:
    """Processes on this machine, one for each core, which start when there is work."""
    count = min(len(cores()), MOST)

    def scatter(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
        return _scatter(lines, min(count, len(lines)))

    return Scanners(count=count, scatter=scatter)


def _scatter(lines: Sequence[str], count: int) -> Iterator[tuple[int, str]]:
    """See `Scanners.scatter`."""
    waiting, found = queue.SimpleQueue[int](), queue.SimpleQueue[tuple[int, bytes]]()
    for place in range(len(lines)):
        waiting.put(place)
    processes = [start_process(_MODULE, threads=1) for _ in range(count)]
    try:
        for process in processes:
            arguments = (process, lines, waiting, found)
            threading.Thread(target=_serve, args=arguments, daemon=True).start()
        for _ in lines:
            place, line = _take(found)
            if not line.endswith(b"\n"):
                raise NoIndexError("a process that was to scan a part has died")
            yield place, line.decode()
    finally:
        for process in processes:
            end(process)


def _take(found: "queue.SimpleQueue[tuple[int, bytes]]") -> tuple[int, bytes]:
    """Wait for what comes next, such that a signal is heard meanwhile."""
    while True:
        end_if_abandoned()
        with suppress(queue.Empty):
            return found.get(timeout=_PATIENCE)


def _serve(
    process: subprocess.Popen[bytes],
    lines: Sequence[str],
    waiting: "queue.SimpleQueue[int]",
    found: "queue.SimpleQueue[tuple[int, bytes]]",
) -> None:
    """Give a process range after range; runs in a thread of its own."""
    assert process.stdout is not None
    with suppress(queue.Empty):
        while True:
            place = waiting.get_nowait()
            tell(process, lines[place])
            found.put((place, process.stdout.readline()))


def main() -> None:
    """Look at ranges until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        answers.write(f"{scan_part(line)}\n")
        answers.flush()


if __name__ == "__main__":
    main()
