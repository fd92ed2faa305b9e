"""The denoising loop: noise and a denoiser in, latents out, guided along the motion."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr_cli.diffusion.motion import Motion, guide
from vsr_cli.diffusion.schedule import AncestralScheduler

State = list[Tensor]
# (noisy latents (B, T, C, h, w), log-SNR (B,), state or None) -> v and the new state
Denoise = Callable[[Tensor, Tensor, State | None], tuple[Tensor, State]]
# index of the draw (0 starts the chain, k follows step k) -> noise (B, T, C, h, w)
Noise = Callable[[int], Tensor]


@dataclass(frozen=True)
class Trajectory:
    """What the next clip of a shot needs to go on as if there were no cut between clips.

    states: the denoiser's state after the last frame, one for each step.
    predictions: the last frame's predicted x0 before guidance, (B, 1, C, h, w), one for each step.
    """

    states: list[State]
    predictions: list[Tensor]


def sample_latents(
    denoise: Denoise,
    *,
    shape: tuple[int, ...],
    scheduler: AncestralScheduler,
    noise: Noise,
    motion: Motion | None,
    motion_scale: float,
    history: Trajectory | None,
) -> tuple[Tensor, Trajectory]:
    """Draw the latents of a clip: ancestral DDPM with motion guidance on the predicted x0.

    Each step predicts x0 = sqrt(A) x_t - sqrt(1 - A) v, pulls it along the flow (`guide`; the
    published method pulls x_{t-1} instead, arXiv 2312.00853, eq. 3) and takes the ancestral
    step (arXiv 2006.11239, eq. 7).

    Args:
        denoise: predicts v; called once a step.
        shape: (B, T, C, h, w) of the new frames.
        scheduler: from `make_scheduler`; fed with x0.
        noise: standard normal draws, a function of frame and position, not of the clip.
        motion: on the latent grid, between the frames of `history` (its last) and of this clip
            in order: T pairs with history, T - 1 without. None switches guidance off.
        motion_scale: strength of guidance, 0 is off.
        history: what the call for the clip before returned; None at the start of a shot. Its
            states are used up.

    Returns:
        latents (B, T, C, h, w) float32, and the trajectory for the clip after this one.
    """
    latents = noise(0).float()
    if latents.shape != torch.Size(shape):
        raise ValueError(f"noise is {tuple(latents.shape)}, expected {shape}")
    states: list[State] = []
    predictions: list[Tensor] = []
    timesteps = scheduler.timesteps.tolist()
    for index, t in enumerate(timesteps):
        alpha = scheduler.alphas_cumprod[t].to(latents.device)
        log_snr = alpha.clamp_min(1e-9).logit().expand(shape[0])
        v, state = denoise(latents, log_snr, history.states[index] if history else None)
        if history is not None:
            history.states[index] = []  # used up: two clips' states need not live side by side
        predicted = alpha.sqrt() * latents - (1 - alpha).sqrt() * v.float()
        states.append(state)
        predictions.append(predicted[:, -1:].clone())
        if motion is not None and motion_scale > 0:
            if history is not None:
                with_last = torch.cat([history.predictions[index], predicted], dim=1)
                predicted = guide(with_last, motion, strength=motion_scale)[:, 1:]
            elif predicted.shape[1] > 1:
                predicted = guide(predicted, motion, strength=motion_scale)
        is_last = index == len(timesteps) - 1
        drawn = torch.zeros_like(latents) if is_last else noise(index + 1).float()
        latents = scheduler.advance(predicted, t, latents, drawn)
    return latents, Trajectory(states=states, predictions=predictions)
