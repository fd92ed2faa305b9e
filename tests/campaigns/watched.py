"""Files that are probed, read and upscaled in processes that may hang, die or eat memory."""

import contextlib
import json
import os
import re
import resource
import select
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.campaigns.common import Run
from vsr_cli import api
from vsr_cli.cli.probe import describe_plan, describe_source, lines_for_people
from vsr_cli.errors import VsrError
from vsr_cli.events import Event, Note
from vsr_cli.exit_codes import ExitCode
from vsr_cli.media.reading.reader import open_video

PATIENCE = 60.0  # seconds for one file
MOST_MEMORY = 3 * 2**30  # bytes that one file may take, beside what the program itself takes
DOCUMENTED = frozenset({0, 2, 3, 4, 5, 6, 7, 8})
HUNG = 124


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    code: int
    text: str
    seconds: float

    @property
    def is_documented(self) -> bool:
        """Whether the program ended in a way that its manual names."""
        return self.code in DOCUMENTED and "Traceback" not in self.text


def limit_memory() -> None:
    """Have this process get no more than so much; asking for more fails."""
    size = int(re.findall(r"VmSize:\s*(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size + MOST_MEMORY, size + MOST_MEMORY))


def read_apart(paths: Sequence[Path]) -> Iterator[Outcome]:
    """Probe and read files in a process; where it dies or hangs another goes on after that file."""
    num_read = 0
    while num_read < len(paths):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _read_all(paths[num_read:], writing)
        os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as results:
            started = time.monotonic()
            while select.select([results], [], [], PATIENCE)[0] and (line := results.readline()):
                code, text = json.loads(line)
                num_read += 1
                yield Outcome(code, text, time.monotonic() - started)
                started = time.monotonic()
            seconds = time.monotonic() - started
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        if num_read < len(paths):
            num_read += 1
            died = os.waitstatus_to_exitcode(status)
            code, text = (HUNG, "hung") if seconds >= PATIENCE else (died, "the interpreter died")
            yield Outcome(code, text, seconds)


def _read_all(paths: Sequence[Path], writing: int) -> None:
    """Read files one after the other, and write what became of each; never returns."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    limit_memory()
    try:
        with os.fdopen(writing, "w") as results:
            for path in paths:
                _read_one(path, results)
    finally:
        os._exit(0)


def _read_one(path: Path, results: IO[str]) -> None:
    results.write(json.dumps(read(path)) + "\n")
    results.flush()


def read(path: Path) -> tuple[int, str]:
    """Probe a file and read all its frames: exit code, and what there is to say."""
    codes: set[str] = set()

    def note(event: Event) -> None:
        if isinstance(event, Note):
            codes.add(event.code)

    try:
        with contextlib.suppress(VsrError):
            found = api.probe(path, "out.mkv")
            json.dumps([describe_source(found), describe_plan(found.output)], default=str)
            "\n".join(lines_for_people(found, None)).encode(errors="backslashreplace")
        with open_video(path) as video:
            count = sum(1 for _ in video.frames(report=note))
    except VsrError as error:
        return error.exit_code, str(error)
    except MemoryError as error:
        return ExitCode.DEVICE, f"{type(error).__name__}: {error}"
    except Exception as error:  # what nobody has foreseen is what is looked for
        return 1, f"{type(error).__name__}: {error}"
    return 0, f"{count} frames {' '.join(sorted(codes))}"


def upscale(path: Path, model: Path, ending: str) -> Outcome:
    """The whole command on one file."""
    started = time.monotonic()
    target = path.parent / f"upscaled{ending}"
    options = "-y --steps 1 --device cpu --dtype float32 --scale 1 --motion-scale 0 --fresh"
    command: list[str | Path] = ["upscale", path, target, "--model", model, *options.split()]
    with Run(command, path.parent, prepare=limit_memory) as run:
        try:
            code, text = run.wait(PATIENCE), run.said()
        except TimeoutError as error:
            code, text = HUNG, f"{error}: {run.said()}"
    for left in path.parent.glob("upscaled*"):
        if left.is_file():
            left.unlink()
    return Outcome(code, text, time.monotonic() - started)
