"""What the campaigns share: a small model, small clips, and the command as users run it.

A campaign is a long test that prints a table: `make faults`, `fuzz`, `mutants`, `soak`. Parts of
each, a few seconds long, are in the test suite.
"""

import contextlib
import hashlib
import importlib
import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, Self

import av

import vsr_cli.pipeline.upscale  # noqa: F401  so that no run has to load it again
from tests.networks import write_tiny_weights
from vsr_cli.cli.app import main as run_command

PATIENCE = 600.0  # seconds for one run of the command, on a machine that may be busy


def nothing() -> None:
    """What most runs need before they begin."""


class Run:
    """The command in a process of its own, forked from this one, which has loaded torch already."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        folder: Path,
        *,
        prepare: Callable[[], None] = nothing,
    ) -> None:
        """Begin.

        Args:
            arguments: as they are typed after `vsr`.
            folder: where it runs.
            prepare: called in the new process first.
        """
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed on leaving
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            self._become([*map(str, arguments)], folder, writing, prepare)
        os.close(writing)
        self.stdout = os.fdopen(reading, encoding="utf-8", errors="backslashreplace")
        self.returncode: int | None = None
        self._heard = b""  # what it wrote for programs while it was waited for

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.returncode is None:
            self.send_signal(signal.SIGKILL)
            self.wait()
        self.stdout.close()
        self._errors.close()

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, patience: float = PATIENCE) -> int:
        """The exit code, negative for a signal; whatever it still writes is read.

        Raises:
            TimeoutError: it has not come to an end.
        """
        end = time.monotonic() + patience
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise TimeoutError(f"no end after {patience:.0f} s")
            elif not self.stdout.closed and select.select([self.stdout], [], [], 0.02)[0]:
                self._heard += os.read(self.stdout.fileno(), 1 << 16)
            else:
                time.sleep(0.005)
        if not self.stdout.closed:
            while part := os.read(self.stdout.fileno(), 1 << 16):
                self._heard += part
        return self.returncode

    def events(self) -> list[dict[str, object]]:
        """The events it wrote for programs while it was waited for; the last may be cut off."""
        found = []
        for line in self._heard.decode(errors="backslashreplace").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def said(self) -> str:
        """All that it wrote for people."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="backslashreplace")

    def _become(
        self, arguments: list[str], folder: Path, stdout: int, prepare: Callable[[], None]
    ) -> None:
        """Be the command; never returns."""
        code = 70
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(stdout, 1)
            os.dup2(self._errors.fileno(), 2)
            os.close(stdout)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.chdir(folder)
            sys.argv = ["vsr", *arguments]
            sys.stdin, sys.stdout, sys.stderr = (
                open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
                for number, mode in ((0, "r"), (1, "w"), (2, "w"))
            )
            prepare()
            run_command()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError, AttributeError):  # full, or closed
                    stream.flush()
            os._exit(code)


def load_modules(arguments: Sequence[str | Path], folder: Path) -> None:
    """Import what the command imports on its way, so that no run has to load it again.

    Raises:
        SystemExit: the command fails.
    """
    names = folder / "modules.txt"

    def list_modules(code: int) -> NoReturn:
        names.write_text("\n".join(sys.modules))
        end(code)

    end = os._exit
    with Run(arguments, folder, prepare=lambda: setattr(os, "_exit", list_modules)) as run:
        if run.wait():
            raise SystemExit(f"an undisturbed run fails: {run.said()}")
    for name in names.read_text().split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    names.unlink()


def write_model(folder: Path) -> Path:
    """A tiny model in `folder`, made elsewhere: threads of this process would not be forked."""
    path = folder / "tiny.safetensors"
    pid = os.fork()
    if pid == 0:
        try:
            write_tiny_weights(path)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return path


def digests(path: Path) -> list[str]:
    """What each picture shows, and when."""
    with av.open(f"file:{path}") as container:
        return [
            hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest() + f"@{frame.time}"
            for frame in container.decode(video=0)
        ]


def frames_of(run: Run) -> Iterator[int]:
    """The number of frames done, as `--json` tells it; 0 when work begins."""
    for line in run.stdout:
        event = json.loads(line)
        if event["type"] == "plan":
            yield 0
        if event["type"] == "progress":
            yield event["frame"]


@dataclass
class Table:
    """Rows that are printed as they come, and whether all of them are good."""

    widths: tuple[int, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    is_good: bool = True

    def add(self, *cells: object, good: bool = True) -> None:
        """Print one row."""
        texts = (*(str(cell) for cell in cells), "ok" if good else "FAILED")
        self.rows.append(texts)
        self.is_good &= good
        widths = (*self.widths, 6)
        line = "  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.flush()
