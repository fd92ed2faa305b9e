"""Disturbs jobs in every way there is, and checks that the next run ends as if nothing had been.

    python -m tests.campaigns.faults [--kills 20] [--seed 0] [--keep]

After each fault the same command is run again. It must succeed, give the frames of an undisturbed
run, and leave no file that was not there before.
"""

import argparse
import itertools
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.campaigns.common import Run, Table, digests, frames_of, nothing, write_model
from tests.conftest import write_clip
from vsr_cli.models.small.model import SmallModel

NUM_FRAMES = 40
SIZE = (32, 48)
CODECS = ("libx264", "ffv1", "libx265")


@dataclass
class Range:
    """Where the faults happen."""

    folder: Path
    random: random.Random
    table: Table

    def command(self, codec: str, *, target: str | None = None) -> list[str]:
        """The command whose runs are disturbed: clips of 4 frames, chunks of 9."""
        name = target or f"{codec}.mkv"
        options = (
            f"--model tiny.safetensors --device cpu --dtype float32 --steps 1 --clip-length 4 "
            f"--chunk-length 9 --checkpoint 0 -c:v {codec} --json"
        )
        return ["upscale", "in.mp4", name, *options.split()]

    def run(self, command: list[str], *, prepare: Callable[[], None] = nothing) -> tuple[int, str]:
        """To the end: exit code and what it said."""
        with Run(command, self.folder, prepare=prepare) as run:
            try:
                return run.wait(), run.said()
            except TimeoutError as error:
                return 124, f"{error}: {run.said()}"

    def resume(self, codec: str, *, target: Path | None = None) -> str:
        """Run again; what is wrong with the outcome, an empty string if nothing."""
        path = target or self.folder / f"{codec}.mkv"
        code, said = self.run(self.command(codec, target=str(path)))
        if code:
            return f"exit {code}: {said.strip().splitlines()[-1] if said.strip() else ''}"
        if digests(path) != self.expected(codec):
            return "other frames"
        path.unlink()
        return self.stray(path.parent)

    def expected(self, codec: str) -> list[str]:
        """The frames of an undisturbed run."""
        return digests(self.folder / f"whole.{codec}.mkv")

    def stray(self, folder: Path) -> str:
        """Names of files that a finished job has left."""
        known = {"in.mp4", "tiny.safetensors", *(f"whole.{codec}.mkv" for codec in CODECS)}
        found = sorted(path.name for path in folder.iterdir() if path.name not in known)
        return f"left {', '.join(found)}" if found else ""

    def note(self, fault: str, where: str, outcome: str) -> None:
        self.table.add(fault, where, outcome or "same frames, nothing left", good=not outcome)


def signal_at(field: Range, codec: str, number: signal.Signals, twice: bool = False) -> None:
    """A signal at a random frame; with a second one after it."""
    frame = field.random.randint(0, NUM_FRAMES)
    with Run(field.command(codec), field.folder) as run:
        for done in frames_of(run):
            if done >= frame:
                break
        time.sleep(field.random.uniform(0, 0.05))
        run.send_signal(number)
        if twice:
            time.sleep(0.02)
            run.send_signal(number)
        code = run.wait()
    allowed = {-number, 0} | ({128 + number} if number != signal.SIGKILL else set())
    kept = sum(1 for _ in field.folder.glob("*.vsr-job/manifest.json"))
    outcome = "" if code in allowed else f"exit {code}"
    if code == 0:  # it had come to the end
        (field.folder / f"{codec}.mkv").unlink(missing_ok=True)
    outcome = outcome or field.resume(codec)
    name = number.name + (" twice" if twice else "")
    job = "job kept" if kept else "no job yet" if code else "was done"
    field.note(name, f"{codec}, frame {frame}, exit {code}, {job}", outcome)


def limit_files(field: Range, codec: str) -> None:
    """No file may grow beyond a random size, as with a quota."""
    size = field.random.randint(20_000, 400_000)
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    code, said = field.run(field.command(codec), prepare=limit)
    outcome = "" if code == 4 else f"exit {code}: {said[-200:]}"
    (field.folder / f"{codec}.mkv").unlink(missing_ok=True)
    field.note("file size limit", f"{codec}, {size} bytes", outcome or field.resume(codec))


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[str], None]]:
    """A file system of so many bytes at `folder`, and how to change it.

    Raises:
        PermissionError: mounting is not allowed here.
    """
    folder.mkdir()

    def change(option: str) -> None:
        command = ["mount", "-o", f"remount,{option}", str(folder)]
        subprocess.run(command, check=True, capture_output=True)

    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        folder.rmdir()
        raise PermissionError("mounting is not allowed here") from error
    try:
        yield change
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)
        folder.rmdir()


def full_disk(field: Range, codec: str) -> None:
    """The target's disk is full in the middle; then there is space again."""
    size = field.random.randint(300_000, 500_000)
    disk = field.folder / "disk"
    try:
        with small_disk(disk, size) as change:
            target = disk / f"{codec}.mkv"
            code, said = field.run(field.command(codec, target=str(target)))
            kept = list(disk.glob("*.vsr-job/manifest.json"))
            outcome = "" if code == 4 else f"exit {code}: {said[-200:]}"
            change("size=100m")
            outcome = outcome or field.resume(codec, target=target)
            job = "job kept" if kept else "no job yet"
            field.note("disk full", f"{codec}, {size} bytes, {job}", outcome)
    except PermissionError as error:
        field.table.add("disk full", codec, f"skipped: {error}")


