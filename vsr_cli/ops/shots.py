"""Telling a scene cut from motion, flashes and fades, from two frames."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_cli.ops.color import luma

_SIZE = (36, 64)  # both frames are compared at this size: noise and detail average out
_BLOCK = (9, 8)  # 4 x 8 blocks
_REACH = (9, 16)  # how far a block may have moved: a quarter of the frame per frame
_BINS = 4  # per colour channel
_NOISE = 0.01  # standard deviation below which a block counts as flat; white is 1

# Chosen on 119 continuous clips (3.8 thousand neighbouring pairs) and 920 joins of different ones.
# Change: at most 0.052 within clips, at least 0.070 over joins. Unlikeness: at least 0.146 over
# joins; it only has to hold back changes of light, which hardly touch the correlation.
_MIN_CHANGE = 0.062
_MIN_UNLIKENESS = 0.12
_HISTOGRAM_SHARE = 0.1


def is_cut(previous: Tensor, current: Tensor) -> bool:
    """Whether a new shot starts with `current`.

    Every block of `current` is looked for around its place in `previous`. A cut needs both

        change = mean |best match - block| + 0.1 histogram distance > 0.062
        unlikeness = 1 - mean correlation with the most alike block   > 0.12

    Motion, also a fast pan, leaves little change once the block is found; flashes, fades and
    exposure change the brightness but correlate, unless they wash the picture out. A dissolve has
    no cut; a structured frame after a black one is a cut.

    Args:
        previous: (3, h, w) in [-1, 1], any size.
        current: the same shape, the next frame.
    """
    if previous.ndim != 3 or previous.shape != current.shape or previous.shape[0] != 3:
        raise ValueError(
            f"expected two frames (3, h, w), got {tuple(previous.shape)}, {tuple(current.shape)}"
        )
    pair = torch.stack((previous, current)).float().add(1).mul(0.5).clamp(0, 1)
    if pair.shape[-2:] != _SIZE:
        pair = F.interpolate(pair, size=_SIZE, mode="area")
    light = luma(pair)[:, 0]  # (2, h, w)
    colour_change = _HISTOGRAM_SHARE * _histogram_distance(pair)
    if (light[0] - light[1]).abs().mean() + colour_change <= _MIN_CHANGE:
        return False  # looking for a better match can only lower the change
    change, unlikeness = _match_blocks(light[0], light[1])
    return bool(change + colour_change > _MIN_CHANGE and unlikeness > _MIN_UNLIKENESS)


def _histogram_distance(pair: Tensor) -> Tensor:
    """Half the L1 distance, 0 to 1, of the joint colour histograms of (2, 3, h, w) in [0, 1]."""
    levels = (pair * _BINS).long().clamp(max=_BINS - 1)
    colours = (levels[:, 0] * _BINS + levels[:, 1]) * _BINS + levels[:, 2]
    # Not by `one_hot`, which is so large that torch shares it among threads: on a busy machine
    # these wait for each other ten times as long as the rest of the test takes.
    counts = [torch.bincount(row, minlength=_BINS**3) / row.numel() for row in colours.flatten(1)]
    return (counts[0] - counts[1]).abs().sum() / 2


def _match_blocks(previous: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over blocks of the least difference and of the least decorrelation, of luma (h, w)."""
    reach_y, reach_x = _REACH
    padded = F.pad(previous[None], (reach_x, reach_x, reach_y, reach_y), mode="replicate")[0]
    # candidates: (block row, block column, y, x, shift down, shift right)
    candidates = padded.unfold(0, _BLOCK[0], 1).unfold(1, _BLOCK[1], 1)
    candidates = candidates.unfold(0, 2 * reach_y + 1, _BLOCK[0])
    candidates = candidates.unfold(1, 2 * reach_x + 1, _BLOCK[1])
    blocks = current.unfold(0, _BLOCK[0], _BLOCK[0]).unfold(1, _BLOCK[1], _BLOCK[1])
    blocks = blocks[..., None, None]

    difference = (candidates - blocks).abs().mean((2, 3))  # (rows, columns, down, right)
    centred = blocks - blocks.mean((2, 3), keepdim=True)
    product = (candidates * centred).mean((2, 3))
    spread = candidates.square().mean((2, 3)) - candidates.mean((2, 3)).square()
    noise = _NOISE**2  # two flat blocks are alike
    scale = (spread.clamp(min=0) + noise) * (centred.square().mean((2, 3)) + noise)
    correlation = (product + noise) / scale.sqrt()
    return difference.amin((2, 3)).mean(), 1 - correlation.amax((2, 3)).mean()
