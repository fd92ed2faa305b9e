"""Frames as repairs see them: luma for motion, planes to write."""

from typing import cast

import numpy as np
import torch
from torch import Tensor

from vsr_cli.media.frame import Frame, Plane
from vsr_cli.ops.color import luma


def to_tensor(plane: Plane, depth: int) -> Tensor:
    """The codes of a plane as (1, 1, H, W) float32 in [0, 1]."""
    return torch.from_numpy(plane).float()[None, None] / ((1 << depth) - 1)


def to_plane(x: Tensor, depth: int) -> Plane:
    """The inverse of `to_tensor`, rounded and clipped."""
    top = (1 << depth) - 1
    codes = (x[0, 0] * top).round().clamp(0, top).to(torch.int32).numpy()
    return cast(Plane, codes.astype(np.uint8 if depth == 8 else np.uint16))


def luma_of(frame: Frame) -> Tensor:
    """Luma as it is coded, (1, 1, H, W) in [0, 1]; of RGB its weighted sum."""
    planes = [to_tensor(plane, frame.layout.depth) for plane in frame.planes[:3]]
    if frame.layout.kind != "rgb":
        return planes[0]
    return luma(torch.cat(planes, dim=1))
