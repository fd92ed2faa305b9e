"""Clip in, clip out: motion, latents, frames. Each stage is a generator and holds one clip."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr_cli.config import ColorFix, GivenLatents, Memory, UpscaleConfig
from vsr_cli.diffusion.motion import Motion
from vsr_cli.diffusion.sampler import Denoise, Noise, State, Trajectory, sample_latents
from vsr_cli.diffusion.schedule import keyed_noise, make_scheduler
from vsr_cli.models.flow import FlowEstimator
from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.models.small.model import (
    BODY_STRIDE,
    LATENT_STRIDE,
    Condition,
    SmallModel,
    lr_multiple,
    reduce_to_body,
)
from vsr_cli.ops.color import match_mean_std, match_wavelet
from vsr_cli.ops.resize import crop, pad_to_multiple
from vsr_cli.pipeline.clips import Clip
from vsr_cli.pipeline.restorers.small.adaptive import AdaptiveNetworks
from vsr_cli.pipeline.run_plan import RunPlan


@dataclass(frozen=True)
class Prepared:
    """A clip with what was learnt of it before sampling.

    lr_frames: the fresh frames, padded to the model's multiple, (1, T, 3, h, w) in [-1, 1].
    body_frames: the same at a quarter of the target, (1, T, 3, H, W).
    motion: on that grid, one pair for each fresh frame with a predecessor; None if none has.
    """

    clip: Clip
    lr_frames: Tensor
    body_frames: Tensor
    motion: Motion | None


@dataclass(frozen=True)
class Sampled:
    """A prepared clip with its latents (1, T, C, h, w) and what the networks know of it."""

    prepared: Prepared
    latents: Tensor
    condition: Condition


@dataclass
class ClipState:
    """All that a clip hands on to the next one of its shot; the stages put in what is new.

    trajectory: of the sampler.
    memory_features: the decoder's memory, (1, C, H, W).
    """

    trajectory: Trajectory | None = None
    memory_features: Tensor | None = None


def estimate_motion(
    clips: Iterable[Clip], flow: FlowEstimator, *, scale: int, device: torch.device
) -> Iterator[Prepared]:
    """Flow and visibility between neighbouring frames, shared ones included.

    They are estimated at a quarter of the target's size, whatever that of the source is.
    """
    for clip in clips:
        padded = pad_to_multiple(clip.frames, lr_multiple(scale))[None]
        body_frames = reduce_to_body(padded, scale)
        motion = None
        if padded.shape[1] > 1:
            known = max(clip.num_shared - 1, 0)  # pairs of frames that are both old
            forward, backward = (f.to(device) for f in flow(body_frames[:, known:]))
            motion = Motion.from_flow(forward, backward)
        fresh = slice(clip.num_shared, None)
        yield Prepared(clip, padded[:, fresh].to(device), body_frames[:, fresh].to(device), motion)


def sample_clips(
    clips: Iterable[Prepared],
    model: AdaptiveNetworks,
    config: UpscaleConfig,
    run_plan: RunPlan,
    clip_state: ClipState,
) -> Iterator[Sampled]:
    """Draw the latents of each clip; within a shot each goes on where the one before ended."""
    network = model.model
    scheduler = make_scheduler(config.sampler.steps or network.default_steps)
    for prepared in clips:
        if prepared.clip.num_shared == 0:
            clip_state.trajectory = None
        _, num_frames, _, height, width = prepared.body_frames.shape
        size = (height * BODY_STRIDE // LATENT_STRIDE, width * BODY_STRIDE // LATENT_STRIDE)
        with torch.inference_mode():
            condition = model.condition(prepared.lr_frames)
            latents, clip_state.trajectory = sample_latents(
                _denoiser(model, condition),
                shape=(1, num_frames, network.latent_channels, *size),
                scheduler=scheduler,
                noise=_clip_noise(
                    network, config.sampler.seed, prepared.clip.fresh, size, run_plan
                ),
                motion=prepared.motion.resized(size) if prepared.motion else None,
                motion_scale=config.sampler.motion_scale,
                history=clip_state.trajectory,
                guidance=config.sampler.guidance,
            )
        yield Sampled(prepared, latents, condition)


def place_latents(
    clips: Iterable[Prepared],
    model: AdaptiveNetworks,
    config: UpscaleConfig,
    run_plan: RunPlan,
    given: GivenLatents,
    hr_frames: Tensor,
) -> Iterator[Sampled]:
    """What `sample_clips` does, with latents that are given instead of sampled.

    Args:
        clips: as there.
        model: as there.
        config: whose seed is that of the noise.
        run_plan: where the noise is made.
        given: which latents.
        hr_frames: the truth of all clips, (T, 3, H, W); as large as what `model` decodes, if
            true latents are given.
    """
    network = model.model
    for prepared in clips:
        fresh = prepared.clip.fresh
        with torch.inference_mode():
            condition = model.condition(prepared.lr_frames)
            if given.is_true:
                truth = hr_frames[fresh.start : fresh.stop]
                latents = encode_truth(network, truth, prepared.lr_frames, condition)
            else:
                latents = _zero_latents(network, condition)
            if given.deviation:
                size = (latents.shape[-2], latents.shape[-1])
                noise = _clip_noise(network, config.sampler.seed, fresh, size, run_plan)
                latents = latents + given.deviation * noise(0)
        yield Sampled(prepared, latents, condition)


def encode_truth(
    model: SmallModel, hr_frames: Tensor, lr_frames: Tensor, condition: Condition
) -> Tensor:
    """Latents (1, T, L, h, w) of the truth (T, 3, H, W) of a clip, encoded frame by frame.

    Args:
        model: with its encoder.
        hr_frames: on any device; their edges are repeated to where the latents end.
        lr_frames: the source as the networks see it, padded, (1, T, 3, ., .).
        condition: what is known of it.
    """
    padded = pad_to_multiple(hr_frames, LATENT_STRIDE)[None].to(lr_frames.device)
    found = [
        model.encode(
            padded[:, k : k + 1], lr_frames[:, k : k + 1], condition.lr_features[:, k : k + 1]
        )
        for k in range(len(hr_frames))
    ]
    return torch.cat(found, dim=1)


def _zero_latents(model: SmallModel, condition: Condition) -> Tensor:
    b, t, _, height, width = condition.lr_features.shape
    ratio = LATENT_STRIDE // BODY_STRIDE
    return condition.lr_features.new_zeros(
        b, t, model.latent_channels, height // ratio, width // ratio, dtype=torch.float32
    )


def decode_clips(
    clips: Iterable[Sampled],
    model: AdaptiveNetworks,
    config: UpscaleConfig,
    clip_state: ClipState,
) -> Iterator[Clip]:
    """Latents -> frames (T, 3, H, W) with the source's colours, float32 in [-1, 1], each once."""
    for sampled in clips:
        prepared, clip = sampled.prepared, sampled.prepared.clip
        if clip.num_shared == 0:
            clip_state.memory_features = None
        with torch.inference_mode():
            frames, clip_state.memory_features = model.decode(
                sampled.latents,
                prepared.lr_frames,
                sampled.condition.lr_features,
                fidelity=config.fidelity,
                memory_features=clip_state.memory_features,
                warps=_memory_warps(prepared, config.memory),
            )
            matched = match_color(frames[0].clamp(-1, 1), prepared.body_frames[0], config.color)
        height, width = clip.frames.shape[-2:]
        yield Clip(clip.fresh.start, crop(matched, (height * model.scale, width * model.scale)), 0)


