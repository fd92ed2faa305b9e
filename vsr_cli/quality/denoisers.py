"""Denoisers without a network, which restoring at the size of the source is compared with."""

import cv2
import numpy as np
import torch
from torch import Tensor

from vsr_cli.models.flow import DisFlow
from vsr_cli.ops.warp import backward_warp, visibility

_STRENGTH = 8.0  # of non-local means, in codes of 255, for luma and chroma alike
_PATCH, _SEARCHED = 5, 11  # pixels a side: what is compared, and where alike ones are looked for


def non_local_means(frames: Tensor) -> Tensor:
    """Each frame by itself through OpenCV's non-local means for colour pictures.

    Args:
        frames: (T, 3, H, W) in [-1, 1].

    Returns:
        (T, 3, H, W), on the 256 codes of 8-bit video.
    """
    codes = ((frames.float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    pictures = codes.flip(1).permute(0, 2, 3, 1).contiguous().numpy()  # (T, H, W, 3), BGR
    found = [
        cv2.fastNlMeansDenoisingColored(picture, None, _STRENGTH, _STRENGTH, _PATCH, _SEARCHED)
        for picture in pictures
    ]
    denoised = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).flip(1)
    return denoised.float() / 127.5 - 1


def motion_compensated_mean(frames: Tensor) -> Tensor:
    """Mean of each frame and its two neighbours along the flow, as far as these are visible.

    (x[t] + V_F[t] warp(x[t+1], F[t]) + V_G[t-1] warp(x[t-1], G[t-1])) / (1 + V_F[t] + V_G[t-1])

    Args:
        frames: (T, 3, H, W) in [-1, 1].

    Returns:
        (T, 3, H, W).
    """
    x = frames.float().cpu()
    forward, backward = (flow[0] for flow in DisFlow()(x[None]))
    visible_forward, visible_backward = visibility(forward, backward)
    total, weight = x.clone(), torch.ones_like(x[:, :1])
    total[:-1] += visible_forward * backward_warp(x[1:], forward)
    weight[:-1] += visible_forward
    total[1:] += visible_backward * backward_warp(x[:-1], backward)
    weight[1:] += visible_backward
    return total / weight
