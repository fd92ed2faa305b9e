"""The denoising loop: noise and a denoiser in, latents out, guided along the motion."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr_cli.config import Guidance
from vsr_cli.diffusion.motion import Motion, guide_bounded, guide_paper
from vsr_cli.diffusion.schedule import AncestralScheduler, RespacedChain

State = list[Tensor]
# (noisy latents (B, T, C, h, w), log-SNR (B,), state or None) -> v and the new state
Denoise = Callable[[Tensor, Tensor, State | None], tuple[Tensor, State]]
# (noisy latents (B, T, C, h, w), time of the network) -> predicted noise
PredictNoise = Callable[[Tensor, int], Tensor]
# (latents after a step, sigma of its noise) -> the same, pulled
Guide = Callable[[Tensor, float], Tensor]
# index of the draw (0 starts the chain, k follows step k) -> noise (B, T, C, h, w)
Noise = Callable[[int], Tensor]

_LEAST_PULLS = 16  # of `bounded` guidance in a chain; more than that and detail is lost


@dataclass(frozen=True)
class Trajectory:
    """What the next clip of a shot needs to go on as if there were no cut between clips.

    Clip after clip writes over it in place.

    states: the denoiser's state after the last frame, one for each step.
    predictions: the last frame's predicted x0 before each round of guidance, for each step
        (rounds, B, 1, C, h, w).
    stepped_latents: the last frame's latents after each step, before guidance; only of `paper`
        guidance.
    """

    states: list[State]
    predictions: list[Tensor]
    stepped_latents: list[Tensor]

    @classmethod
    def reserve(cls, num_steps: int, frame: Tensor, guidance: Guidance) -> "Trajectory":
        """Room for as many steps, with latents like `frame`, (B, 1, C, h, w)."""
        rounds = frame.expand(guidance_rounds(num_steps), *frame.shape)
        stepped = _reserve(num_steps, frame) if guidance == "paper" else []
        return cls([[] for _ in range(num_steps)], _reserve(num_steps, rounds), stepped)

    def keep_state(self, step: int, state: State) -> None:
        """Copy the state after a step; the first to come makes room for those of all steps."""
        if not self.states[step]:
            for x in state:
                for room, at_step in zip(self.states, _reserve(len(self.states), x), strict=True):
                    room.append(at_step)
        for kept, x in zip(self.states[step], state, strict=True):
            kept.copy_(x.detach())


def _reserve(num_steps: int, like: Tensor) -> list[Tensor]:
    """A tensor like this one for each step, not yet filled, all side by side in one block.

    What is kept outlives the clip and is far smaller than what the networks allocate and free in
    between. Taken step by step it would leave holes in the heap that nothing large fits into,
    and the process would grow to several times what is in use.
    """
    return list(like.new_empty((num_steps, *like.shape)))


def guidance_rounds(num_steps: int) -> int:
    """How many times each of `num_steps` steps pulls along the flow.

    One pull moves a frame half of the way to its neighbour at most, and a chain of fifty steps
    pulls fifty times. With one pull a step, four steps would leave more flicker than fifty.
    """
    return math.ceil(_LEAST_PULLS / num_steps)


def sample_latents(
    denoise: Denoise,
    *,
    shape: tuple[int, ...],
    scheduler: AncestralScheduler,
    noise: Noise,
    motion: Motion | None,
    motion_scale: float,
    history: Trajectory | None,
    guidance: Guidance = "bounded",
) -> tuple[Tensor, Trajectory]:
    """Draw the latents of a clip: ancestral DDPM with motion guidance.

    Each step predicts x0 = sqrt(A) x_t - sqrt(1 - A) v, pulls it along the flow (`guide_bounded`),
    several times where there are few steps (`guidance_rounds`), and takes the ancestral step
    (arXiv 2006.11239, eq. 7). With `paper` guidance it is x_{t-1} that is pulled, after the step
    (`guide_paper`; arXiv 2312.00853, eq. 3). There the later frame of a pair pulls the earlier one
    too, which is done with where a clip has ended: the last frame of a clip lacks the pull of the
    frame after it, so the latents depend on where clips are cut.

    Args:
        denoise: predicts v; called once a step.
        shape: (B, T, C, h, w) of the new frames.
        scheduler: from `make_scheduler`; fed with x0.
        noise: standard normal draws, a function of frame and position, not of the clip.
        motion: on the latent grid, between the frames of `history` (its last) and of this clip
            in order: T pairs with history, T - 1 without. None switches guidance off.
        motion_scale: strength of guidance, 0 is off.
        history: what the call for the clip before returned; None at the start of a shot. It is
            used up: its memory becomes that of the trajectory returned.
        guidance: which pull, the same for all clips of a shot.

    Returns:
        latents (B, T, C, h, w) float32, and the trajectory for the clip after this one.
    """
    latents = noise(0).float()
    if latents.shape != torch.Size(shape):
        raise ValueError(f"noise is {tuple(latents.shape)}, expected {shape}")
    timesteps = scheduler.timesteps.tolist()
    kept = history or Trajectory.reserve(len(timesteps), latents[:, -1:], guidance)
    for index, t in enumerate(timesteps):
        alpha = scheduler.alphas_cumprod[t].to(latents.device)
        log_snr = alpha.clamp_min(1e-9).logit().expand(shape[0])
        v, state = denoise(latents, log_snr, history.states[index] if history else None)
        # Networks give channels last, which warping and splatting are several times slower on.
        v = v.float().contiguous()
        predicted = alpha.sqrt() * latents - (1 - alpha).sqrt() * v
        kept.keep_state(index, state)
        for previous_x0 in kept.predictions[index]:  # still the clip before's, if there was one
            last = predicted[:, -1:]
            if guidance == "bounded" and motion is not None and motion_scale > 0:
                before = [previous_x0] if history is not None else []
                pulled = guide_bounded(
                    torch.cat([*before, predicted], 1), motion, strength=motion_scale
                )
                predicted = pulled[:, len(before) :]
            previous_x0.copy_(last.detach())
        is_last = index == len(timesteps) - 1
        drawn = torch.zeros_like(latents) if is_last else noise(index + 1).float()
        latents = scheduler.step(predicted, t, latents, drawn)
        if guidance == "paper":
            last = latents[:, -1:]
            if motion is not None and motion_scale > 0:
                before = [history.stepped_latents[index]] if history is not None else []
                latents = guide_paper(
                    torch.cat([*before, latents], dim=1),
                    motion,
                    strength=motion_scale,
                    variance=scheduler.sigma(t) ** 2,
                )[:, len(before) :]
            kept.stepped_latents[index].copy_(last.detach())
    return latents, kept


def sample_from_lr(
    predict_noise: PredictNoise,
    lr_latents: Tensor,
    *,
    chain: RespacedChain,
    noise: Noise,
    guide: Guide | None = None,
    known_states: list[Tensor] | None = None,
    num_carried: int = 0,
) -> tuple[Tensor, list[Tensor]]:
    """Draw latents as the published family does: from noised LR latents, predicting noise.

    After every ancestral step (arXiv 2006.11239, eq. 7) the latents are pulled along the motion
    (arXiv 2312.00853, eq. 3). Frames that the clip before has drawn already go through the states
    they had there, so that the frames after them go on from where those end.

    Args:
        predict_noise: called once a step.
        lr_latents: (B, T, C, h, w).
        chain: from `make_respaced_chain`.
        noise: draw 0 starts the chain, draw k follows step k; the last one is not needed.
        guide: None switches guidance off.
        known_states: what the call for the clip before kept; its frames are the first of this
            clip.
        num_carried: how many of the last frames to keep for the clip after this one.

    Returns:
        latents (B, T, C, h, w) float32, and the kept frames at the start and after each step.
    """
    steps = chain.scheduler.timesteps.tolist()
    kept: list[Tensor] = []

    def pin(latents: Tensor) -> Tensor:
        if known_states is not None:
            old = known_states[len(kept)]
            latents = torch.cat([old, latents[:, old.shape[1] :]], dim=1)
        kept.append(latents[:, latents.shape[1] - num_carried :].clone())
        return latents

    latents = pin(chain.noise_start(lr_latents.float(), noise(0).float()))
    for count, index in enumerate(steps, start=1):
        predicted = predict_noise(latents, chain.network_times[index]).float()
        is_last = count == len(steps)
        drawn = torch.zeros_like(latents) if is_last else noise(count).float()
        latents = chain.scheduler.step(predicted, index, latents, drawn)
        if guide is not None:
            latents = guide(latents, chain.scheduler.sigma(index))
        latents = pin(latents)
    return latents, kept
