"""How far the units of a job are, told from its folder alone, whoever is at work on it."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vsr_cli.errors import JobBusyError, VsrError
from vsr_cli.pipeline.resume.folder import LOCK, MANIFEST, lock_folder
from vsr_cli.pipeline.resume.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class FoundUnit:
    """A unit of a job as one finds it."""

    index: int
    start: int  # frames, half-open
    stop: int
    num_done: int  # frames that need not be computed again
    is_complete: bool
    is_busy: bool  # a process has it


def list_units(folder: Path, manifest: Manifest) -> list[FoundUnit]:
    """All units of a job, in order; none, where it is not shared.

    Args:
        folder: of the job.
        manifest: that lies there.
    """
    found = []
    for unit in manifest.units.units if manifest.units else ():
        own, done, is_complete = folder / unit.folder_name, 0, False
        with suppress(VsrError):  # damaged: what is there does not count
            if (own / MANIFEST).exists():
                checkpoint = Manifest.read(own / MANIFEST).checkpoint
                done, is_complete = checkpoint.num_frames - unit.start, checkpoint.is_complete
        found.append(
            FoundUnit(
                index=unit.index,
                start=unit.start,
                stop=unit.stop,
                num_done=done,
                is_complete=is_complete,
                is_busy=not is_complete and is_busy(own),
            )
        )
    return found


def is_busy(folder: Path) -> bool:
    """Whether a process is at work in the folder of a job or of a unit."""
    if (folder / LOCK).exists():  # or else looking would make one
        try:
            with lock_folder(folder, patience=0):
                pass
        except JobBusyError:
            return True
        except VsrError:
            return False
    return False
