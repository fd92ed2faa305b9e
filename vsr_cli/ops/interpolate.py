"""A frame between two others, made along the motion from one to the other."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_cli.ops.fill import complete
from vsr_cli.ops.warp import backward_warp, resize_flow, visibility, warp_adjoint

_REACHED = 0.05  # of a pixel's weight that has to arrive for its motion to count
_MEDIAN = 5  # pixels
_UNLIKENESS = 12.0  # exponent of the weight of a vector for an error of the whole range


@dataclass(frozen=True)
class Between:
    """Where a frame between two others finds its samples.

    flow_earlier, flow_later: (1, 2, h, w) pixels, from its own grid to the two frames.
    share_later: (1, 1, h, w) in [0, 1], of the later frame; the rest is the earlier one's.
    """

    flow_earlier: Tensor
    flow_later: Tensor
    share_later: Tensor

    def mix(self, earlier: Tensor, later: Tensor) -> Tensor:
        """The frame itself, of planes (1, C, H, W) of any size that shows the same picture.

        Look-ups are bicubic: bilinear ones soften what stands beside sharp frames, and lose up to
        4 dB where the motion is found exactly.
        """
        size = (earlier.shape[-2], earlier.shape[-1])
        share = self.share_later
        if share.shape[-2:] != size:
            share = F.interpolate(share, size, mode="bilinear", align_corners=False)
        found = [
            backward_warp(x, resize_flow(flow, size), look_up="bicubic")
            for x, flow in ((earlier, self.flow_earlier), (later, self.flow_later))
        ]
        return torch.lerp(found[0], found[1], share)

    def disagreement(self, earlier: Tensor, later: Tensor) -> float:
        """Return mean |A - B| / mean |a - b|: how unlike the frames stay along the motion.

        A and B are the planes (1, C, h, w) looked up where the motion says, a and b as they are; 1
        and more says that the motion explains nothing.
        """
        along = backward_warp(earlier, self.flow_earlier) - backward_warp(later, self.flow_later)
        return float(along.abs().mean() / (earlier - later).abs().mean().clamp(min=1e-9))


def between(
    earlier: Tensor, later: Tensor, flow_forward: Tensor, flow_backward: Tensor, time: float
) -> Between:
    """Find the motion at a time between two frames.

    Both flows are splatted to that time, each vector with a weight of exp(-12 |error|), error being
    what the frames differ by at its ends, so that what is in front wins where several arrive
    ("Softmax splatting", arXiv 2003.05534, eq. 9, with a fixed importance). Where none arrive the
    motion is completed from around. A pixel seen in one frame only comes from there: each frame
    counts by its nearness in time, times how much of its visible part has arrived. Motion and
    shares are median filtered, and shares softened, so that where motions meet one of them wins in
    a whole area instead of in scattered pixels.

    Args:
        earlier: (1, 1, h, w) luma in [0, 1].
        later: likewise.
        flow_forward: (1, 2, h, w) pixels from the earlier frame to the later one.
        flow_backward: the other way, on the later frame's grid.
        time: in (0, 1), 0 is the earlier frame.
    """
    seen_forward, seen_backward = visibility(flow_forward, flow_backward)
    motion_a, seen_a, weight_a = _splat(earlier, later, flow_forward, seen_forward, time)
    motion_b, seen_b, weight_b = _splat(later, earlier, flow_backward, seen_backward, 1 - time)
    total = weight_a + weight_b
    motion = (motion_a * weight_a - motion_b * weight_b) / total.clamp(min=1e-6)
    hole = (total == 0).float()
    if hole.any():
        motion = complete(motion, hole)
    share_a = (1 - time) * (0.02 + weight_a.clamp(max=1) * (0.15 + seen_a))
    share_b = time * (0.02 + weight_b.clamp(max=1) * (0.15 + seen_b))
    motion = _median(motion)
    share = _soften(_median(share_b / (share_a + share_b)))
    return Between(-motion * time, motion * (1 - time), share)


def _median(x: Tensor) -> Tensor:
    """The median of 5x5 pixels, of each plane (1, C, h, w) by itself."""
    planes = [cv2.medianBlur(np.ascontiguousarray(plane), _MEDIAN) for plane in x[0].numpy()]
    return torch.from_numpy(np.stack(planes))[None]


def _soften(x: Tensor) -> Tensor:
    """A plane (1, 1, h, w), blurred by a Gaussian of one pixel."""
    plane = np.ascontiguousarray(x[0, 0].numpy())
    return torch.from_numpy(cv2.GaussianBlur(plane, (0, 0), 1.0))[None, None]


def _splat(
    x: Tensor, other: Tensor, flow: Tensor, seen: Tensor, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Flow, visibility and weight as they arrive, after a share of the flow; weight 0: nothing."""
    weight = (-_UNLIKENESS * (backward_warp(other, flow) - x).abs()).exp()
    carried = torch.cat((flow * weight, seen * weight, weight), dim=1)
    arrived = warp_adjoint(carried, flow * share, outside="zeros")
    total = arrived[:, 3:]
    mean = arrived[:, :3] / total.clamp(min=1e-6)
    return mean[:, :2], mean[:, 2:], total * (total > _REACHED)
