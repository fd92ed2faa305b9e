"""Frames <-> clips: where a video is cut along time. No model here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from vsr_cli.config import ClipConfig

IsCut = Callable[[Tensor, Tensor], bool]


@dataclass(frozen=True)
class Clip:
    """Neighbouring frames of one shot, worked on together.

    start: index in the video of the first frame held.
    frames: (T, 3, H, W) in [-1, 1].
    num_shared: how many of them, at the front, the clip before already held; 0 starts a shot.
    """

    start: int
    frames: Tensor
    num_shared: int

    @property
    def fresh(self) -> range:
        """Indices in the video of the frames that no earlier clip held."""
        return range(self.start + self.num_shared, self.start + len(self.frames))


def num_shared_at(first: int, config: ClipConfig) -> int:
    """How many frames before frame `first` a clip that begins with it needs."""
    return min(first, config.overlap)


def cut_clips(
    frames: Iterable[Tensor], config: ClipConfig, is_cut: IsCut, *, first: int = 0
) -> Iterator[Clip]:
    """Group frames (3, H, W) into clips that share `config.overlap` frames within a shot.

    Holds at most `config.length` frames. A clip never spans a cut and may be short at the end
    of a shot, but every clip has a frame that no earlier clip had.

    Args:
        frames: in order.
        config: how long clips are.
        is_cut: whether a shot ends between two neighbours.
        first: where to go on: earlier clips held the frames before this one. What they held last,
            `num_shared_at` frames, comes first in `frames`.
    """
    remaining = iter(frames)
    shared = num_shared_at(first, config)
    start = first - shared
    held = list(islice(remaining, shared))
    for frame in remaining:
        if held and is_cut(held[-1], frame):
            if len(held) > shared:
                yield Clip(start, torch.stack(held), shared)
            start, shared, held = start + len(held), 0, []
        held.append(frame)
        if len(held) == config.length:
            yield Clip(start, torch.stack(held), shared)
            start += config.stride
            shared = config.overlap
            del held[: config.stride]
    if len(held) > shared:
        yield Clip(start, torch.stack(held), shared)
