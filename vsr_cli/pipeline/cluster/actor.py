"""What runs on a cluster: workers that keep a model and compute units, and a box for what they say.

All that passes between machines is text, and what they compute lies in the folder of the job.
"""

import json
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.errors import JobBusyError
from vsr_cli.events import Event, Progress, Report, UnitState
from vsr_cli.pipeline.cluster.connection import Handle, wait_for
from vsr_cli.pipeline.units.messages import Order, error_line, event_line

if TYPE_CHECKING:
    from vsr_cli.pipeline.units.walk import UnitJob
    from vsr_cli.pipeline.upscale import Upscaler

DONE, BUSY, LEFT, STOPPED = "done", "busy", "left", "stopped"  # how the work on a unit has ended
PERIOD = 1.0  # seconds between two messages of a worker


class Mailbox:
    """Takes what workers say, for the head to read; a process of its own on the same machine."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._lines: dict[int, list[str]] = {}
        self._stopping: set[int] = set()

    def tell(self, number: int, lines: list[str]) -> bool:
        """Take lines of a worker; returns whether it is to stop at its next safe point."""
        self._lines.setdefault(number, []).extend(lines)
        return number in self._stopping

    def take(self, numbers: list[int]) -> list[tuple[int, str]]:
        """All that these workers have said since the last time: the number of one, and a line."""
        return [(number, line) for number in numbers for line in self._lines.pop(number, [])]

    def stop(self, numbers: list[int], is_stopping: bool) -> None:
        """Say from now on that these workers are to stop, or that they are not."""
        self._stopping -= set(numbers)
        if is_stopping:
            self._stopping |= set(numbers)

    def forget(self, number: int) -> None:
        """Drop what a worker that is gone has said."""
        self._lines.pop(number, None)


class UnitWorker:
    """Computes units of one job after the other, with a model that is loaded once.

    Its methods take and return text: `Order.to_line`, and what `error_line` gives where something
    is wrong.
    """

    def __init__(self, number: int, mailbox: Handle, threads: int) -> None:
        """Nothing is loaded yet.

        Args:
            number: from 1, by which the head knows it.
            mailbox: takes what there is to say.
            threads: of the CPU that it may take.
        """
        self._number, self._mailbox, self._threads = number, mailbox, threads
        self._stop, self._is_leaving = StopRequest(), False
        self._upscalers: dict[str, Upscaler] = {}
        self._jobs: dict[str, UnitJob] = {}  # of one order
        # The main thread runs these methods, so that a machine that is taken away can say so.
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def process(self) -> int:
        """Its number on its machine."""
        return os.getpid()

    def look(self, line: str, meant: str, device: str) -> str:
        """Say what this process is and sees, before any work; see `Sight`.

        Args:
            line: an `Order`.
            meant: the source as the head knows it, and the token in the job's folder, as JSON.
            device: the kind that is meant, `cpu` or `cuda`.
        """
        from vsr_cli.pipeline.cluster.sight import (
            look_around,
            sees_folder,
            sees_source,
            weights_here,
        )
        from vsr_cli.pipeline.resume.config_text import from_text

        try:
            order, values = Order.from_line(line), json.loads(meant)
            is_seen = sees_source(order.source, values["source"])
            run = None
            self._jobs.clear()  # the same order may be of another source by now
            if is_seen:
                run = self._upscaler(order).plan_part(order.source, order.target, None)
            seen = {
                "sees_source": is_seen,
                "sees_folder": sees_folder(order.folder, values["token"]),
            }
            weights = weights_here(from_text(order.config).model)
            return look_around(run, weights, device, **seen).to_line()
        except Exception as error:  # whatever it is, the head ends the job with it
            return error_line(error, traceback.format_exc())

    def scan(self, line: str) -> str:
        """Look at a range of a source; see `scan_part`."""
        from vsr_cli.pipeline.units.parts import scan_part

        return scan_part(line)

    def compute(self, line: str, index: int) -> str:
        """Compute a unit.

        Args:
            line: an `Order`.
            index: of the unit.

        Returns:
            DONE; BUSY where another process has it; LEFT where this one is to end for good, STOPPED
            where the job is, behind a checkpoint each; or what is wrong.
        """
        self._stop = StopRequest()
        try:
            with self._telling() as report:
                from vsr_cli.pipeline.units.walk import within

                if self._is_leaving:
                    return LEFT
                if self._stop.is_requested:
                    return STOPPED
                job = self._job(line)
                unit = job.table.units[index]
                job.compute(unit, within(unit, report), self._stop)
            return DONE
        except JobBusyError:
            return BUSY
        except Stopped:
            return LEFT if self._is_leaving else STOPPED
        except Exception as error:  # likewise
            return error_line(error, traceback.format_exc())

    def _job(self, line: str) -> "UnitJob":
        from vsr_cli.errors import OutputError
        from vsr_cli.pipeline.resume.job import Job

        if line in self._jobs:
            return self._jobs[line]
        order = Order.from_line(line)
        manifest = Job(order.target, order.folder).read()
        if manifest is None or manifest.units is None:
            raise OutputError(
                f"the table of units in `{order.folder}` is not seen by a worker",
                hint="use `--job-dir` on shared storage that all machines see at once",
            )
        job = self._upscaler(order).unit_job(order.source, order.target, order.folder, manifest)
        self._jobs = {line: job}
        return job

    def _upscaler(self, order: Order) -> "Upscaler":
        import torch

        from vsr_cli.pipeline.cluster.sight import weights_here
        from vsr_cli.pipeline.memory import reuse_memory
        from vsr_cli.pipeline.resume.config_text import from_text
        from vsr_cli.pipeline.upscale import Upscaler

        if order.config not in self._upscalers:
            torch.set_num_threads(self._threads)
            reuse_memory()
            config = from_text(order.config)
            if config.model is not None:
                config = replace(config, model=weights_here(config.model))
            self._upscalers = {order.config: Upscaler(config)}
        return self._upscalers[order.config]

    def _leave(self, number: int, frame: FrameType | None) -> None:
        """End at the next safe point, and for good: the machine is wanted back."""
        self._is_leaving = True
        with suppress(Stopped):
            self._stop.request()

    @contextmanager
    def _telling(self) -> Iterator[Report]:
        """A `Report` whose events the head hears once a second, and in the end all of them."""
        lines: list[str] = []
        lock, is_due = threading.Lock(), threading.Event()
        has_ended = False

        def report(event: Event) -> None:
            text = event_line(event)
            with lock:
                if isinstance(event, Progress) and lines and '"event": "Progress"' in lines[-1]:
                    lines.pop()  # only the last one counts
                if text is not None:
                    lines.append(text)
            if isinstance(event, UnitState):
                is_due.set()

        def tell() -> None:
            with lock:
                told = lines[:]
                lines.clear()
            if wait_for(self._mailbox.tell.remote(self._number, told)):
                with suppress(Stopped):
                    self._stop.request()

        def go_on_telling() -> None:
            while not has_ended:
                is_due.wait(PERIOD)
                is_due.clear()
                try:
                    tell()
                except Exception:  # the head has gone, whatever Ray says of it
                    with suppress(Stopped):
                        self._stop.request()
                    return

        tell()
        thread = threading.Thread(target=go_on_telling, daemon=True)
        thread.start()
        try:
            yield report
        finally:
            has_ended = True
            is_due.set()
            thread.join()
            with suppress(Exception):  # likewise
                tell()
