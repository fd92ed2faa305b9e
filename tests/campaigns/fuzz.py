"""Reads broken files of every kind, and checks that each ends in a documented way.

    python -m tests.campaigns.fuzz [--per-format 110] [--upscaled 10] [--seed 0]

Small files of several containers are mutated: bits flipped, bytes overwritten, parts cut out,
repeated or taken from another file, ends cut off. Every one is read; some are upscaled, too. The
outcome must be frames or an error with a documented exit code, within a minute, without a traceback
and with the interpreter alive.
"""

import argparse
import collections
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.campaigns.common import Run, Table, write_model
from tests.conftest import write_clip
from vsr_cli.errors import VsrError
from vsr_cli.events import Event, Note
from vsr_cli.media.reading.reader import open_video

PATIENCE = 60  # seconds for one file
DOCUMENTED = {0, 2, 3, 4, 5, 6, 7, 8}
FORMATS = {
    "mp4": ("libx264", "aac"),
    "mkv": ("ffv1", "pcm_s16le"),
    "avi": ("mpeg4", "mp2"),
    "webm": ("libvpx-vp9", "libopus"),
    "ts": ("mpeg2video", "mp2"),
}


def mutate(data: bytes, other: bytes, source: random.Random) -> tuple[str, bytes]:
    """What was done, and what came of it."""
    kind = source.choice(["bits", "bytes", "cut off", "cut out", "repeated", "spliced", "header"])
    mutated = bytearray(data)
    size = len(data)
    start = source.randrange(size)
    length = source.randint(1, max(1, size // 8))
    if kind == "bits":
        for _ in range(source.choice([1, 5, 50, 500])):
            mutated[source.randrange(size)] ^= 1 << source.randrange(8)
    elif kind == "bytes":
        mutated[start : start + length] = source.randbytes(min(length, size - start))
    elif kind == "cut off":
        del mutated[start:]
    elif kind == "cut out":
        del mutated[start : start + length]
    elif kind == "repeated":
        mutated[start:start] = mutated[start : start + length]
    elif kind == "spliced":
        mutated[start:] = other[source.randrange(len(other)) :]
    else:
        for _ in range(source.choice([1, 3, 10])):
            place = source.randrange(min(size, 600))
            mutated[place] = source.choice([0, 0x7F, 0x80, 0xFF, source.randrange(256)])
    return kind, bytes(mutated)


@dataclass
class Outcome:
    """What became of one file."""

    kind: str  # of mutation
    code: int
    text: str

    @property
    def is_documented(self) -> bool:
        return self.code in DOCUMENTED and "Traceback" not in self.text


def read_all(paths: list[Path], results: IO[str]) -> None:
    """Read files one after the other, and write what became of each."""
    for path in paths:
        results.write(json.dumps(read(path)) + "\n")
        results.flush()


def read(path: Path) -> tuple[int, str]:
    """Exit code, and what there is to say."""
    codes: set[str] = set()

    def note(event: Event) -> None:
        if isinstance(event, Note):
            codes.add(event.code)

    try:
        with open_video(path) as video:
            count = sum(1 for _ in video.frames(report=note))
    except VsrError as error:
        return error.exit_code, str(error)
    except Exception as error:  # what nobody has foreseen is what is looked for
        return 1, f"{type(error).__name__}: {error}"
    return 0, f"{count} frames {' '.join(sorted(codes))}"


def read_apart(paths: list[Path]) -> Iterator[tuple[int, str]]:
    """Read files in a process that may die or hang; another goes on after that file."""
    num_read = 0
    while num_read < len(paths):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            with os.fdopen(writing, "w") as results:
                read_all(paths[num_read:], results)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as results:
            while select.select([results], [], [], PATIENCE)[0] and (line := results.readline()):
                code, text = json.loads(line)
                num_read += 1
                yield code, text
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if num_read < len(paths):
            num_read += 1
            yield os.waitstatus_to_exitcode(status), "hung, or the interpreter died"


def upscale(path: Path, model: Path) -> tuple[int, str]:
    """The whole command on one file."""
    target = path.with_name("out.mkv")
    options = f"-y --model {model} --steps 1 --device cpu --scale 1 --fresh"
    with Run(["upscale", path, target, *options.split()], path.parent) as run:
        try:
            code = run.wait(PATIENCE)
        except TimeoutError as error:
            return 124, str(error)
        target.unlink(missing_ok=True)
        return code, run.said()


def fuzz(
    folder: Path, name: str, *, num_files: int, num_upscaled: int, source: random.Random
) -> Iterator[Outcome]:
    """Mutate, read and upscale files of one container; what fails is kept in `folder`."""
    codec, sound = FORMATS[name]
    size = (32, 48)
    good = write_clip(
        folder / f"good.{name}", num_frames=12, size=size, codec=codec, audio=[sound]
    ).read_bytes()
    others = [path.read_bytes() for path in sorted(folder.glob("good.*"))]
    paths: list[Path] = []
    kinds: list[str] = []
    for index in range(num_files):
        kind, data = mutate(good, source.choice(others), source)
        paths.append(folder / f"bad-{index}.{name}")
        paths[-1].write_bytes(data)
        kinds.append(kind)
    for index, (code, text) in enumerate(read_apart(paths)):
        outcomes = [Outcome(kinds[index], code, text)]
        if index < num_upscaled:
            done = upscale(paths[index], folder / "tiny.safetensors")
            outcomes.append(Outcome(f"{kinds[index]}, upscaled", *done))
        yield from outcomes
        if all(outcome.is_documented for outcome in outcomes):
            paths[index].unlink()


def main() -> None:
    """Run the campaign and leave with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--per-format", type=int, default=110)
    parser.add_argument("--upscaled", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vsr-fuzz-"))
    write_model(folder)
    table, started = Table((6, 7, 44, 40)), time.monotonic()
    total = 0
    for name in FORMATS:
        source = random.Random(f"{arguments.seed} {name}")
        outcomes = list(
            fuzz(
                folder,
                name,
                num_files=arguments.per_format,
                num_upscaled=arguments.upscaled,
                source=source,
            )
        )
        total += arguments.per_format
        codes = collections.Counter(outcome.code for outcome in outcomes)
        bad = [outcome for outcome in outcomes if not outcome.is_documented]
        said = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
        table.add(name, len(outcomes), said, f"{len(bad)} not documented", good=not bad)
        for outcome in bad:
            sys.stdout.write(f"  {outcome.kind}: {outcome.code} {outcome.text[-300:]}\n")
    seconds = time.monotonic() - started
    left = sorted(path.name for path in folder.glob("bad-*"))
    kept = f"; kept in {folder}: {', '.join(left)}" if left else ""
    sys.stdout.write(f"{total} files in {seconds:.0f} s{kept}\n")
    sys.exit(0 if table.is_good else 1)


if __name__ == "__main__":
    main()
