"""What the processes of a job are, and what they have open."""

from contextlib import suppress
from pathlib import Path


def children(parent: int) -> list[int]:
    """Those that any thread of a process has started."""
    texts = (path.read_text() for path in Path(f"/proc/{parent}/task").glob("*/children"))
    return [int(word) for text in texts for word in text.split()]


def links(pid: int) -> list[str]:
    """The files and sockets that a process has open."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(str(path.readlink()))
    return found
