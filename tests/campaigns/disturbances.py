"""What happens to jobs from outside: signals, full disks, scarce memory, company."""

import itertools
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.campaigns.common import Run, digests, frames_of
from tests.campaigns.field import NUM_FRAMES, Range
from vsr_cli.models.small.model import SmallModel


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
    size = field.random.randint(20_000, 300_000)  # a chunk's frames are 330 kB
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
    # Far apart, as the frames of a clip are several calls: the second try must succeed, or clips
    # are cut, which rounds differently.
    calls = [13 * index + field.random.randint(1, 5) for index in range(3)]
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
