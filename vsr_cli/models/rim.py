"""Holes in one picture closed from their rim."""

from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

_FLAGS = {"telea": cv2.INPAINT_TELEA, "ns": cv2.INPAINT_NS}
_TOP = 65535  # OpenCV rounds, even where it is given floats
_RADIUS = 4.0  # pixels that are looked at around each that is filled


def fill_from_rim(
    picture: Tensor, hole: Tensor, *, method: Literal["telea", "ns"] = "telea"
) -> Tensor:
    """Carry the rim of holes inwards, each channel by itself.

    Telea, "An image inpainting technique based on the fast marching method", Journal of Graphics
    Tools 9 (2004); or Bertalmio et al., "Navier-Stokes, fluid dynamics, and image and video
    inpainting", CVPR 2001.

    Args:
        picture: (1, C, h, w) float32 in [0, 1].
        hole: (1, 1, h, w), 1 where it is to be filled, else 0.
        method: Telea's, or Navier and Stokes's.

    Returns:
        (1, C, h, w); `picture` outside of holes.
    """
    mask = (hole[0, 0] > 0).to(torch.uint8).contiguous().numpy()
    if not mask.any():
        return picture
    codes = (picture[0].float() * _TOP).round().clamp(0, _TOP).numpy().astype(np.uint16)
    filled = [
        cv2.inpaint(np.ascontiguousarray(channel), mask, _RADIUS, _FLAGS[method])
        for channel in codes
    ]
    found = torch.from_numpy(np.stack(filled).astype(np.float32))[None] / _TOP
    return torch.where(hole > 0, found, picture)
