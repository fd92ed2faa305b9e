"""Motion guidance as the code published with arXiv 2312.00853 has it, to be compared with.

It differs from the paper (`motion.guide_paper`): the flow of each pair is that of the pair beside
it, two terms are left without a warp, the loss is a mean, and its gradient is scaled by the log of
the variance, whose sign is turned round again by a negative factor.
"""

import torch
from torch import Tensor

from vsr_cli.diffusion.motion import Motion, motion_gradient, motion_loss
from vsr_cli.ops.warp import backward_warp

STRENGTH = 10.0
_LEAST_VARIANCE = 1e-20


def reference_motion(flow_forward: Tensor, flow_backward: Tensor) -> Motion:
    """Motion whose loss is the released one.

    Visible is what passes the forward-backward check of `ops.warp.visibility`, but zero flow is
    found outside the frame, and leaving it is no reason for doubt.

    Args:
        flow_forward: (B, T-1, 2, h, w), on the latent grid.
        flow_backward: the same shape.
    """
    return shift_pairs(
        Motion(
            flow_forward,
            flow_backward,
            _returns_home(flow_forward, flow_backward),
            _returns_home(flow_backward, flow_forward),
        )
    )


def shift_pairs(motion: Motion) -> Motion:
    """Flow one pair off, as released: F[t+1] in the place of F[t], G[t-1] in that of G[t].

    At the ends nothing is left to shift in. There flow leads so far out of the frame that the
    warp finds nothing but zeros, and the term is the published |V z|.
    """
    far = torch.full_like(motion.flow_forward[:, :1], 2.0 * sum(motion.flow_forward.shape[-2:]))
    return Motion(
        torch.cat([motion.flow_forward[:, 1:], far], dim=1),
        torch.cat([far, motion.flow_backward[:, :-1]], dim=1),
        motion.visible_forward,
        motion.visible_backward,
    )


def reference_loss(latents: Tensor, motion: Motion) -> Tensor:
    """The loss of latents (1, T, C, h, w) along what `reference_motion` returned."""
    return motion_loss(latents, motion, outside="zeros") / latents[:, 0].numel()


def guide_reference(noisy_latents: Tensor, motion: Motion, *, scale: float, sigma: float) -> Tensor:
    """The released step: z - (-10 scale) log(sigma^2) grad(loss).

    Args:
        noisy_latents: (1, T, C, h, w), already stepped to the next time.
        motion: from `reference_motion`.
        scale: 1 as released, 0 changes nothing.
        sigma: of the noise of that step; 0 counts as 1e-10.
    """
    if noisy_latents.shape[1] == 1:
        return noisy_latents
    log_variance = torch.tensor(max(sigma**2, _LEAST_VARIANCE)).log().item()
    gradient = motion_gradient(noisy_latents, motion, outside="zeros")
    return noisy_latents + STRENGTH * scale * log_variance * gradient / noisy_latents[:, 0].numel()


def _returns_home(there: Tensor, back: Tensor) -> Tensor:
    """1 where there and back again leads home: (B, T-1, 2, h, w) -> (B, T-1, 1, h, w)."""
    there, pairs = there.float().flatten(0, 1), there.shape[:2]
    back = back.float().flatten(0, 1)
    gap = there + backward_warp(back, there, outside="zeros")
    lengths = there.norm(dim=1, keepdim=True) + back.norm(dim=1, keepdim=True)
    return (gap.norm(dim=1, keepdim=True) <= 0.01 * lengths + 0.5).float().unflatten(0, pairs)
