"""Holes in a block of frames closed with what other frames of the shot show."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from vsr_cli.cancellation import end_if_abandoned
from vsr_cli.models.rim import fill_from_rim
from vsr_cli.ops.fill import spread
from vsr_cli.ops.propagate import Carried, carry, merge
from vsr_cli.ops.warp import backward_warp
from vsr_cli.pipeline.repair.part import Motion, View
from vsr_cli.pipeline.repair.windows import Rectangle
from vsr_cli.pipeline.repair.workers import map_ahead
from vsr_cli.repair_config import Unseen

_HELD = 0.75  # share of the frame before where both are guessed
_ALIKE = 32 / 255  # difference up to which a guess is held
_LEAST_DOUBT = 0.02  # below which looking at the rim again would not be seen


@dataclass(frozen=True)
class Memory:
    """What is remembered of a frame's holes for the next frame of its shot.

    places: (N,) int64, indices of the pixels of its holes among those of the frame.
    values: (N, 2 C + 4): what was carried there, the finished pixel, and whether it is a guess.
    """

    places: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    values: Tensor | None = None

    @classmethod
    def joined(cls, memories: Sequence["Memory"]) -> "Memory":
        """That of several parts of a frame as one."""
        found = [memory for memory in memories if memory.values is not None]
        if not found:
            return cls()
        values = [memory.values for memory in found if memory.values is not None]
        return cls(torch.cat([memory.places for memory in found]), torch.cat(values))


@dataclass(frozen=True)
class Finished:
    """A part of a frame without its holes.

    carried: what the next frame takes over.
    picture: (1, C, h, w) in [0, 1].
    is_guess: (1, 1, h, w), 1 where no frame has shown what is there.
    """

    carried: Carried
    picture: Tensor
    is_guess: Tensor


def untouched(view: View) -> Carried:
    """What a frame shows by itself."""
    known = (~view.hole).float()
    return Carried(view.picture.float(), known, torch.zeros_like(known), known)


def close_holes(
    views: Mapping[int, View],
    motions: Mapping[int, Motion],
    block: range,
    before: Finished | None,
    weights: Tensor,
    unseen: Unseen,
    pool: Executor,
) -> Iterator[Finished]:
    """Close the holes of a block's frames, in order.

    Two sweeps hand on what is known: back from the last frame that is held, and forward from the
    frame before the block.

    Args:
        views: by index, of the block and of frames after it.
        motions: by the index of the earlier frame, between all of them, and from the frame before
            the block if there is one.
        block: indices.
        before: the frame before the block; None at the start of a shot.
        weights: (1, C, 1, 1) of the channels in an error.
        unseen: how what no frame shows is filled.
        pool: threads that fill, none of which this is.
    """
    carried = before.carried if before else None
    brought = _brought(views, motions, block, carried, weights)
    for one, picture in map_ahead(pool, partial(_filled, unseen=unseen), brought):
        if before is not None and one.hole.any():
            picture = _hold(picture, one.is_guess, before, motions[one.index - 1], weights)
        before = Finished(one.earlier, picture, one.is_guess)
        yield before


def remember(finished: Finished, view: View, part: Rectangle, width: int) -> Memory:
    """Keep of a part of a frame what is in its holes; `width` is that of the whole frame."""
    everything = torch.cat((finished.carried.stacked(), finished.picture, finished.is_guess), dim=1)
    rows, columns = view.hole[0, 0].nonzero(as_tuple=True)
    places = (rows + part.top) * width + columns + part.left
    return Memory(places, everything[0, :, rows, columns].T.contiguous())


def recall(memory: Memory, view: View, part: Rectangle, width: int) -> Finished:
    """What `remember` has kept of a frame, in a part that need not be the same."""
    start = untouched(view)
    picture = view.picture.float()
    everything = torch.cat((start.stacked(), picture, torch.zeros_like(start.had)), dim=1)
    if memory.values is not None:
        rows, columns = memory.places // width - part.top, memory.places % width - part.left
        height, breadth = picture.shape[-2:]
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < breadth)
        everything[0, :, rows[inside], columns[inside]] = memory.values[inside].T
    num_carried = picture.shape[1] + 3
    carried = Carried.unstacked(everything[:, :num_carried])
    return Finished(carried, everything[:, num_carried:-1], everything[:, -1:])


def _sweep_back(
    views: Mapping[int, View], motions: Mapping[int, Motion], block: range, weights: Tensor
) -> Iterator[tuple[int, Tensor]]:
    """What later frames show of the holes of the block's frames, (C + 3, N) of N pixels."""
    indices = sorted(index for index in views if index >= block.start)
    carried: Carried | None = None
    for index in reversed(indices):
        end_if_abandoned()
        view = views[index]
        if carried is None:
            carried = untouched(view)
        else:
            motion = motions[index]
            carried = carry(
                carried,
                view.picture.float(),
                view.hole.float(),
                motion.forward.float(),
                motion.seen_forward.float(),
                view.borne.float(),
                weights,
            )
        if index in block:
            yield index, carried.stacked()[0, :, view.hole[0, 0]]


