"""The folder of an unfinished job: one run at a time, and what the next one may go on from."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vsr_cli.config import JobConfig
from vsr_cli.digest import sha256
from vsr_cli.errors import InputError, JobDamagedError, OutputError, VsrError
from vsr_cli.media.containers import Container
from vsr_cli.media.writing.destination import output_errors
from vsr_cli.pipeline.resume.folder import (
    LOCK,
    MANIFEST,
    SUFFIX,
    is_job,
    job_folder,
    lock_folder,
    own_files,
    remove_job,
    remove_own_files,
    unit_folders,
)
from vsr_cli.pipeline.resume.journal import sha256_of_start
from vsr_cli.pipeline.resume.manifest import Manifest
from vsr_cli.pipeline.resume.unit_listing import FoundUnit, is_busy, list_units

# FFmpeg's names of containers whose picture can be joined from chunks: not raw video, nor images.
RESUMABLE = frozenset({"mp4", "mov", "matroska", "webm", "mpegts", "avi", "nut"})


@dataclass(frozen=True)
class Damage:
    """A file of a job that is not what was written."""

    name: str
    num_chunks: int  # before it, which are whole

    @property
    def why(self) -> str:
        """What is wrong, as a part of a message."""
        return f"`{self.name}` is not what was written"


class Job:
    """A folder that holds all that is not yet the target.

    folder: `manifest.json`, finished chunks, the journal of the open chunk, and the newest state.
    """

    def __init__(self, target: Path, folder: Path) -> None:
        self.target, self.folder = target, folder

    @property
    def manifest_path(self) -> Path:
        """Where it is written how far the job has come."""
        return self.folder / MANIFEST

    @property
    def temp(self) -> Path:
        """Where the target grows: here, unless the folder lies on another disk than the target.

        Raises:
            OutputError: one of the folders is gone.
        """
        folders = self.folder.parent, self.target.absolute().parent
        with output_errors(f"`{self.target}` cannot be written"):
            disks = {folder.stat().st_dev for folder in folders}
        if len(disks) == 1:
            return self.folder / f"target{self.target.suffix}"
        name = hashlib.sha256(os.fsencode(self.target.absolute())).hexdigest()[:12]
        return self.target.absolute().with_name(f".vsr-{name}{self.target.suffix}")

    def chunk_path(self, number: int) -> Path:
        """A finished chunk."""
        return self.folder / f"chunk_{number:06}.mkv"

    def journal_path(self, number: int) -> Path:
        """The frames of an unfinished one."""
        return self.folder / f"chunk_{number:06}.raw"

    def state_path(self, num_frames: int) -> Path:
        """What the clip that begins with this frame needs of the one before it."""
        return self.folder / f"state_{num_frames:09}.safetensors"

    def read(self) -> Manifest | None:
        """What an earlier run has left, None if nothing.

        Raises:
            JobDamagedError: it is damaged.
            InputError: it is of another version.
        """
        return Manifest.read(self.manifest_path) if self.manifest_path.exists() else None

    def check(self, manifest: Manifest) -> None:
        """Compare every file that a manifest refers to with what was written.

        Raises:
            JobDamagedError: one is missing or different.
            OutputError: one cannot be read now, which says nothing about what is in it.
        """
        if (damage := self.find_damage(manifest)) is not None:
            raise JobDamagedError(
                f"the unfinished job in `{self.folder}` is damaged",
                why=damage.why,
                hint="run the same command again, which computes it anew; and check the disk",
            )

    def find_damage(self, manifest: Manifest) -> "Damage | None":
        """Find the first file that a manifest refers to and that is not what was written.

        Raises:
            OutputError: one cannot be read now, which says nothing about what is in it.
        """
        checkpoint = manifest.checkpoint
        expected: list[tuple[str, int | None, str]] = [
            (record.name, None, record.sha256) for record in manifest.chunks
        ]
        if checkpoint.state and checkpoint.state_sha256:
            expected.append((checkpoint.state, None, checkpoint.state_sha256))
        if checkpoint.journal_sha256:
            journal = self.journal_path(len(manifest.chunks)).name
            expected.append((journal, checkpoint.journal_bytes, checkpoint.journal_sha256))
        for index, (name, num_bytes, digest) in enumerate(expected):
            path = self.folder / name
            try:
                found = sha256(path) if num_bytes is None else sha256_of_start(path, num_bytes)
            except FileNotFoundError:
                found = "missing"
            except OSError as error:  # a disk that does not answer now may do so later
                raise OutputError(
                    f"`{path}` cannot be read back",
                    why=error.strerror,
                    hint="check the disk; the unfinished job is kept",
                ) from error
            if found != digest:
                return Damage(name, min(index, len(manifest.chunks)))
        return None

    def note_written(self, path: Path) -> None:
        """Write down which file becomes the target, so that a job that is done is known as such.

        Raises:
            OutputError: the disk is full.
        """
        manifest = self.read()
        if manifest is not None:
            replace(manifest, written=_identity(path)).write(self.manifest_path)

    def chunks(self) -> list[Path]:
        """The finished chunks that count, in order.

        Raises:
            JobDamagedError: the manifest is damaged.
        """
        manifest = self.read()
        return [self.folder / record.name for record in manifest.chunks] if manifest else []

    def clear(self) -> None:
        """Remove everything that an earlier run has left.

        Raises:
            OutputError: it cannot be removed.
        """
        with output_errors(f"`{self.folder}` cannot be emptied"):
            self.manifest_path.unlink(missing_ok=True)  # first: without it the rest means nothing
        for unit in unit_folders(self.folder):
            remove_own_files(unit)
        self.keep_only(())

    def keep_only(self, names: tuple[str, ...]) -> None:
        """Remove what no checkpoint needs any more.

        Raises:
            OutputError: it cannot be removed.
        """
        with output_errors(f"`{self.folder}` cannot be emptied"):
            for path in own_files(self.folder):
                if path.name not in (*names, LOCK, self.manifest_path.name):
                    path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder: there is nothing to go on with, or nothing left to do."""
        remove_own_files(self.folder)


