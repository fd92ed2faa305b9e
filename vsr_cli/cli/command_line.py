"""The words that this program was started with."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vsr_cli.config import UpscaleConfig

_ANEW = ("--fresh",)  # would throw away what is to be gone on with


def command_to_go_on(words: Sequence[str] | None = None) -> str:
    """The command line that goes on with a job of this one.

    Args:
        words: of the command line, without the program; None: of this program.
    """
    given = list(sys.argv[1:] if words is None else words)
    end = given.index("--") if "--" in given else len(given)  # what follows are names
    kept = [word for word in given[:end] if word not in _ANEW]
    return shlex.join(["vsr", *kept, *given[end:]])


def as_operand(path: Path) -> str:
    """A path as a word that is never taken for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def with_command(config: UpscaleConfig) -> UpscaleConfig:
    """The same job, which knows the command that goes on with it, and from where."""
    command = f"{_change_to(Path.cwd())}{command_to_go_on()}"
    return replace(config, job=replace(config.job, command=command))


def from_here(command: str) -> str:
    """Leave out of such a command to change to the folder that one is in."""
    return command.removeprefix(_change_to(Path.cwd()))


def _change_to(folder: Path) -> str:
    return f"cd {shlex.quote(str(folder))} && "
