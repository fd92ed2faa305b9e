"""Specks and scratches that are there for one frame."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vsr_cli.ops.fill import grow

_CONTRAST = 1.0  # of what the neighbours vary by around a pixel, beside the threshold
_AGREE, _AGREE_OF_SPIKE = 0.5, 0.25  # shares by which the neighbours may differ from each other
_WEAK = 0.5  # of the threshold: enough beside what passes it
_SPREAD = 3  # pixels around a strong place within which weak ones belong to it
_CALM = 10 / 255  # difference up to which the neighbours agree in flat places
_LEAST_RADIUS, _RADII = 8, 16  # of what is around: pixels, and in the smaller side
_REACH, _LEAST_REACH, _MOST_REACH = 1 / 6, 12, 64  # of the smaller side, pixels: how far it moves
_RIM = 2  # pixels around a place that belong to what it looks like
_LIKE = 0.5  # of the squared difference from what is behind: less is the same thing elsewhere
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


def without_things(
    dirt: Tensor, picture: Tensor, behind: Tensor, neighbors: tuple[Tensor, Tensor]
) -> Tensor:
    """Leave out places that show something which the neighbours show elsewhere.

    A hand that moves faster than the flow can follow is there for one frame, like dirt; but other
    frames show it nearby, where this frame shows something else by now. For each connected place,
    the best match (squared difference of luma) is looked for in both neighbours, up to a sixth of
    the smaller side away, wherever they differ from the frame by as much.

    Args:
        dirt: (1, 1, h, w), 1 where there may be dirt.
        picture: (1, C, h, w) in [0, 1], luma first.
        behind: likewise, what would be put there.
        neighbors: the frames before and after it, looked up along the motion.

    Returns:
        (1, 1, h, w), less of `dirt`.
    """
    x, ground = _luma(picture), _luma(behind)
    frames = [_luma(neighbor) for neighbor in neighbors]
    height, width = x.shape
    reach = round(min(max(_REACH * min(height, width), _LEAST_REACH), _MOST_REACH))
    areas = (dirt[0, 0].numpy() > 0).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(areas, connectivity=8)
    for label in range(1, count):
        left, top, wide, tall, _ = stats[label]
        rows = slice(max(top - _RIM, 0), top + tall + _RIM)
        columns = slice(max(left - _RIM, 0), left + wide + _RIM)
        patch = x[rows, columns]
        energy = float(np.square(patch - ground[rows, columns]).sum())
        around = tuple(
            slice(max(part.start - reach, 0), part.stop + reach) for part in (rows, columns)
        )
        windows = [(frame[around], x[around]) for frame in frames]
        if any(_is_found(patch, *window, _LIKE * energy) for window in windows):
            areas[labels == label] = 0
    return torch.from_numpy(areas).float()[None, None]


def _is_found(
    patch: NDArray[np.float32],
    window: NDArray[np.float32],
    current: NDArray[np.float32],
    limit: float,
) -> bool:
    """Whether a window shows a patch where the current frame does not show the same as it.

    `limit` is the sum of squared differences that tells likeness from unlikeness.
    """
    tall, wide = patch.shape
    unlike = cv2.matchTemplate(window, patch, cv2.TM_SQDIFF)
    totals = cv2.integral(np.square(window - current))
    changed = totals[tall:, wide:] - totals[:-tall, wide:] - totals[tall:, :-wide]
    changed += totals[:-tall, :-wide]
    return bool(((unlike < limit) & (changed > limit)).any())


def _luma(x: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(x[0, 0].float().numpy())


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
