"""Files that appear complete or not at all, and outlive a power failure once they have."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replace_when_complete(path: Path) -> Iterator[Path]:
    """Have a file written beside `path`, and give it that name if the block ends without error.

    Yields:
        The name to write to. The file is removed where the block fails.

    Raises:
        OSError: the disk is full, or the folder takes no files.
    """
    part = part_of(path)
    try:
        yield part
        move_into_place(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def part_of(path: Path) -> Path:
    """The name beside `path` that a file has while it is incomplete."""
    return path.with_name(f"{path.name}.part")


def move_into_place(temp: Path, path: Path) -> None:
    """Give a complete file its name, when both its content and then its name are on disk.

    Args:
        temp: closed, and on the same disk as `path`.
        path: the final name; a file that has it is replaced.

    Raises:
        OSError: the disk is full, or the folder takes no files.
    """
    with temp.open("r+b") as file:
        os.fsync(file.fileno())
    temp.replace(path)
    _sync_folder(path.absolute().parent)


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
