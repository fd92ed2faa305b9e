"""Holes in pictures and in flow closed from their surroundings."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_COARSEST = 4  # pixels of the smaller side, where push-pull turns round
_LEAST = 1e-3  # of weight, below which a place of a level knows nothing
_NUM_SWEEPS = 40


def spread(x: Tensor, known: Tensor) -> Tensor:
    """Carry what is known to every pixel, from coarse to fine (push-pull).

    Pushing halves sums of weighted values and of weights, as normalised convolution does (Gortler
    et al., "The Lumigraph", SIGGRAPH 1996, section 3.4); pulling keeps each level's mean where
    there is any weight, and takes the coarser one elsewhere.

    Args:
        x: (N, C, h, w) float32; values where nothing is known do not count.
        known: (N, 1, h, w) float32 weights, 0 or more.

    Returns:
        (N, C, h, w): known values stay, all others come from near them; 0 where nothing is known.
    """
    levels = [(x * known, known)]
    while min(levels[-1][0].shape[-2:]) > _COARSEST:
        sums, weights = levels[-1]
        levels.append(
            (F.avg_pool2d(sums, 2, ceil_mode=True), F.avg_pool2d(weights, 2, ceil_mode=True))
        )
    sums, weights = levels.pop()
    total = weights.sum((-2, -1), keepdim=True)
    mean = sums.sum((-2, -1), keepdim=True) / total.clamp(min=1e-12)
    found = torch.where(weights > _LEAST, sums / weights.clamp(min=1e-12), mean)
    for sums, weights in reversed(levels):
        coarse = F.interpolate(found, sums.shape[-2:], mode="bilinear", align_corners=False)
        found = torch.where(weights > _LEAST, sums / weights.clamp(min=1e-12), coarse)
    return found


def complete(x: Tensor, hole: Tensor) -> Tensor:
    """Close holes smoothly: `spread`, then sweeps towards the solution of Laplace's equation.

    Args:
        x: (N, C, h, w) float32.
        hole: (N, 1, h, w), 1 where `x` is to be replaced, else 0.

    Returns:
        (N, C, h, w): `x` outside of holes.
    """
    found = torch.where(hole > 0, spread(x, 1 - hole), x)
    rows, columns = (hole > 0).any(3).nonzero()[:, 2], (hole > 0).any(2).nonzero()[:, 2]
    if not len(rows):
        return found
    top, bottom = max(int(rows.min()) - 1, 0), int(rows.max()) + 2
    left, right = max(int(columns.min()) - 1, 0), int(columns.max()) + 2
    part = found[..., top:bottom, left:right]  # all that changes, and its rim
    share = hole[..., top:bottom, left:right] / 4
    kept = part * (1 - 4 * share)
    for _ in range(_NUM_SWEEPS):
        padded = F.pad(part, (1, 1, 1, 1), mode="replicate")
        around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
        around += padded[..., 1:-1, :-2]
        around += padded[..., 1:-1, 2:]
        part = torch.addcmul(kept, around, share)
    found[..., top:bottom, left:right] = part
    return found


def grow(mask: Tensor, radius: int) -> Tensor:
    """Widen a mask (N, 1, h, w) of zeros and ones by so many pixels, in a square."""
    if radius < 1:
        return mask
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    ones = mask[:, 0].to(torch.uint8).contiguous().numpy()
    grown = np.stack([cv2.dilate(one, square) for one in ones])
    return torch.from_numpy(grown)[:, None].to(mask.dtype)
