"""Exact resizing, padding and cropping of anything that ends in (height, width)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic resizing, anti-aliased when shrinking; exact to the pixel, odd sizes too.

    Works in float32 and returns the type of `x`. Bicubic overshoots at edges: clamp frames
    afterwards where [-1, 1] matters.

    Args:
        x: (..., h, w), any leading dimensions.
        size: (height, width) of the result.

    Returns:
        (..., height, width).
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    planes = x.float().reshape(1, -1, *x.shape[-2:])  # (1, N, h, w)
    resized = F.interpolate(planes, size=size, mode="bicubic", align_corners=False, antialias=True)
    return resized.reshape(*x.shape[:-2], *size).to(x.dtype)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeat the right and bottom edge until both sides are multiples of `multiple`.

    Args:
        x: (..., h, w), any leading dimensions; may be smaller than the padding.
        multiple: at least 1.

    Returns:
        (..., H, W); `crop` with the old size takes the padding off again.
    """
    if multiple < 1:
        raise ValueError(f"expected a multiple of 1 or more, got {multiple}")
    height, width = x.shape[-2:]
    bottom = math.ceil(height / multiple) * multiple - height
    right = math.ceil(width / multiple) * multiple - width
    if not bottom and not right:
        return x
    planes = x.reshape(1, -1, height, width)  # (1, N, h, w)
    padded = F.pad(planes, (0, right, 0, bottom), mode="replicate")
    return padded.reshape(*x.shape[:-2], *padded.shape[-2:])


def pad_by_reflection(x: Tensor, multiple: int) -> Tensor:
    """Mirror the right and bottom border until both sides are multiples of `multiple`.

    The border itself is not doubled. What is smaller than its padding is mirrored over and over.

    Args:
        x: (..., h, w), any leading dimensions.
        multiple: at least 1.

    Returns:
        (..., H, W); `crop` with the old size takes the padding off again.
    """
    if multiple < 1:
        raise ValueError(f"expected a multiple of 1 or more, got {multiple}")
    for dim in (-2, -1):
        length = x.shape[dim]
        padded = math.ceil(length / multiple) * multiple
        if padded == length:
            continue
        period = max(2 * length - 2, 1)
        places = torch.arange(padded, device=x.device) % period
        x = x.index_select(dim, torch.minimum(places, period - places).clamp(max=length - 1))
    return x


def crop(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Keep the top left (height, width) of x (..., h, w); a view, not a copy."""
    height, width = size
    if height > x.shape[-2] or width > x.shape[-1]:
        raise ValueError(f"cannot crop {tuple(x.shape[-2:])} to {(height, width)}")
    return x[..., :height, :width]
