"""Warping along optical flow: look-up, its adjoint, resizing of flow, visibility."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Outside = Literal["border", "zeros"]  # what a flow that leaves the frame finds there
LookUp = Literal["bilinear", "bicubic"]

_FIXED_POINT = 2.0**40  # 2^40 times up to 2^22 pixels still fits an int64


def backward_warp(
    x: Tensor, flow: Tensor, *, outside: Outside = "border", look_up: LookUp = "bilinear"
) -> Tensor:
    """Look `x` up where the flow points: out(p) = x(p + flow(p)).

    The arithmetic is float32 (float64 for float64), whatever the type of `x`, because a grid in
    half precision is off by whole pixels.

    Args:
        x: (N, C, h, w), any float type.
        flow: (N, 2, h, w) in pixels, channel 0 right, 1 down.
        outside: what is seen outside the frame, the nearest border pixel or zero.
        look_up: between pixels; bicubic (a = -0.75) keeps detail, and may overshoot.

    Returns:
        (N, C, h, w) in the type of `x`.
    """
    _require_match(x, flow)
    height, width = x.shape[-2:]
    wide = x if x.dtype == torch.float64 else x.float()
    columns, rows = _positions(flow.to(wide.dtype))
    grid = torch.stack(
        (columns * (2 / max(width - 1, 1)) - 1, rows * (2 / max(height - 1, 1)) - 1), dim=-1
    )
    warped = F.grid_sample(wide, grid, mode=look_up, padding_mode=outside, align_corners=True)
    return warped.to(x.dtype)


def warp_adjoint(y: Tensor, flow: Tensor, *, outside: Outside = "border") -> Tensor:
    """Transpose of `backward_warp` in its first argument: <warp(x), y> = <x, adjoint(y)>.

    Every value is splatted onto the four pixels it would have been read from. On a GPU the sums
    are made in fixed point, because float atomics add in any order and one seed must give one
    video.

    Args:
        y: (N, C, h, w), any float type.
        flow: (N, 2, h, w) in pixels, as given to `backward_warp`.
        outside: likewise.

    Returns:
        (N, C, h, w) in the type of `y`.
    """
    _require_match(y, flow)
    height, width = y.shape[-2:]
    wide = y if y.dtype == torch.float64 else y.float()
    columns, rows = _positions(flow.to(wide.dtype))
    # With zeros outside, one pixel around the frame is all that can reach into it.
    margin = 0 if outside == "border" else 1
    columns = columns.clamp(-margin, width - 1 + margin)
    rows = rows.clamp(-margin, height - 1 + margin)
    left, top = columns.floor(), rows.floor()
    to_right, to_bottom = columns - left, rows - top

    indices, weights = [], []
    for row, row_weight in ((top, 1 - to_bottom), (top + 1, to_bottom)):
        for column, column_weight in ((left, 1 - to_right), (left + 1, to_right)):
            weight = row_weight * column_weight
            nearest_row, nearest_column = row.clamp(0, height - 1), column.clamp(0, width - 1)
            if outside == "zeros":
                weight = weight * ((nearest_row == row) & (nearest_column == column))
            index = nearest_row.long() * width + nearest_column.long()
            indices.append(index.flatten(1))  # (N, h*w), as the weights
            weights.append(weight.flatten(1))
    splat = _splat_fixed if y.is_cuda else _splat_float
    return splat(wide.flatten(2), indices, weights).reshape(y.shape).to(y.dtype)


def resize_flow(flow: Tensor, size: tuple[int, int], *, antialias: bool = True) -> Tensor:
    """Bring a flow to another grid: its values are pixels, so they are scaled too.

    Args:
        flow: (..., 2, h, w) in pixels of its own grid, any leading dimensions.
        size: (height, width) of the new grid.
        antialias: False looks at two by two pixels alone, however much smaller the new grid is.

    Returns:
        (..., 2, height, width) float32 in pixels of the new grid.
    """
    height, width = flow.shape[-2:]
    resized = F.interpolate(
        flow.float().reshape(-1, 2, height, width),  # (N, 2, h, w)
        size=size,
        mode="bilinear",
        align_corners=False,
        antialias=antialias,
    )
    ratio = resized.new_tensor([size[1] / width, size[0] / height])
    return (resized * ratio[:, None, None]).reshape(*flow.shape[:-2], *size)


def visibility(flow_forward: Tensor, flow_backward: Tensor) -> tuple[Tensor, Tensor]:
    """Where each flow can be trusted: there and back again leads home, inside the frame.

    visible(p) = |F(p) + G(p + F(p))| <= 0.01 (|F(p)| + |G(p + F(p))|) + 0.5, and p + F(p) lies in
    the frame; the same with F and G exchanged for the other direction.

    Args:
        flow_forward: (..., 2, h, w) float32 pixels, from a frame to the next, on the first's grid.
        flow_backward: the same shape, from the next frame back, on the next one's grid.

    Returns:
        visible_forward, visible_backward: (..., 1, h, w) float32, 1 trusted, 0 not.
    """
    if flow_forward.shape != flow_backward.shape:
        raise ValueError(
            f"flows differ in shape: {tuple(flow_forward.shape)}, {tuple(flow_backward.shape)}"
        )
    forward = flow_forward.float().reshape(-1, *flow_forward.shape[-3:])  # (N, 2, h, w)
    backward = flow_backward.float().reshape(-1, *flow_backward.shape[-3:])
    shape = (*flow_forward.shape[:-3], 1, *flow_forward.shape[-2:])
    return (
        _returns_home(forward, backward).reshape(shape),
        _returns_home(backward, forward).reshape(shape),
    )


def _returns_home(there: Tensor, back: Tensor) -> Tensor:
    """Forward-backward and border check of `there`, (N, 2, h, w) -> (N, 1, h, w)."""
    height, width = there.shape[-2:]
    back = backward_warp(back, there)
    gap = _length(there + back)
    length = _length(there) + _length(back)
    columns, rows = _positions(there)
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    return ((gap <= 0.01 * length + 0.5) & inside).float()[:, None]


def _length(flow: Tensor) -> Tensor:
    """Length of every vector, (N, 2, h, w) -> (N, h, w)."""
    return (flow[:, 0].square() + flow[:, 1].square()).sqrt()


def _positions(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row p + flow(p) of every pixel, each (N, h, w)."""
    height, width = flow.shape[-2:]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)
    return flow[:, 0] + columns, flow[:, 1] + rows[:, None]


