"""Names that are no files: of standard output, of what is open already, and of addresses."""

import os
import re
from pathlib import Path

STDOUT = Path("-")
_STDOUT_NAMES = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})
_DESCRIPTORS = frozenset({"/dev/fd", "/proc/self/fd"})  # folders of what is open already


def is_stdout(path: Path) -> bool:
    """Whether a name stands for standard output, whatever it is connected to."""
    return os.path.normpath(path) in _STDOUT_NAMES


def is_descriptor(path: Path) -> bool:
    """Whether a name stands for something that this program was given open, as `/dev/fd/3`."""
    return os.path.normpath(path.parent) in _DESCRIPTORS


def address_of(path: Path) -> str | None:
    """The address that a name is, as `https://host/in.mp4`, of which a path keeps one slash."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/+", str(path))
    return None if match is None else f"{match[1]}://{str(path)[match.end() :]}"
