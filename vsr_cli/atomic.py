"""Files that appear complete or not at all, and outlive a power failure once they have."""

import errno
import itertools
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
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


@contextmanager
def create_when_complete(path: Path, *, replace: bool) -> Iterator[Path]:
    """Have a file written that gets a name which a user has chosen, in a folder of theirs.

    As `replace_when_complete`, but the name it has until then is one that nobody has.

    Args:
        path: the final name.
        replace: whether a file that has it gives way.

    Yields:
        The name to write to. The file is removed where the block fails.

    Raises:
        FileExistsError: the name is taken, and `replace` is false.
        OSError: the disk is full, or the folder takes no files.
    """
    temp = path.with_name(f".vsr-{secrets.token_hex(8)}")
    temp.touch(exist_ok=False)
    try:
        yield temp
        move_into_place(temp, path, replace=replace)
    except BaseException:
        with suppress(OSError):
            temp.unlink(missing_ok=True)
        raise


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two names are those of one file, or would be if there were one."""
    with suppress(OSError):
        if one.samefile(other):
            return True
    return one.absolute() == other.absolute()


def part_of(path: Path) -> Path:
    """The name beside `path` that a file has while it is incomplete."""
    return path.with_name(f"{path.name}.part")


def move_into_place(temp: Path, path: Path, *, replace: bool = True) -> None:
    """Give a complete file its name, when both its content and then its name are on disk.

    Args:
        temp: closed, and on the same disk as `path`.
        path: the final name.
        replace: whether a file that has it gives way; the new one then takes over its rights.

    Raises:
        FileExistsError: the name is taken, and `replace` is false.
        OSError: the disk is full, or the folder takes no files.
    """
    with temp.open("r+b") as file:
        os.fsync(file.fileno())
    if replace:
        with suppress(FileNotFoundError):
            temp.chmod(stat.S_IMODE(path.stat().st_mode))
        temp.replace(path)
    else:
        _rename_to_free_name(temp, path)
    sync_folder(path.absolute().parent)


def sync_folder_of_files(folder: Path) -> None:
    """Have all files in a folder on disk, and their names.

    Raises:
        OSError: the disk is full, or does not answer.
    """
    for path in folder.iterdir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    sync_folder(folder)


def move_folder_into_place(temp: Path, folder: Path) -> None:
    """Give a complete folder of files its name, which nobody has, once everything is on disk.

    Raises:
        OSError: the name is taken by more than an empty folder, or the disk is full.
    """
    sync_folder_of_files(temp)
    temp.replace(folder)
    sync_folder(folder.absolute().parent)


def move_files_into_place(temp: Path, folder: Path, names: Sequence[str]) -> None:
    """Move complete files into a folder in which nobody has their names, once all are on disk.

    Raises:
        FileExistsError: somebody has taken a name meanwhile.
        OSError: the disk is full, or the folder takes no files.
    """
    sync_folder_of_files(temp)
    for name in names:
        _rename_to_free_name(temp / name, folder / name)
    sync_folder(folder)


def free_name(path: Path) -> Path:
    """This name, or where it is taken the first of it with `-2`, `-3` and so on that is not."""
    for number in itertools.count(1):
        found = path if number == 1 else path.with_name(f"{path.name}-{number}")
        if not (found.exists() or found.is_symlink()):
            return found
    raise ValueError("numbers never end")


def _rename_to_free_name(temp: Path, path: Path) -> None:
    """Rename a file to a name that nobody has, even where somebody takes it at this moment."""
    try:
        os.link(temp, path, follow_symlinks=False)  # fails where the name is taken
    except FileExistsError:
        raise
    except OSError as error:  # file systems without hard links: as near as can be
        if path.exists() or path.is_symlink():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        temp.replace(path)
    else:
        temp.unlink()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk, where the system can.

    Raises:
        OSError: the disk is broken.
    """
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
