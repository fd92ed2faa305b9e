"""Upscales sources of all sizes in little memory, and checks the plan against what they took.

    python -m tests.campaigns.sizes [--gigabytes 8] [--steps 4] [--size 1920x1080] [--scale 4]

Each runs as a process of its own in a control group that the kernel kills when it takes more, or,
where none can be made, under `ulimit -d`. The shipped weights compute, since the time and the
memory of small ones would say nothing. Prints a table for people, in Markdown, with the largest
resident set beside the plan.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.conftest import write_clip

SIZES = ("640x360", "1280x720", "1920x1080", "3840x2160")
SCALES = (1, 2, 4)
GROUPS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))  # of version 1, and of version 2
LIMITS = ("memory.limit_in_bytes", "memory.max")


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its events, the largest resident set, and the time it took."""

    code: int
    events: bytes  # one JSON object a line, the plan first
    peak_gb: float
    seconds: float

    @property
    def plan(self) -> dict[str, object]:
        """What the job has told before it began."""
        found: dict[str, object] = json.loads((self.events.splitlines() or [b"{}"])[0])
        return found


@contextlib.contextmanager
def limited(num_bytes: int) -> Iterator[tuple[Callable[[], None], str]]:
    """What a new process calls to get no more memory than this, and how that is done."""
    for root, limit in zip(GROUPS, LIMITS, strict=True):
        group = root / f"vsr-sizes-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(num_bytes))
        except OSError:
            _remove(group)
            continue
        try:
            yield partial(_join, group), "control group"
        finally:
            _remove(group)
        return
    most = (num_bytes, num_bytes)
    yield partial(resource.setrlimit, resource.RLIMIT_DATA, most), "ulimit"


def _remove(group: Path) -> None:
    """Remove a group as soon as the kernel has counted out what was in it."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            group.rmdir()
        if not group.exists():
            return
        time.sleep(0.1)


def _join(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def command(source: Path, scale: int, steps: int, *extra: str) -> list[str]:
    """`vsr upscale`, telling its plan as JSON."""
    words = [sys.executable, "-m", "vsr_cli", "upscale", source.name, "out.mkv", "-y", "--json"]
    return [*words, "--scale", str(scale), "--steps", str(steps), "--device", "cpu", *extra]


def clip_length(folder: Path, words: list[str], prepare: Callable[[], None]) -> int:
    """How many frames a job computes together; memory is at its most when there are as many."""
    done = subprocess.run(
        [*words, "--dry-run"], cwd=folder, capture_output=True, preexec_fn=prepare, check=False
    )
    return int(json.loads(done.stdout or "{}").get("clip_length", 0))


def run(
    folder: Path,
    words: list[str],
    prepare: Callable[[], None] | None = None,
    env: dict[str, str] | None = None,
) -> Outcome:
    """Run a job to its end; it tells events as JSON."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as events, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            words, cwd=folder, stdout=events, stderr=said, preexec_fn=prepare, env=env
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        events.seek(0)
        told = events.read()
        if status:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace")[-400:] + "\n")
    seconds = time.monotonic() - started
    return Outcome(process.returncode, told, usage.ru_maxrss * 1024 / 1e9, seconds)


def main() -> None:
    """Run the campaign and leave with 1 if a job has failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=8)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", action="append", metavar="WxH")
    parser.add_argument("--scale", action="append", type=int)
    arguments = parser.parse_args()
    is_good = True
    with (
        tempfile.TemporaryDirectory(prefix="vsr-sizes-") as name,
        limited(int(arguments.gigabytes * 1e9)) as (prepare, how),
    ):
        folder = Path(name)
        sys.stdout.write(f"{arguments.gigabytes:g} GB by {how}, {arguments.steps} steps\n\n")
        print_row("source", "scale", "frames", "tile", "planned GB", "peak GB", "s/frame", "exit")
        print_row(*["---"] * 8)
        for size in arguments.size or SIZES:
            width, height = map(int, size.split("x"))
            for scale in arguments.scale or SCALES:
                source = folder / "in.mkv"
                write_clip(source, num_frames=2, size=(height, width))
                words = command(source, scale, arguments.steps)
                num_frames = max(3, clip_length(folder, words, prepare) + 1)
                write_clip(source, num_frames=num_frames, size=(height, width))
                found = run(folder, words, prepare)
                plan = found.plan
                print_row(
                    *(
                        size,
                        scale,
                        num_frames,
                        plan.get("tile"),
                        plan.get("memory_gb"),
                    ),
                    *(f"{found.peak_gb:.2f}", f"{found.seconds / num_frames:.1f}", found.code),
                )
                is_good &= found.code == 0
    sys.exit(0 if is_good else 1)


def print_row(*cells: object) -> None:
    """Print a row of a table in Markdown, at once."""
    sys.stdout.write("| " + " | ".join(map(str, cells)) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