def read_only(field: Range, codec: str) -> None:
    """A folder that cannot be written to is refused before any work."""
    disk = field.folder / "disk"
    try:
        with small_disk(disk, 10**7) as change:
            change("ro")
            code, said = field.run(field.command(codec, target=str(disk / "out.mkv")))
            outcome = "" if code == 4 and "cannot be" in said else f"exit {code}: {said[-200:]}"
            field.table.add("read-only folder", codec, outcome or "refused", good=not outcome)
    except PermissionError as error:
        field.table.add("read-only folder", codec, f"skipped: {error}")


def limit_networks(wanted: list[int]) -> None:
    """Let some calls of the networks, counted from 1, find no memory."""
    count = itertools.count(1)

    def scarce(call: Callable[..., object]) -> Callable[..., object]:
        def limited(*args: object, **kwargs: object) -> object:
            if next(count) in wanted:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return call(*args, **kwargs)

        return limited

    for name in ("condition", "denoise", "decode"):
        setattr(SmallModel, name, scarce(getattr(SmallModel, name)))


def scarce_memory(field: Range, codec: str) -> None:
    """Memory runs out at random calls, each for one time: the same frames, without another run."""
    # No two in a row: the second try must succeed, or clips are cut, which rounds differently.
    calls = sorted(field.random.sample(range(1, 40, 2), 3))
    code, said = field.run(field.command(codec), prepare=partial(limit_networks, calls))
    path = field.folder / f"{codec}.mkv"
    if code:
        outcome = f"exit {code}: {said[-200:]}"
    elif "W_MEMORY_RETRIED" not in said:
        outcome = "it never ran out"
    elif digests(path) != field.expected(codec):
        outcome = "other frames"
    else:
        path.unlink()
        outcome = field.stray(field.folder)
    field.note("out of memory", f"{codec}, calls {', '.join(map(str, calls))}", outcome)


def closed_pipe(field: Range, codec: str) -> None:
    """Whoever reads the events leaves after a few."""
    with Run(field.command(codec), field.folder) as run:
        for _ in range(field.random.randint(1, 20)):
            run.stdout.readline()
        run.stdout.close()
        code = run.wait()
        said = run.said()
    outcome = "" if code == 141 and "error" not in said else f"exit {code}: {said[-200:]}"
    field.note("closed pipe", codec, outcome or field.resume(codec))


def two_at_once(field: Range, codec: str) -> None:
    """The same command a second time while the first is at work."""
    with Run(field.command(codec), field.folder) as first:
        for done in frames_of(first):
            if done >= 3:
                break
        first.send_signal(signal.SIGSTOP)  # so that it cannot be done before the second looks
        code, said = field.run(field.command(codec))
        first.send_signal(signal.SIGCONT)
        first.wait()
    path = field.folder / f"{codec}.mkv"
    outcome = ""
    if code != 4 or "another run is at work" not in said:
        outcome = f"the second: exit {code}: {said[-200:]}"
    elif first.returncode or digests(path) != field.expected(codec):
        outcome = f"the first: exit {first.returncode}"
    path.unlink(missing_ok=True)
    field.note("two at once", codec, outcome or field.stray(field.folder))


def prepare(folder: Path, seed: int, table: Table, *, codecs: Sequence[str] = CODECS) -> Range:
    """A clip, a model, and what undisturbed runs make of it."""
    write_model(folder)
    write_clip(folder / "in.mp4", num_frames=NUM_FRAMES, size=SIZE, audio=["aac"])
    field = Range(folder, random.Random(seed), table)
    for codec in codecs:
        code, said = field.run(field.command(codec, target=f"whole.{codec}.mkv"))
        if code:
            raise SystemExit(f"an undisturbed run fails: {said}")
    return field


def main() -> None:
    """Run the campaign and leave with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vsr-faults-"))
    table = Table((18, 52, 28))
    started = time.monotonic()
    field = prepare(folder, arguments.seed, table)
    for index in range(arguments.kills):
        signal_at(field, CODECS[index % len(CODECS)], signal.SIGKILL)
    for index in range(4):
        signal_at(field, CODECS[index % len(CODECS)], signal.SIGINT)
        signal_at(field, CODECS[index % len(CODECS)], signal.SIGTERM)
    for codec in CODECS:
        signal_at(field, codec, signal.SIGINT, twice=True)
        limit_files(field, codec)
        full_disk(field, codec)
        closed_pipe(field, codec)
        two_at_once(field, codec)
    read_only(field, "ffv1")
    for index in range(6):
        scarce_memory(field, CODECS[index % len(CODECS)])
    if not arguments.keep:
        shutil.rmtree(folder)
    good = sum(row[-1] == "ok" for row in table.rows)
    seconds = time.monotonic() - started
    sys.stdout.write(f"{good} of {len(table.rows)} faults without a trace, in {seconds:.0f} s\n")
    sys.exit(0 if table.is_good else 1)


if __name__ == "__main__":
    main()
