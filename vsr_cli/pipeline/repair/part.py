"""A part of the picture with holes, over some frames of a shot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vsr_cli.media.frame import Frame, Plane
from vsr_cli.models.flow import DisFlow
from vsr_cli.models.rim import fill_from_rim
from vsr_cli.ops.color import luma
from vsr_cli.ops.fill import grow
from vsr_cli.ops.propagate import complete_motion, seen_both_ways, tolerance
from vsr_cli.pipeline.repair.windows import Rectangle
from vsr_cli.pixels import PixelLayout

_SMEARED = 2  # pixels around a hole that what is in it may have touched, for measuring motion


@dataclass(frozen=True)
class View:
    """What is visible in a part of one frame.

    picture: (1, C, h, w) in [0, 1], all channels as large as the luma, holes roughly filled.
    hole: (1, 1, h, w) bool.
    borne: (1, 1, h, w), see `tolerance`.
    cell: pixels in y and x that share a sample of chroma.
    """

    picture: Tensor
    hole: Tensor
    borne: Tensor
    cell: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Motion:
    """Motion between a frame and the next in a part, completed in holes.

    forward, backward: (1, 2, h, w) pixels; float16, as many are kept.
    seen_forward, seen_backward: (1, 1, h, w) bool.
    """

    forward: Tensor
    backward: Tensor
    seen_forward: Tensor
    seen_backward: Tensor


def channel_weights(layout: PixelLayout) -> Tensor:
    """How much each channel counts in an error that is to read as one of brightness."""
    weights = {"gray": [1.0], "rgb": [1 / 3] * 3, "yuv": [1.0, 0.5, 0.5]}[layout.kind]
    return torch.tensor(weights)[None, :, None, None]


def make_view(frame: Frame, mask: NDArray[np.bool_] | None, part: Rectangle) -> View:
    """Look at a part of a frame.

    Args:
        frame: as it is decoded.
        mask: (H, W), what is to be erased; None: nothing.
        part: a rectangle of it.
    """
    picture = read_part(frame, part)
    cell = _cell(frame.layout, 1)
    if mask is None or not (inside := mask[part.top : part.bottom, part.left : part.right]).any():
        hole = torch.zeros(1, 1, *picture.shape[-2:])
    else:
        hole = torch.from_numpy(np.ascontiguousarray(inside)).float()[None, None]
        # What is hidden has smeared over its rim: it must not lead the fill.
        smeared = grow(hole, _SMEARED)
        picture = torch.where(hole > 0, fill_from_rim(picture, smeared, cell=cell), picture)
    borne = tolerance(picture, hole, channel_weights(frame.layout))
    exact = torch.float16 if frame.layout.depth == 8 else torch.float32  # many are kept
    return View(picture.to(exact), hole > 0, borne.half(), cell)


def measure_motion(view: View, following: View, flow: DisFlow, layout: PixelLayout) -> Motion:
    """Motion between what two neighbouring frames show in the same part."""
    pair = torch.stack((_luma(view, layout), _luma(following, layout)), dim=1)  # (1, 2, 1, h, w)
    forward, backward = (x[0] for x in flow(pair.expand(-1, -1, 3, -1, -1)))
    hole, next_hole = view.hole.float(), following.hole.float()
    if hole.any() or next_hole.any():
        forward, backward = complete_motion(forward, backward, hole, next_hole)
    seen_forward, seen_backward = seen_both_ways(forward, backward)
    return Motion(forward.half(), backward.half(), seen_forward > 0, seen_backward > 0)


def _luma(view: View, layout: PixelLayout) -> Tensor:
    picture = view.picture.float() * 2 - 1
    return luma(picture) if layout.kind == "rgb" else picture[:, :1]


def read_part(frame: Frame, part: Rectangle) -> Tensor:
    """A part of a frame, (1, C, h, w) in [0, 1]; samples of coarser chroma are repeated."""
    layout, size = frame.layout, (part.bottom - part.top, part.right - part.left)
    planes = []
    for index, plane in enumerate(frame.planes[: layout.num_colors]):
        samples = torch.from_numpy(_slice(plane, part, _shifts(layout, index))).float()[None, None]
        cell = _cell(layout, index)
        if cell != (1, 1):
            samples = samples.repeat_interleave(cell[0], 2).repeat_interleave(cell[1], 3)
        planes.append(samples[..., : size[0], : size[1]])
    return torch.cat(planes, dim=1) / ((1 << layout.depth) - 1)


def write_part(
    planes: Sequence[Plane], layout: PixelLayout, part: Rectangle, picture: Tensor, weight: Tensor
) -> None:
    """Mix a part of a picture into planes, in place; where the weight is 0 samples stay.

    Args:
        planes: of a frame that may be written to.
        layout: of them.
        part: where.
        picture: (1, C, h, w) in [0, 1].
        weight: (1, 1, h, w) in [0, 1], of the picture.
    """
    top = (1 << layout.depth) - 1
    for index, plane in enumerate(planes[: layout.num_colors]):
        cell = _cell(layout, index)
        share, samples = weight, picture[:, index : index + 1]
        if cell != (1, 1):
            share = F.avg_pool2d(share, cell, ceil_mode=True, count_include_pad=False)
            total = F.avg_pool2d(samples * weight, cell, ceil_mode=True, count_include_pad=False)
            samples = total / share.clamp(min=1e-6)
        place = _slice(plane, part, _shifts(layout, index))
        old = torch.from_numpy(place.astype(np.float32))
        mixed = torch.lerp(old, samples[0, 0] * top, share[0, 0]).round().clamp(0, top)
        changed = share[0, 0].numpy() > 0
        place[changed] = mixed.numpy()[changed].astype(plane.dtype)


def feathered(hole: Tensor, width: int) -> Tensor:
    """Weights of a mask (1, 1, h, w) that rise over its outermost pixels, inside of it."""
    total = inside = hole.float()
    for _ in range(width):
        inside = 1 - grow(1 - inside, 1)
        total = total + inside
    return total / (width + 1)


def _shifts(layout: PixelLayout, index: int) -> tuple[int, int]:
    """By how many powers of two a plane is coarser, in y and x."""
    is_chroma = layout.kind == "yuv" and index in (1, 2)
    return (layout.shift_y, layout.shift_x) if is_chroma else (0, 0)


def _cell(layout: PixelLayout, index: int) -> tuple[int, int]:
    """How many pixels of the luma share a sample of a plane, in y and x."""
    y, x = _shifts(layout, index)
    return 1 << y, 1 << x


def _slice(plane: Plane, part: Rectangle, shifts: tuple[int, int]) -> Plane:
    """A view of a part of a plane; parts begin at whole cells, and end there or with the frame."""
    y, x = shifts
    bottom, right = -(-part.bottom >> y), -(-part.right >> x)
    return plane[part.top >> y : bottom, part.left >> x : right]
