"""How much room on disk unfinished work takes, and whether it is there."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from vsr_cli.config import JobConfig
from vsr_cli.errors import OutputError
from vsr_cli.media.writing.encoder_plan import EncoderPlan
from vsr_cli.pipeline.resume.folder import job_folder
from vsr_cli.pipeline.resume.output import chunk_length


@dataclass(frozen=True)
class DiskPlan:
    """Bytes of unfinished work.

    needed: at the most, beside the coded video, whose size nobody knows before.
    free: where it lies, when it was planned.
    is_mostly_states: whether most of it is what clips hand on, and not frames.
    """

    needed: int
    free: int
    is_mostly_states: bool = False

    def require(self, folder: Path) -> None:
        """Refuse to begin where it does not fit.

        Raises:
            OutputError: it does not.
        """
        if self.needed > self.free:
            less = "a smaller `--chunk-length`"
            if self.is_mostly_states:
                less = "fewer `--steps`, or `--dtype bfloat16`"
            raise OutputError(
                f"there is too little room in `{folder}`",
                why=f"unfinished work takes up to {self.needed / 1e9:.2f} GB, "
                f"{self.free / 1e9:.2f} GB are free",
                hint=f"free some, give `--job-dir` on another disk, or {less}",
            )

    def as_of_now(self, folder: Path) -> "DiskPlan":
        """The same with what is free by now; the folder exists."""
        return replace(self, free=shutil.disk_usage(folder).free)


def plan_disk(
    target: Path,
    coding: EncoderPlan,
    config: JobConfig,
    *,
    scratch_bytes: int,
    num_frames: int | None,
    num_workers: int = 1,
) -> DiskPlan:
    """Count what a job keeps at once: the frames of the open chunk, and what clips hand on.

    Args:
        target: of the job.
        coding: how its picture is coded.
        config: where and how work is kept.
        scratch_bytes: of what clips hand on, in all its copies.
        num_frames: of the target, if that is known.
        num_workers: that share the job, each with an open chunk of its own.
    """
    length = chunk_length(coding, config)
    if num_frames is not None:
        length = min(length, num_frames)
    frame_bytes = length * coding.frame_bytes
    needed = num_workers * (frame_bytes + scratch_bytes)
    folder = job_folder(target, config)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return DiskPlan(needed, free, is_mostly_states=scratch_bytes > frame_bytes)
