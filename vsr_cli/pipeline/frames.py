"""The pipeline without files: low-resolution frames in, enlarged ones out."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Report, ignore
from vsr_cli.ops.resize import resize
from vsr_cli.ops.shots import is_cut
from vsr_cli.pipeline.clips import Clip, ClipState, RestoredClip, RgbFrame, split_clips

if TYPE_CHECKING:  # a job without a model loads none of this
    from vsr_cli.pipeline.restorers.base import Restorer
    from vsr_cli.pipeline.restorers.registry import ModelFile


def restore_frames(
    frames: Iterable[RgbFrame],
    restorer: "Restorer",
    *,
    scene_cut: bool,
    first: int = 0,
    origin: int = 0,
    state: ClipState | None = None,
    first_index: int = 0,
) -> Generator[RestoredClip, None, None]:
    """LR frames -> clips of SR frames, each frame once.

    They have the target's size, or are larger ones of the same shape: a model enlarges by whole
    numbers.

    Args:
        frames: from the start, or from what `split_clips` needs to go on at `first`.
        restorer: planned for frames of this size.
        scene_cut: whether to start afresh where shots end.
        first: index of the frame to go on with.
        origin: index of the frame with which all begins; it starts a shot.
        state: what the clip before it handed on.
        first_index: that frame 0 has for the restorer, whose noise depends on it.
    """
    clips = _split(frames, restorer, scene_cut=scene_cut, first=first, origin=origin)
    if not first_index:
        yield from restorer.restore(clips, state)
        return
    numbered = (replace(clip, start=clip.start + first_index) for clip in clips)
    for restored in restorer.restore(numbered, state):
        yield replace(restored, start=restored.start - first_index)


def split_frames(frames: Tensor, restorer: "Restorer", *, scene_cut: bool) -> Iterator[Clip]:
    """Cut frames (T, 3, H, W) in [-1, 1] into the clips that a restorer takes."""
    return _split(map(RgbFrame, frames), restorer, scene_cut=scene_cut)


def join_frames(clips: Iterable[RestoredClip], size: tuple[int, int]) -> Tensor:
    """All frames (T, 3, H, W), of (height, width), float32 on the CPU."""
    return torch.stack(
        [resize(frame, size).float().cpu() for clip in clips for frame in clip.frames]
    )


def frame_restorer(
    model: "ModelFile", config: UpscaleConfig, *, report: Report = ignore
) -> Callable[[Tensor], Tensor]:
    """Return a function that maps LR frames (T, 3, H, W) in [-1, 1] to SR frames on the CPU.

    They have the target's size. The function plans anew for each size it is given.

    Args:
        model: which one.
        config: from `ModelFile.resolve`.
        report: receives notes of how scarce memory is coped with.
    """

    def restore(lr_frames: Tensor) -> Tensor:
        lr_size = (lr_frames.shape[-2], lr_frames.shape[-1])
        restorer = model.restorer(config, model.plan(config, lr_size), report)
        frames = map(RgbFrame, lr_frames)
        with closing(restore_frames(frames, restorer, scene_cut=config.scene_cut)) as clips:
            return join_frames(clips, config.target_size(*lr_size))

    return restore


def _split(
    frames: Iterable[RgbFrame],
    restorer: "Restorer",
    *,
    scene_cut: bool,
    first: int = 0,
    origin: int = 0,
) -> Iterator[Clip]:
    looks = scene_cut and restorer.splits_shots
    length, overlap = restorer.clip_length, restorer.clip_overlap
    cut_test = is_cut if looks else _never
    return split_clips(frames, length, overlap, cut_test, first=first, origin=origin)


def _never(previous: Tensor, current: Tensor) -> bool:
    return False
