"""Breaks one line of the program at a time, and sees whether a test notices.

    python -m tests.campaigns.mutants [--list] [--only NAME ...]

Every change of `tests.campaigns.mutations` is made in a temporary copy of the tree, where the tests
that should notice are run. It fails where fewer than 85 % of the mutants are killed, where a mutant
cannot even be loaded, and where the program has moved on from under one.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.campaigns.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("vsr_cli", "tests", "pyproject.toml")
LEAST_SCORE = 0.85
PATIENCE = 600.0  # seconds for the tests of one mutant; whatever hangs for longer is noticed, too

# What the tests make of a mutant: they fail, they pass, or they cannot be run at all.
Verdict = Literal["killed", "survived", "broken"]


class MutationError(Exception):
    """The list of mutations does not fit the program, or the tests fail without any."""


@dataclass(frozen=True)
class Result:
    """What became of one mutant."""

    mutation: Mutation
    verdict: Verdict
    seconds: float


def misfits(mutations: Iterable[Mutation], root: Path = ROOT) -> list[str]:
    """Say, for each mutation that cannot be made, why."""
    found = []
    for mutation in mutations:
        count = (root / mutation.path).read_text(encoding="utf-8").count(mutation.old)
        if count != 1:
            found.append(f"{mutation.name}: its old text is in {mutation.path} {count} times")
        if mutation.old == mutation.new:
            found.append(f"{mutation.name}: it changes nothing")
    return found


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """A temporary copy of what a checkout's tests need."""
    with tempfile.TemporaryDirectory(prefix="vsr-mutants-") as name:
        copy = Path(name)
        for part in COPIED:
            if (root / part).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(root / part, copy / part, ignore=ignored)
            else:
                shutil.copy(root / part, copy / part)
        yield copy


@contextmanager
def mutated(copy: Path, mutation: Mutation) -> Iterator[None]:
    """Have a mutation made in a copy, and take it back afterwards."""
    path = copy / mutation.path
    original = path.read_text(encoding="utf-8")
    path.write_text(original.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(original, encoding="utf-8")


def run_tests(copy: Path, tests: Sequence[str]) -> Verdict:
    """Run some tests of a copy up to the first that fails."""
    # Compiled files are told by size and second of change, which a mutant may share.
    settings = {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    options = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    kinds = ["-m", "not gpu and not huge"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *kinds, *tests],
            cwd=copy,
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return "killed"
    verdicts: dict[int, Verdict] = {0: "survived", 1: "killed"}  # others: nothing was tested
    return verdicts.get(done.returncode, "broken")


def run_mutations(mutations: Sequence[Mutation], root: Path = ROOT) -> Iterator[Result]:
    """Try mutations one after the other; `root` itself is only read.

    Raises:
        MutationError: a mutation does not fit the program, or the tests fail without any.
    """
    if wrong := misfits(mutations, root):
        raise MutationError("\n".join(wrong))
    with copied(root) as copy:
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        if run_tests(copy, tests) != "survived":
            raise MutationError(f"the tests fail without any mutation: {' '.join(tests)}")
        for mutation in mutations:
            started = time.monotonic()
            with mutated(copy, mutation):
                verdict = run_tests(copy, mutation.tests)
            yield Result(mutation, verdict, time.monotonic() - started)


def score(results: Sequence[Result]) -> float:
    """The share of mutants that were killed."""
    return sum(result.verdict == "killed" for result in results) / len(results)


def is_good(results: Sequence[Result]) -> bool:
    """Whether enough mutants were killed, and all could be tried."""
    is_complete = all(result.verdict != "broken" for result in results)
    return is_complete and score(results) >= LEAST_SCORE


def main() -> None:
    """Run the campaign and leave with 1 if too many mutants survive."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="name the mutants and run nothing")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these mutants alone")
    arguments = parser.parse_args()
    if unknown := set(arguments.only or ()) - {mutation.name for mutation in MUTATIONS}:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [m for m in MUTATIONS if arguments.only is None or m.name in arguments.only]
    if arguments.list:
        for mutation in chosen:
            sys.stdout.write(f"{mutation.name:<34} {mutation.path}\n")
        return
    results = []
    try:
        for result in run_mutations(chosen):
            results.append(result)
            name, path = result.mutation.name, result.mutation.path
            sys.stdout.write(f"{name:<34} {result.verdict:<9} {result.seconds:5.1f} s  {path}\n")
            sys.stdout.flush()
    except MutationError as error:
        sys.exit(str(error))
    num_killed = sum(result.verdict == "killed" for result in results)
    sys.stdout.write(f"{num_killed} of {len(results)} killed, {100 * score(results):.1f} %\n")
    sys.exit(0 if is_good(results) else 1)


if __name__ == "__main__":
    main()
