"""`python -m vsr_cli.pipeline.units.worker`: a process that shares a job with others.

It reads its order from standard input, and writes events to standard output. When its input ends,
it comes to the next safe point and ends, too: so no worker outlives the head of its job for long.
"""

import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from typing import TextIO

from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.events import Report
from vsr_cli.exit_codes import ExitCode
from vsr_cli.pipeline.units.messages import Order, error_line, event_line


def main() -> None:
    """Work until all units are done, or the input ends."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no event
    stop = StopRequest()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the head hears it, too
    signal.signal(signal.SIGTERM, lambda number, frame: stop.request())
    line = sys.stdin.readline()
    if not line:
        return
    given_up, has_ended = set[int](), threading.Event()
    watch = threading.Thread(
        target=_watch, args=(sys.stdin, stop, given_up, has_ended), daemon=True
    )
    watch.start()

    def tell(text: str | None) -> None:
        if text is not None:
            with suppress(OSError, ValueError):  # the head has gone, and the input has ended
                events.write(f"{text}\n")
                events.flush()

    try:
        _work(Order.from_line(line), lambda event: tell(event_line(event)), stop, given_up)
    except Stopped:
        if not has_ended.is_set():  # somebody else wants it gone, and the head starts another
            sys.exit(ExitCode.TERMINATED)
    except Exception as error:  # whatever it is, the head ends the job with it
        tell(error_line(error, traceback.format_exc()))


def _work(order: Order, report: Report, stop: StopRequest, given_up: set[int]) -> None:
    import torch

    from vsr_cli.pipeline.memory import reuse_memory
    from vsr_cli.pipeline.resume.config_text import from_text
    from vsr_cli.pipeline.resume.job import Job
    from vsr_cli.pipeline.units.walk import walk
    from vsr_cli.pipeline.upscale import Upscaler

    if order.threads is not None:
        torch.set_num_threads(order.threads)
    reuse_memory()
    given_up.update(order.given_up)
    manifest = Job(order.target, order.folder).read()
    if manifest is None or manifest.units is None:
        return
    upscaler = Upscaler(from_text(order.config), stop=stop)
    job = upscaler.unit_job(order.source, order.target, order.folder, manifest)
    walk(job, job.table.units, report, stop, given_up.__contains__)


def _watch(
    orders: TextIO, stop: StopRequest, given_up: set[int], has_ended: threading.Event
) -> None:
    """Take in which units nobody shall try any more, and the end."""
    for line in orders:
        given_up.add(int(line))
    has_ended.set()
    with suppress(Stopped):
        stop.request()


if __name__ == "__main__":
    main()