def is_resumable(source: Path, container: Container) -> bool:
    """Whether both ends allow it: a source that can be read again, and a target made of chunks."""
    return source.is_file() and not container.is_pipe and container.name in RESUMABLE


@contextmanager
def open_job(target: Path, config: JobConfig) -> Iterator[Job]:
    """Take the folder of a job, alone.

    It is removed again if nothing is in it that one could go on from.

    Raises:
        JobBusyError: another run has it.
        OutputError: it cannot be made.
    """
    folder = job_folder(target, config)
    with lock_folder(folder):
        job = Job(target, folder)
        if config.fresh:
            job.clear()
        try:
            yield job
        finally:
            if folder.exists() and not job.manifest_path.exists():
                job.remove()


@dataclass(frozen=True, kw_only=True)
class FoundJob:
    """An unfinished job as one finds it."""

    folder: Path
    source: str | None  # None: nothing is written down yet
    target: str | None  # likewise
    num_frames: int  # that are done
    num_all: int | None  # frames of the target; None: not known
    num_bytes: int  # on disk
    seconds: float  # since something was last written down
    command: str | None  # that goes on with it
    is_busy: bool


def find_jobs(folders: Sequence[Path], *, recursive: bool) -> list[FoundJob]:
    """The jobs in these folders.

    Raises:
        InputError: a folder cannot be read.
    """
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"`{folder}` is not a folder that exists", hint="check the path")
        pattern = f"*{SUFFIX}"
        for path in sorted(folder.rglob(pattern) if recursive else folder.glob(pattern)):
            with suppress(OSError):  # removed meanwhile
                if is_job(path):
                    found.append(_describe(path))
    return found


def remove_finished(target: Path, config: JobConfig) -> None:
    """Remove what is left of the job of a target that is complete.

    A run that is killed after it has given the target its name leaves the job behind. Only if the
    target is the very file that the job has written, the job goes; or if it has no manifest, as
    where a run was killed while it removed the job, because then nothing can be gone on with.
    """
    folder = job_folder(target, config)
    with suppress(VsrError, OSError):
        manifest = Job(target, folder).read()
        identity = _identity(target)
        if manifest is None or manifest.written == identity:
            remove_job(folder)


def _identity(path: Path) -> str:
    """What a file keeps when it is renamed, and shares with no other."""
    found = path.stat()
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


def _describe(folder: Path) -> FoundJob:
    manifest, units = None, list[FoundUnit]()
    with suppress(VsrError):  # damaged, or of another version: it can still be removed
        manifest = Job(Path(), folder).read()
    if manifest is not None:
        units = list_units(folder, manifest)
    found = [path.stat() for path in folder.rglob("*") if not path.is_dir()]
    latest = max((stat.st_mtime for stat in found), default=folder.stat().st_mtime)
    num_frames = manifest.checkpoint.num_frames if manifest else 0
    return FoundJob(
        folder=folder,
        source=manifest.path if manifest else None,
        target=manifest.target if manifest else None,
        num_frames=num_frames + sum(unit.num_done for unit in units),
        num_all=manifest.num_frames if manifest else None,
        num_bytes=sum(stat.st_size for stat in found),
        seconds=max(time.time() - latest, 0.0),
        command=manifest.command if manifest else None,
        is_busy=is_busy(folder) or any(unit.is_busy for unit in units),
    )
