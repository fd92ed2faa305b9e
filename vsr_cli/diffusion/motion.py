"""The pull along the flow: neighbouring latents agree where the motion is known."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_cli.ops.warp import Outside, backward_warp, resize_flow, visibility, warp_adjoint

HUBER_DELTA = 0.5  # latents have unit variance; a larger residual is more likely wrong flow
TRUSTED_SHARE = 0.75  # of the area of a coarse pixel that must be visible


@dataclass(frozen=True)
class Motion:
    """Flow and visibility of the T-1 neighbouring pairs of a clip, on one grid.

    Flow is (B, T-1, 2, h, w) float32 in pixels of that grid, visibility (B, T-1, 1, h, w), 1
    where the flow is trusted and 0 elsewhere. Index t is the pair of frames t and t+1.
    """

    flow_forward: Tensor  # F, from t to t+1, on the grid of t
    flow_backward: Tensor  # G, from t+1 to t, on the grid of t+1
    visible_forward: Tensor  # V_F
    visible_backward: Tensor  # V_G

    def __post_init__(self) -> None:
        b, pairs, _, height, width = self.flow_forward.shape
        for tensor, channels in (
            (self.flow_forward, 2),
            (self.flow_backward, 2),
            (self.visible_forward, 1),
            (self.visible_backward, 1),
        ):
            if tensor.shape != (b, pairs, channels, height, width):
                raise ValueError(
                    f"expected {(b, pairs, channels, height, width)}, got {tuple(tensor.shape)}"
                )

    @classmethod
    def from_flow(cls, flow_forward: Tensor, flow_backward: Tensor) -> "Motion":
        """Flow (B, T-1, 2, h, w) with the visibility that follows from it."""
        return cls(flow_forward, flow_backward, *visibility(flow_forward, flow_backward))

    @property
    def num_pairs(self) -> int:
        """T-1: how many neighbouring pairs there are."""
        return self.flow_forward.shape[1]

    def resized(self, size: tuple[int, int]) -> "Motion":
        """The same motion on a grid of (height, width), in pixels of that grid.

        A new pixel is visible if three quarters of what it covers are.
        """
        return Motion(
            resize_flow(self.flow_forward, size),
            resize_flow(self.flow_backward, size),
            _resize_visibility(self.visible_forward, size),
            _resize_visibility(self.visible_backward, size),
        )


def motion_loss(latents: Tensor, motion: Motion, *, outside: Outside = "border") -> Tensor:
    """Disagreement of neighbouring latents z along the flow (arXiv 2312.00853, eq. 2).

    sum_t |V_F[t] (warp(z[t+1], F[t]) - z[t])| + |V_G[t] (warp(z[t], G[t]) - z[t+1])|

    Args:
        latents: (B, T, C, h, w), T >= 2.
        motion: flow F, G and visibility V_F, V_G at the resolution of `latents`.
        outside: what flow that leaves the frame finds; matters where it counts as visible.
    """
    forward, backward = _residuals(latents, motion, outside)
    return forward.abs().sum() + backward.abs().sum()


def motion_gradient(latents: Tensor, motion: Motion, *, outside: Outside = "border") -> Tensor:
    """Gradient of `motion_loss` in closed form, in float32.

    With s_F = V_F[t] sign(warp(z[t+1], F[t]) - z[t]), s_G alike and A the adjoint of the warp,
    pair t adds A_G s_G - s_F to frame t and A_F s_F - s_G to frame t+1.

    Args:
        latents: (B, T, C, h, w).
        motion: at the resolution of `latents`.
        outside: as for `motion_loss`.

    Returns:
        (B, T, C, h, w) float32.
    """
    residuals = _residuals(latents.float(), motion, outside)
    forward, backward = (residual.sign() for residual in residuals)
    pairs = (latents.shape[0], motion.num_pairs, *latents.shape[2:])
    flow_forward, flow_backward = (
        flow.flatten(0, 1) for flow in (motion.flow_forward, motion.flow_backward)
    )
    on_earlier = warp_adjoint(backward, flow_backward, outside=outside) - forward
    on_later = warp_adjoint(forward, flow_forward, outside=outside) - backward
    gradient = torch.zeros_like(latents, dtype=torch.float32)
    gradient[:, :-1] += on_earlier.reshape(pairs)
    gradient[:, 1:] += on_later.reshape(pairs)
    return gradient


def guide_bounded(latents: Tensor, motion: Motion, *, strength: float | Tensor) -> Tensor:
    """Pull every frame towards the frame before it, along the flow.

    The descent of arXiv 2312.00853, eq. 3, with these changes:

    * It acts on predicted clean latents: on noisy ones independent noise outweighs motion.
    * Only the later frame of a pair moves, by residuals of the latents as given. A frame then
      depends on itself and its predecessor alone: cutting a clip elsewhere, with the last frame
      of one piece as the first of the next, changes nothing.
    * sign(r) becomes pull(r) = sign(r) min(strength min(|r|, delta), |r| / 2), delta =
      `HUBER_DELTA`: the loss is Huber's, and no step goes past the mean of the two frames.
      (Past it the pair swaps roles and the flicker comes back.)
    * Where both terms of a pair reach a pixel they are averaged, so the pull depends on neither
      the size of the frame nor the convergence of the flow:

        z'[t+1] = z[t+1] + (V_G pull(r_G) - A_F V_F pull(r_F)) / max(V_G + A_F V_F, 1)

    Args:
        latents: (B, T, C, h, w), any float type; frame 0 is returned as it is, and may be the
            last frame of the clip before (its latents as they were before guidance).
        motion: at the resolution of `latents`.
        strength: >= 0; 0 changes nothing. A tensor must broadcast to (B, T-1, C, h, w).

    Returns:
        (B, T, C, h, w) in the type of `latents`.
    """
    if latents.shape[1] == 1:
        return latents
    pairs = (latents.shape[0], motion.num_pairs, *latents.shape[2:])
    visible_backward = motion.visible_backward.flatten(0, 1)
    visible_forward = motion.visible_forward.flatten(0, 1)
    if isinstance(strength, Tensor):
        strength = strength.float().expand(pairs).flatten(0, 1)
    forward, backward = (
        _bounded_pull(residual, strength) for residual in _residuals(latents.float(), motion)
    )
    # One splat for the pull and, in the last channel, for the weight it arrives with.
    splat = warp_adjoint(
        torch.cat((forward, visible_forward), dim=1), motion.flow_forward.flatten(0, 1)
    )
    weight = (visible_backward + splat[:, -1:]).clamp(min=1)
    move = (backward - splat[:, :-1]) / weight
    guided = latents.clone()
    guided[:, 1:] += move.reshape(pairs).to(latents.dtype)
    return guided


def guide_paper(
    noisy_latents: Tensor, motion: Motion, *, strength: float, variance: float | Tensor
) -> Tensor:
    """The published step (arXiv 2312.00853, eq. 3): z - strength * variance * grad E(z).

    Both frames of a pair move and the loss is a sum, as printed; no step is bounded.

    Args:
        noisy_latents: (B, T, C, h, w), already stepped to the next time.
        motion: at the resolution of the latents.
        strength: s, >= 0; 0 changes nothing.
        variance: sigma_t^2, the variance of the noise of that step.

    Returns:
        (B, T, C, h, w) in the type of `noisy_latents`.
    """
    if noisy_latents.shape[1] == 1:
        return noisy_latents
    step = strength * variance * motion_gradient(noisy_latents, motion)
    return (noisy_latents.float() - step).to(noisy_latents.dtype)


def _residuals(
    latents: Tensor, motion: Motion, outside: Outside = "border"
) -> tuple[Tensor, Tensor]:
    """V_F (warp(z[t+1], F[t]) - z[t]) and V_G (warp(z[t], G[t]) - z[t+1])."""
    b, t, _, height, width = latents.shape
    if motion.visible_forward.shape != (b, t - 1, 1, height, width):
        raise ValueError(
            f"latents {tuple(latents.shape)} do not fit motion of {motion.num_pairs} pairs at "
            f"{tuple(motion.visible_forward.shape[-2:])}"
        )
    earlier = latents[:, :-1].flatten(0, 1)  # (B*(T-1), C, h, w), as everything below
    later = latents[:, 1:].flatten(0, 1)
    onto_earlier = backward_warp(later, motion.flow_forward.flatten(0, 1), outside=outside)
    onto_later = backward_warp(earlier, motion.flow_backward.flatten(0, 1), outside=outside)
    forward = motion.visible_forward.flatten(0, 1) * (onto_earlier - earlier)
    backward = motion.visible_backward.flatten(0, 1) * (onto_later - later)
    return forward, backward


def _bounded_pull(residual: Tensor, strength: float | Tensor) -> Tensor:
    """sign(r) min(strength min(|r|, delta), |r| / 2), the step of `guide_bounded`."""
    half = residual.abs().mul_(0.5)
    step = half.mul(2).clamp_(max=HUBER_DELTA).mul_(strength)
    return torch.minimum(step, half).mul_(residual.sign())  # `copysign` is in no exported graph


def _resize_visibility(visible: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, T-1, 1, h, w) to the grid `size`, again 0 or 1."""
    share = F.interpolate(
        visible.flatten(0, 1).float(),
        size=size,
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    return (share >= TRUSTED_SHARE).float().reshape(*visible.shape[:3], *size)