def _restored(kept: Tensor, view: View) -> Carried:
    everything = untouched(view).stacked()
    everything[0, :, view.hole[0, 0]] = kept
    return Carried.unstacked(everything)


@dataclass(frozen=True)
class _Brought:
    """A part of a frame with what other frames have shown of it.

    index: of the frame.
    view: of the part.
    earlier: what frames before it have shown.
    picture: (1, C, h, w), with what frames before and after it have shown.
    hole: (1, 1, h, w), 1 where the part is masked.
    is_guess: (1, 1, h, w), 1 where no frame has shown what is there.
    doubt: (1, 1, h, w), see `merge`.
    """

    index: int
    view: View
    earlier: Carried
    picture: Tensor
    hole: Tensor
    is_guess: Tensor
    doubt: Tensor


def _brought(
    views: Mapping[int, View],
    motions: Mapping[int, Motion],
    block: range,
    carried: Carried | None,
    weights: Tensor,
) -> Iterator[_Brought]:
    """Hand on what is known from `carried`, and merge it with what later frames have shown."""
    later = dict(_sweep_back(views, motions, block, weights))
    for index in block:
        end_if_abandoned()
        view = views[index]
        hole = view.hole.float()
        if carried is None:
            carried = untouched(view)
        else:
            motion = motions[index - 1]
            carried = carry(
                carried,
                view.picture.float(),
                hole,
                motion.backward.float(),
                motion.seen_backward.float(),
                view.borne.float(),
                weights,
            )
        picture, is_guess, doubt = carried.values, torch.zeros_like(hole), hole
        if hole.any():
            other = _restored(later.pop(index), view)
            picture, is_guess, doubt = merge(carried, other, hole, view.borne.float())
        yield _Brought(index, view, carried, picture, hole, is_guess, doubt)


def _filled(brought: _Brought, unseen: Unseen) -> Tensor:
    """Fill what no frame has shown from its rim, and mix that into what came with errors.

    Telea's method draws edges on, Navier and Stokes's shades: the errors of one are not those of
    the other, and their mean is nearer to the truth than either on most clips.
    """
    view, picture, is_guess = brought.view, brought.picture, brought.is_guess
    if is_guess.any() and unseen == "blur":
        picture = torch.where(is_guess > 0, spread(picture, 1 - is_guess), picture)
    elif is_guess.any():
        telea = fill_from_rim(picture, is_guess, cell=view.cell)
        picture = (telea + fill_from_rim(picture, is_guess, method="ns", cell=view.cell)) / 2
    doubt = brought.doubt * (1 - is_guess)
    if float(doubt.max()) < _LEAST_DOUBT:
        return picture
    if unseen == "blur":
        rim = spread(picture, 1 - brought.hole)
    else:  # the view has been filled by Telea's method already
        ns = fill_from_rim(picture, brought.hole, method="ns", cell=view.cell)
        rim = (view.picture.float() + ns) / 2
    return torch.lerp(picture, rim, doubt)


def _hold(
    picture: Tensor, is_guess: Tensor, before: Finished, motion: Motion, weights: Tensor
) -> Tensor:
    """Keep guesses steady along the motion, so that they do not boil."""
    if not is_guess.any():
        return picture
    flow = motion.backward.float()
    warped = backward_warp(before.picture, flow)
    was_guess = backward_warp(before.is_guess, flow, outside="zeros")
    difference = ((warped - picture).abs() * weights).sum(1, keepdim=True)
    held = _HELD * is_guess * was_guess * motion.seen_backward * (difference < _ALIKE)
    return torch.lerp(picture, warped, held)