def _denoiser(model: AdaptiveNetworks, condition: Condition) -> Denoise:
    def denoise(x: Tensor, log_snr: Tensor, past: State | None) -> tuple[Tensor, State]:
        return model.denoise(x, log_snr, condition, past)

    return denoise


def _clip_noise(
    model: SmallModel, seed: int, frames: range, size: tuple[int, int], run_plan: RunPlan
) -> Noise:
    """Noise that belongs to frame, place and step, whatever the clip or tile."""

    def noise(step: int) -> Tensor:
        return keyed_noise(
            seed,
            frames=frames,
            step=step,
            channels=model.latent_channels,
            rows=range(size[0]),
            columns=range(size[1]),
            device=run_plan.device,
        )[None]

    return noise


def _memory_warps(prepared: Prepared, memory: Memory) -> list[MemoryWarp | None]:
    """How each fresh frame finds the one before it; None starts a shot.

    `still` finds every pixel where it is and takes it for visible, `off` finds nothing.
    """
    if memory == "off":
        return [None] * prepared.body_frames.shape[1]
    first: list[MemoryWarp | None] = [] if prepared.clip.num_shared else [None]
    if prepared.motion is None:
        return first
    backward, visible = prepared.motion.flow_backward, prepared.motion.visible_backward
    if memory == "still":
        backward, visible = torch.zeros_like(backward), torch.ones_like(visible)
    pairs = range(backward.shape[1])
    return [*first, *(MemoryWarp(backward[:, k], visible[:, k]) for k in pairs)]


def match_color(frames: Tensor, body_frames: Tensor, how: ColorFix) -> Tensor:
    """Give SR frames (T, 3, 4H, 4W) the colours of the source, reduced to (T, 3, H, W)."""
    if how == "wavelet":
        return match_wavelet(frames, body_frames)
    if how == "adain":
        return match_mean_std(frames, body_frames)
    return frames
