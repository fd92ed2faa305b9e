"""Processes of this program that take lines through pipes, and write lines: no port is opened."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import vsr_cli


def start_process(module: str, threads: int | None) -> subprocess.Popen[bytes]:
    """Start a module of this package as a process, with pipes to it and from it.

    Args:
        module: its name.
        threads: of the CPU, that it may take; None: as many as it likes.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(threads),
        process_group=0 if os.name == "posix" else None,  # Ctrl-C is for the head
    )


def tell(process: subprocess.Popen[bytes], line: str) -> None:
    """Write a line to a process; if it has died, that is noticed elsewhere."""
    assert process.stdin is not None
    with suppress(OSError, ValueError):
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()


def close(process: subprocess.Popen[bytes]) -> None:
    """End the input of a process, which ends it at its next safe point."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process now."""
    close(process)
    process.kill()
    process.wait()


def _environment(threads: int | None) -> dict[str, str]:
    """That of a process: it finds this package, and takes no more threads than it may."""
    root = str(Path(vsr_cli.__file__).resolve().parents[1])
    paths = filter(None, [root, os.environ.get("PYTHONPATH")])
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if threads is not None:
        found |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return found
