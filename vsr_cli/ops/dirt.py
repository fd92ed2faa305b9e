"""Specks and scratches that are there for one frame."""

import torch.nn.functional as F
from torch import Tensor

from vsr_cli.ops.fill import grow

_CONTRAST = 1.0  # of what the neighbours vary by around a pixel, beside the threshold
_AGREE, _AGREE_OF_SPIKE = 0.5, 0.25  # shares by which the neighbours may differ from each other
_WEAK = 0.5  # of the threshold: enough beside what passes it
_SPREAD = 3  # pixels around a strong place within which weak ones belong to it
_CALM = 10 / 255  # difference up to which the neighbours agree in flat places
_LEAST_RADIUS, _RADII = 8, 16  # of what is around: pixels, and in the smaller side
_FEWEST = 3 / 9  # of a pixel and its neighbours: fewer are noise


def find_dirt(
    picture: Tensor, earlier: Tensor, later: Tensor, threshold: float, unrest: float
) -> Tensor:
    """Find what differs from both neighbours in time, which agree, in one direction.

    The spike test of Kokaram, "Motion Picture Restoration" (Springer 1998), section 6.1, with the
    sign of the difference as in the SDIp detector:

        s = min(|x - b|, |x - f|) > t,  (x - b)(x - f) > 0,  |b - f| <= t / 2 + s / 4

    in any channel; b and f are the neighbours along the motion, and t is the threshold and the
    contrast of the calmer of them, since in texture motion that is right leaves some error. Single
    pixels are noise. Around what passes, half of t is enough. Where the neighbours
    disagree around, something moves that motion does not follow, as limbs do: that is no dirt.

    Args:
        picture: x, (1, C, h, w) in [0, 1].
        earlier: b, the frame before, looked up along the motion.
        later: f, the frame after it, likewise.
        threshold: in the units of `picture`.
        unrest: share of what is around, up to which the neighbours may disagree.

    Returns:
        (1, 1, h, w), 1 where there is dirt, else 0.
    """
    before, after = picture - earlier, picture - later
    spike = before.abs().minimum(after.abs()) * (before * after > 0)
    contrast = _contrast(earlier).minimum(_contrast(later))
    least = threshold + _CONTRAST * contrast
    agree = (earlier - later).abs() <= _AGREE * least + _AGREE_OF_SPIKE * spike
    excess = (spike * agree / least).amax(1, keepdim=True)
    strong = (excess > 1).float() * _is_calm(earlier, later, contrast, unrest)
    strong = strong * (F.avg_pool2d(strong, 3, 1, 1) >= _FEWEST - 1e-3)
    weak = (excess > _WEAK).float()
    return (strong + weak * grow(strong, _SPREAD)).clamp(max=1)


def _is_calm(earlier: Tensor, later: Tensor, contrast: Tensor, unrest: float) -> Tensor:
    """Where the neighbours agree around, (1, 1, h, w) of zeros and ones."""
    radius = max(_LEAST_RADIUS, min(earlier.shape[-2:]) // _RADII)
    differ = (earlier - later).abs() > _CALM + _AGREE * contrast
    differ = differ.any(1, keepdim=True).float()
    share = F.avg_pool2d(differ, 2 * radius + 1, 1, radius, count_include_pad=False)
    return (share < unrest).float()


def _contrast(x: Tensor) -> Tensor:
    """How much (1, C, h, w) varies around each pixel."""
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
    detail = (x - F.avg_pool2d(padded, 5, 1)).abs()
    return F.avg_pool2d(detail, 9, 1, 4, count_include_pad=False)
