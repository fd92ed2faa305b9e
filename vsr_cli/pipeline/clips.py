"""Frames <-> clips: where a video is cut along time. No model here."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

from vsr_cli.media.frame import Frame

IsCut = Callable[[Tensor, Tensor], bool]


class ClipState(Protocol):
    """All that a clip hands on to the next one of its shot."""

    def tensors(self) -> dict[str, Tensor]:
        """What it consists of, by names that only its own restorer understands."""

    def release(self) -> None:
        """Leave to the system what lies on disk; whoever reads through much of it calls this."""


@dataclass(frozen=True)
class RgbFrame:
    """A decoded frame as the model sees it.

    rgb: (3, H, W) in [-1, 1].
    header: the coded frame without its colours, that is its times, and its alpha if it has any;
        None where there is no file.
    thumbnail: what tells a cut; None where there is no file, and then it is made of `rgb`.
    """

    rgb: Tensor
    header: Frame | None = None
    thumbnail: Tensor | None = None

    @property
    def glance(self) -> Tensor:
        """What is looked at to tell a cut."""
        return self.rgb if self.thumbnail is None else self.thumbnail


@dataclass(frozen=True)
class Clip:
    """Neighbouring frames of one shot, worked on together.

    start: index in the video of the first frame held.
    frames: (T, 3, H, W) in [-1, 1].
    num_shared: how many of them, at the front, the clip before already held; 0 starts a shot.
    headers: of the frames that no earlier clip held, one for each; empty where there is no file.
    """

    start: int
    frames: Tensor
    num_shared: int
    headers: tuple[Frame, ...] = ()

    @property
    def fresh(self) -> range:
        """Indices in the video of the frames that no earlier clip held."""
        return range(self.start + self.num_shared, self.start + len(self.frames))


@dataclass(frozen=True)
class RestoredClip:
    """What a restorer has made of a clip's fresh frames.

    start: index in the source of the first of them.
    frames: each (3, H, W) in [-1, 1], of the target's size or larger; computed as they are taken,
        so that never more than one is held. The next clip takes what is left of them.
    headers: times and alpha of each frame; empty where there is no file.
    state: gives what the next clip of the shot needs, once all frames are taken; None where the
        shot ends. It holds until the next clip is asked for, which may write over it in place.
    starts_shot: whether nothing of an earlier clip has gone into it.
    """

    start: int
    frames: Iterator[Tensor]
    headers: tuple[Frame, ...]
    state: Callable[[], ClipState | None]
    starts_shot: bool = False


def num_shared_at(first: int, overlap: int, origin: int = 0) -> int:
    """How many frames before frame `first` a clip that begins with it needs, from `origin` on."""
    return min(first - origin, overlap)


def split_clips(
    frames: Iterable[RgbFrame],
    length: int,
    overlap: int,
    is_cut: IsCut,
    *,
    first: int = 0,
    origin: int = 0,
) -> Iterator[Clip]:
    """Group frames into clips that share `overlap` frames within a shot.

    Holds at most `length` frames. A clip never spans a cut and may be short at the end of a shot,
    but every clip has a frame that no earlier clip had.

    Args:
        frames: in order.
        length: frames in each clip.
        overlap: how many of them the clip before holds, too; less than `length`.
        is_cut: whether a shot ends between two neighbours, told from a glance at each.
        first: where to go on: earlier clips held the frames before this one. What they held last,
            `num_shared_at` frames, comes first in `frames`.
        origin: the frame up to that one with which all begins: it starts a shot.
    """
    remaining = iter(frames)
    shared = num_shared_at(first, overlap, origin)
    start = first - shared
    held = list(islice(remaining, shared))
    for frame in remaining:
        if held and is_cut(held[-1].glance, frame.glance):
            if len(held) > shared:
                yield _clip(start, held, shared)
            start, shared, held = start + len(held), 0, []
        held.append(frame)
        if len(held) == length:
            yield _clip(start, held, shared)
            start += length - overlap
            shared = overlap
            del held[: length - overlap]
    if len(held) > shared:
        yield _clip(start, held, shared)


def _clip(start: int, held: list[RgbFrame], num_shared: int) -> Clip:
    headers = tuple(frame.header for frame in held[num_shared:] if frame.header is not None)
    return Clip(start, torch.stack([frame.rgb for frame in held]), num_shared, headers)
