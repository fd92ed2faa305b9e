"""The folder of a job: whose it is, who has it, and what of it may be removed."""

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vsr_cli.atomic import sync_folder
from vsr_cli.config import JobConfig
from vsr_cli.errors import InputError, JobBusyError, OutputError
from vsr_cli.media.writing.destination import output_errors

SUFFIX = ".vsr-job"
LOCK = "lock"  # held by the run that is at work
MANIFEST = "manifest.json"
PATIENCE = 0.1  # seconds to try for the lock, as a run that has just finished may yet remove it
LOOKS, PAUSE = 5, 0.02  # how often, and after how many seconds, to look again for what may go
NO_JOB = "it holds files and no job"
UNIT = "unit_"  # begins the name of the folder of a unit, which is a job in the job's folder
LONGEST_NAME = 255  # bytes, on every usual file system

# All that a job ever puts into its folder. Nothing else is removed, whatever the folder is called.
_OWN_NAME = re.compile(
    r"(lock|manifest\.json|target(\.[^/]*)?|chunk_\d{6,}\.(mkv|raw)|state_\d{9,}\.safetensors)(\.part)?"
)

_UNIT_NAME = re.compile(UNIT + r"\d{6,}")


def job_folder(target: Path, config: JobConfig) -> Path:
    """Where the files of a job lie: beside the target, or in the folder that the user named."""
    target = target.absolute()
    digest = hashlib.sha256(os.fsencode(target)).hexdigest()[:16]
    name = target.name + SUFFIX
    if config.folder is not None:
        name = f"{target.name[:100]}-{digest}{SUFFIX}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = digest + SUFFIX
    return (config.folder.absolute() if config.folder else target.parent) / name


def is_job(folder: Path) -> bool:
    """Whether a folder is of this program, and holds the lock or the manifest of a job."""
    names = (folder / LOCK, folder / MANIFEST)
    return _find_reason(folder) is None and any(name.exists() for name in names)


def remove_job(folder: Path) -> bool:
    """Remove a job unless it is at work; returns whether it is gone.

    Raises:
        InputError: the folder is not one of a job.
    """
    if not is_job(folder):
        raise InputError(f"`{folder}` is not the folder of a job", hint="see `vsr jobs list`")
    try:
        with lock_folder(folder):
            remove_own_files(folder)
    except JobBusyError:
        return False
    return True


@contextmanager
def lock_folder(folder: Path, *, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of a job, whose folder is made if there is none.

    Args:
        folder: of the job.
        patience: seconds to wait for another run that holds it.

    Raises:
        JobBusyError: another run holds it.
        OutputError: the folder cannot be made.
    """
    _require_own(folder)
    lock = FileLock(folder / LOCK, timeout=patience)
    with output_errors(f"`{folder}` cannot be made"):
        while not lock.is_locked:
            try:
                is_new = _make_folder(folder)
                lock.acquire()
                if is_new:
                    sync_folder(folder)  # by its lock the folder is known as a job's
            except FileNotFoundError:  # removed in between by the run that has just finished
                continue
            except FileExistsError:  # or while `mkdir` was looking at what is there
                if _is_no_folder(folder):
                    raise
            except Timeout as error:
                raise JobBusyError(
                    f"another run is at work on `{folder.name.removesuffix(SUFFIX)}`",
                    why=f"it holds `{folder}`",
                    hint="wait until it is done, or stop it",
                ) from error
    try:
        yield
    finally:
        lock.release()


def _make_folder(folder: Path) -> bool:
    """Make the folder of a job unless there is one; returns whether it was made.

    A power failure does not take it, nor what will be in it.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)  # frames are nobody else's to see
    for path in missing:
        sync_folder(path.parent)
    return bool(missing)


def _is_no_folder(path: Path) -> bool:
    """Whether something else than a folder has this name."""
    try:
        return not stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _require_own(folder: Path) -> None:
    """Refuse a folder that only has the name of a job's: what is in it is not ours to touch.

    Raises:
        OutputError: it is a link, belongs to another user, holds links, or holds files and is no
            job.
    """
    try:
        why = _find_reason(folder)
        for _ in range(LOOKS):
            if why != NO_JOB:
                break
            # A run that ends takes its lock while this one looks: then the rest goes, too.
            time.sleep(PAUSE)
            why = _find_reason(folder)
    except OSError:  # nothing is there yet, or any more; what else is wrong is said elsewhere
        return
    if why is not None:
        raise OutputError(
            f"`{folder}` is left alone", why=why, hint="move it away, or give `--job-dir FOLDER`"
        )


def _find_reason(folder: Path) -> str | None:
    """Why a folder is not ours, None if it is."""
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is no folder"
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        return "it belongs to another user"
    paths = list(folder.iterdir())
    for path in paths:
        if path.is_symlink():
            return f"`{path.name}` in it is a link"
    has_job = not paths or any(path.name in (LOCK, MANIFEST) for path in paths)
    return None if has_job else NO_JOB


def unit_folders(folder: Path) -> list[Path]:
    """The folders of units within that of a job."""
    with suppress(FileNotFoundError):
        found = (path for path in folder.iterdir() if _UNIT_NAME.fullmatch(path.name))
        return sorted(path for path in found if is_job(path))
    return []


def own_files(folder: Path) -> list[Path]:
    """What a job has put into its folder."""
    with suppress(FileNotFoundError):
        return [path for path in folder.iterdir() if _OWN_NAME.fullmatch(path.name)]
    return []


def remove_own_files(folder: Path) -> None:
    """Remove a job's files, and its folder unless somebody has put more into it.

    The manifest goes first, for without it the rest means nothing. The lock goes last, when the
    rest is gone for good, for without it nobody knows that the rest was a job's.
    """
    for unit in unit_folders(folder):
        remove_own_files(unit)
    lock = folder / LOCK
    names = sorted(own_files(folder), key=lambda path: path.name != MANIFEST)
    for path in (path for path in names if path != lock):
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        sync_folder(folder)
        lock.unlink(missing_ok=True)
        folder.rmdir()