def _splat_float(y: Tensor, indices: list[Tensor], weights: list[Tensor]) -> Tensor:
    """Add y (N, C, P) times each weights (N, P) to the pixels in each indices (N, P)."""
    total = torch.zeros_like(y)
    for index, weight in zip(indices, weights, strict=True):
        total.scatter_add_(2, index[:, None].expand_as(y), y * weight[:, None])
    return total


def _splat_fixed(y: Tensor, indices: list[Tensor], weights: list[Tensor]) -> Tensor:
    """`_splat_float` with integer sums, which do not depend on the order of addition."""
    unit = _FIXED_POINT / y.abs().amax().double().clamp(min=1e-30)
    total = torch.zeros_like(y, dtype=torch.int64)
    for index, weight in zip(indices, weights, strict=True):
        fixed = ((y * weight[:, None]).double() * unit).round().long()
        total.scatter_add_(2, index[:, None].expand_as(y), fixed)
    return (total.double() / unit).to(y.dtype)


def _require_match(x: Tensor, flow: Tensor) -> None:
    if x.ndim != 4 or flow.shape != (x.shape[0], 2, *x.shape[-2:]):
        raise ValueError(
            f"expected x (N, C, h, w) and flow (N, 2, h, w), got {tuple(x.shape)} and "
            f"{tuple(flow.shape)}"
        )
