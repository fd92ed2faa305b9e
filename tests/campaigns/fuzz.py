"""Reads broken files of every kind, and checks that each ends in a documented way.

    python -m tests.campaigns.fuzz [--reads 4000] [--upscales 300] [--only KIND] [--seed 0]

Small files of all containers that PyAV can write are damaged: blindly, and in their structure, as
in sizes, lengths, tables and times. Every one is probed and read; some are upscaled, too. The
outcome must be frames or an error with a documented exit code, within a minute and 3 GB, without a
traceback and with the interpreter alive. What fails is kept in `runs/fuzz`.
"""

import argparse
import collections
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.campaigns.common import Table, load_modules, write_model
from tests.campaigns.containers import KINDS, Kind, write_file
from tests.campaigns.mutate import mutate
from tests.campaigns.structures import READERS
from tests.campaigns.watched import Outcome, read_apart, upscale

KEPT = Path("runs/fuzz")
ODD = frozenset({4, 7})  # documented, but of a source that can be read there should be a target
ENDINGS = (".mkv", ".mkv", ".mp4", ".ts")  # of targets


@dataclass(frozen=True)
class Case:
    """A damaged file, and what became of it."""

    path: Path
    damage: str
    outcomes: tuple[Outcome, ...]

    @property
    def is_odd(self) -> bool:
        """Whether it was found out late that no target can be made of it."""
        return any(outcome.code in ODD for outcome in self.outcomes)

    @property
    def is_documented(self) -> bool:
        """Whether everything that was done with it ended well."""
        return all(outcome.is_documented for outcome in self.outcomes)


def write_damaged(
    kind: Kind, folder: Path, index: int, good: bytes, others: list[bytes], source: random.Random
) -> tuple[Path, str]:
    """A damaged file, of images now and then within a folder of good ones; what was done to it."""
    structure = READERS[kind.structure](good)
    damage, data = mutate(good, structure, kind.structure, source.choice(others), source)
    path = folder / f"bad-{index}.{kind.name}"
    if kind.name in ("png", "jpg") and index % 2:
        path = folder / f"bad-{index}"
        path.mkdir()
        for number in range(1, 4):
            content = data if number == 2 else good
            (path / f"{number:05}.{kind.name}").write_bytes(content)
    else:
        path.write_bytes(data)
    return path, damage


def fuzz(
    folder: Path, kind: Kind, *, num_reads: int, num_upscales: int, source: random.Random
) -> Iterator[Case]:
    """Damage, read and upscale files of one container, in `folder`, which holds good ones."""
    good = write_file(kind, folder).read_bytes()
    others = [path.read_bytes() for path in sorted(folder.glob("good.*"))]
    damaged = [
        write_damaged(kind, folder, index, good, others, source) for index in range(num_reads)
    ]
    outcomes = read_apart([path for path, _ in damaged])
    for index, ((path, damage), outcome) in enumerate(zip(damaged, outcomes, strict=True)):
        found = [outcome]
        if index < num_upscales:
            ending = ENDINGS[index % len(ENDINGS)]
            found.append(upscale(path, folder / "tiny.safetensors", ending))
        yield Case(path, damage, tuple(found))
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def keep(case: Case, seed: int) -> Path:
    """Keep what fails, by a name that says where it comes from."""
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"{case.path.stem}-seed{seed}{case.path.suffix}"
    if case.path.is_dir():
        shutil.copytree(case.path, kept, dirs_exist_ok=True)
    else:
        shutil.copy(case.path, kept)
    return kept


def run_kind(folder: Path, kind: Kind, table: Table, arguments: argparse.Namespace) -> None:
    """All files of one container, as a row of the table; and what was wrong."""
    source = random.Random(f"{arguments.seed} {kind.name}")
    codes: collections.Counter[int] = collections.Counter()
    slowest, wrong, odd, num_upscaled = 0.0, list[str](), list[str](), 0
    share = len(arguments.only or KINDS)
    num_reads, num_upscales = -(-arguments.reads // share), -(-arguments.upscales // share)
    for case in fuzz(folder, kind, num_reads=num_reads, num_upscales=num_upscales, source=source):
        codes.update(outcome.code for outcome in case.outcomes)
        num_upscaled += len(case.outcomes) - 1
        slowest = max(slowest, *(outcome.seconds for outcome in case.outcomes))
        if not case.is_documented or case.is_odd:
            kept = keep(case, arguments.seed)
            for index, outcome in enumerate(case.outcomes):
                if not outcome.is_documented or outcome.code in ODD:
                    what = "upscaled" if index else "read"
                    last = " ".join(outcome.text.split())[-300:]
                    line = f"  {kept} ({case.damage}), {what}: {outcome.code} {last}"
                    (odd if outcome.is_documented else wrong).append(line)
    said = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
    counts = f"{num_reads} read, {num_upscaled} upscaled"
    text = f"{len(wrong)} not documented, {len(odd)} odd, slowest {slowest:.1f} s"
    table.add(kind.name, counts, said, text, good=not wrong)
    for line in wrong + odd:
        sys.stdout.write(f"{line}\n")


def main() -> None:
    """Run the campaign and leave with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reads", type=int, default=4000)
    parser.add_argument("--upscales", type=int, default=300)
    parser.add_argument("--only", action="append", choices=[kind.name for kind in KINDS])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vsr-fuzz-"))
    write_model(folder)
    table, started = Table((6, 24, 44, 40)), time.monotonic()
    plain = write_file(KINDS[0], folder)
    options = "--steps 1 --device cpu --scale 1 --model tiny.safetensors"
    load_modules(["upscale", plain, "warm.mkv", *options.split()], folder)
    for kind in KINDS:
        if arguments.only is None or kind.name in arguments.only:
            run_kind(folder, kind, table, arguments)
    shutil.rmtree(folder)
    seconds = time.monotonic() - started
    good = sum(row[-1] == "ok" for row in table.rows)
    sys.stdout.write(f"{good} of {len(table.rows)} containers without a fault, {seconds:.0f} s\n")
    sys.exit(0 if table.is_good else 1)


if __name__ == "__main__":
    main()
