"""Holes in one picture closed from their rim."""

from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_FLAGS = {"telea": cv2.INPAINT_TELEA, "ns": cv2.INPAINT_NS}
_TOP = 65535  # OpenCV rounds, even where it is given floats
_RADIUS = 4.0  # pixels that are looked at around each that is filled


def fill_from_rim(
    picture: Tensor,
    hole: Tensor,
    *,
    method: Literal["telea", "ns"] = "telea",
    cell: tuple[int, int] = (1, 1),
) -> Tensor:
    """Carry the rim of holes inwards, each channel by itself.

    Telea, "An image inpainting technique based on the fast marching method", Journal of Graphics
    Tools 9 (2004); or Bertalmio et al., "Navier-Stokes, fluid dynamics, and image and video
    inpainting", CVPR 2001.

    Args:
        picture: (1, C, h, w) float32 in [0, 1].
        hole: (1, 1, h, w), 1 where it is to be filled, else 0.
        method: Telea's, or Navier and Stokes's.
        cell: pixels in y and x that share a sample of all channels but the first, as where chroma
            is coarser; such a sample is filled where any of its pixels is.

    Returns:
        (1, C, h, w); `picture` outside of holes.
    """
    if not hole.any():
        return picture
    hole = (hole > 0).float()
    if cell == (1, 1) or picture.shape[1] == 1:
        found = _filled(picture, hole, method)
    else:
        coarse = F.avg_pool2d(picture[:, 1:].float(), cell, ceil_mode=True, count_include_pad=False)
        coarse_hole = F.max_pool2d(hole, cell, ceil_mode=True)
        fine = _filled(coarse, coarse_hole, method)
        fine = fine.repeat_interleave(cell[0], 2).repeat_interleave(cell[1], 3)
        height, width = picture.shape[-2:]
        found = torch.cat((_filled(picture[:, :1], hole, method), fine[..., :height, :width]), 1)
    return torch.where(hole > 0, found, picture)


def _filled(x: Tensor, hole: Tensor, method: str) -> Tensor:
    """Fill the holes (1, 1, h, w) of x (1, C, h, w), and round the rest."""
    mask = hole[0, 0].to(torch.uint8).numpy()
    rows, columns = _around(mask.max(1)), _around(mask.max(0))  # all that is looked at
    mask = np.ascontiguousarray(mask[rows, columns])
    codes = (x[0].float() * _TOP).round().clamp(0, _TOP).numpy().astype(np.uint16)
    for channel in codes:
        inside = np.ascontiguousarray(channel[rows, columns])
        channel[rows, columns] = cv2.inpaint(inside, mask, _RADIUS, _FLAGS[method])
    return torch.from_numpy(codes.astype(np.float32))[None] / _TOP


def _around(is_hole: NDArray[np.uint8]) -> slice:
    """Where holes are along one side, and as far around as samples are looked at."""
    places, margin = is_hole.nonzero()[0], int(_RADIUS) + 2
    return slice(max(int(places[0]) - margin, 0), int(places[-1]) + margin + 1)
