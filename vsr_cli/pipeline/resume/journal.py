"""Frames of an unfinished chunk on disk, as they went into the encoder.

An encoder's state cannot be saved. What can is what it was given: given the same frames again, a
new one writes the same chunk. The file lives for seconds where frames are fast, so that the system
mostly forgets it before a disk ever sees it.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np

from vsr_cli.errors import InputError
from vsr_cli.media.frame import Frame, Plane
from vsr_cli.media.resources import ResourceOwner
from vsr_cli.media.writing.destination import output_errors
from vsr_cli.media.writing.encoder_plan import EncoderPlan

_BLOCK = 2**20  # bytes that are read at once


@dataclass(frozen=True)
class FrameTime:
    """What a frame has beside its samples."""

    pts: int  # in units of `time_base`, as `duration`
    duration: int
    time_base: Fraction  # seconds
    interlaced: bool

    @classmethod
    def of(cls, frame: Frame) -> "FrameTime":
        """Return the times of a frame."""
        return cls(frame.pts, frame.duration, frame.time_base, frame.interlaced)


class FrameJournal(ResourceOwner):
    """Appends the samples of frames to a file that may hold some already."""

    def __init__(self, path: Path, plan: EncoderPlan, num_kept: int) -> None:
        """Open or create the file and drop all but its first frames.

        Raises:
            OutputError: the file cannot be written.
            InputError: it holds fewer frames than that.
        """
        super().__init__()
        self.path = path
        self.plan = plan
        with self._errors():
            self._file = path.open("r+b" if num_kept else "w+b")
        self._resources.callback(self.close)
        size = num_kept * plan.frame_bytes
        if os.fstat(self._file.fileno()).st_size < size:
            self._file.close()
            raise InputError(f"`{path}` is damaged", why="it is too short", hint="use `--fresh`")
        with self._errors():
            self._file.truncate(size)
            self._file.seek(0)
            self._digest = hashlib.sha256()
            while block := self._file.read(_BLOCK):
                self._digest.update(block)

    def append(self, frame: Frame) -> None:
        """Add the samples of a frame.

        Raises:
            OutputError: the disk is full.
        """
        with self._errors():
            for plane in frame.planes:
                data = np.ascontiguousarray(plane).data
                self._file.write(data)
                self._digest.update(data)

    @property
    def sha256(self) -> str:
        """Hex digest of all frames in the file."""
        return self._digest.hexdigest()

    def sync(self) -> None:
        """Have everything on disk, so that it outlives a power failure."""
        with self._errors():
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file, which stays."""
        with self._errors():
            self._file.close()

    def _errors(self) -> AbstractContextManager[None]:
        return output_errors(f"`{self.path}` cannot be written")


def read_journal(path: Path, plan: EncoderPlan, times: Sequence[FrameTime]) -> Iterator[Frame]:
    """The first frames of a journal, one for each of `times`.

    Raises:
        InputError: the file does not hold them.
    """
    dtype = np.uint8 if plan.layout.depth == 8 else np.uint16
    try:
        with path.open("rb") as file:
            for time in times:
                planes: list[Plane] = []
                for height, width in plan.layout.plane_shapes(*plan.size):
                    samples = np.fromfile(file, dtype, height * width)
                    planes.append(cast(Plane, samples.reshape(height, width)))
                yield Frame(
                    planes=tuple(planes),
                    layout=plan.layout,
                    color=plan.color,
                    pts=time.pts,
                    duration=time.duration,
                    time_base=time.time_base,
                    interlaced=time.interlaced,
                )
    except (OSError, ValueError) as error:
        raise InputError(
            f"`{path}` cannot be read back", why=str(error), hint="use `--fresh` to start anew"
        ) from error


def sha256_of_start(path: Path, num_bytes: int) -> str:
    """Hex digest of the first bytes of a file, of fewer if it holds fewer.

    Raises:
        OSError: it cannot be read.
    """
    found = hashlib.sha256()
    with path.open("rb") as file:
        while num_bytes and (block := file.read(min(_BLOCK, num_bytes))):
            found.update(block)
            num_bytes -= len(block)
    return found.hexdigest()
