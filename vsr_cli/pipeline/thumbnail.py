"""The whole picture at a glance, cheap enough to look at every frame of a film."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr_cli.media.frame import Frame, Plane
from vsr_cli.ops.yuv import to_rgb

SIZE = (36, 64)  # what `is_cut` looks at


def thumbnail(frame: Frame) -> Tensor:
    """The colours of a frame, (3, 36, 64) RGB in [-1, 1].

    Codes are added up as whole numbers, so that it is the same on every machine.
    """
    layout = replace(frame.layout, shift_x=0, shift_y=0, has_alpha=False)
    planes = [_shrunken(plane) for plane in frame.planes[: layout.num_colors]]
    return to_rgb(planes, layout, frame.color)


def _shrunken(plane: Plane) -> Tensor:
    """The mean of the area around each of 36 x 64 places, in codes."""
    tops, bottoms = _areas(plane.shape[0], SIZE[0])
    lefts, rights = _areas(plane.shape[1], SIZE[1])
    rows = [
        plane[top:bottom].sum(0, dtype=np.uint32)
        for top, bottom in zip(tops.tolist(), bottoms.tolist(), strict=True)
    ]
    up_to = np.zeros((SIZE[0], plane.shape[1] + 1), np.int64)  # sums of all to the left
    np.cumsum(np.stack(rows), axis=1, out=up_to[:, 1:])
    sums = up_to[:, rights] - up_to[:, lefts]
    means = sums / ((bottoms - tops)[:, None] * (rights - lefts))
    return torch.from_numpy(means.astype(np.float32))


@lru_cache
def _areas(length: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each of `count` parts of an axis starts and ends; they overlap where it is short."""
    index = np.arange(count, dtype=np.int64)
    return index * length // count, -(-(index + 1) * length // count)
