"""Clip in, clip out: motion, latents, frames. Each stage is a generator and holds one clip."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr_cli.config import Memory, UpscaleConfig
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
from vsr_cli.ops.color import match_color
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
    """A prepared clip with its latents.

    latents: of the fresh frames, (1, T, C, h, w), float32.
    condition: what the networks know of their source.
    trajectory: what the sampler needs for the next clip of the shot, until that is asked for;
        None where the latents were given.
    """

    prepared: Prepared
    latents: Tensor
    condition: Condition
    trajectory: Trajectory | None


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
    history: Trajectory | None,
) -> Iterator[Sampled]:
    """Draw the latents of each clip; within a shot each goes on where the one before ended.

    Args:
        clips: with their motion.
        model: wrapped, on the device of `run_plan`.
        config: how.
        run_plan: where the noise is made.
        history: what the clip before the first one left; it is used up.
    """
    network = model.model
    scheduler = make_scheduler(config.sampler.steps or network.default_steps)
    trajectory = history
    for prepared in clips:
        if prepared.clip.num_shared == 0:
            trajectory = None
        _, num_frames, _, height, width = prepared.body_frames.shape
        size = (height * BODY_STRIDE // LATENT_STRIDE, width * BODY_STRIDE // LATENT_STRIDE)
        with torch.inference_mode():
            condition = model.condition(prepared.lr_frames)
            latents, trajectory = sample_latents(
                _denoiser(model, condition),
                shape=(1, num_frames, network.latent_channels, *size),
                scheduler=scheduler,
                noise=clip_noise(network, config.sampler.seed, prepared.clip.fresh, size, run_plan),
                motion=prepared.motion.resized(size) if prepared.motion else None,
                motion_scale=config.sampler.motion_scale,
                history=trajectory,
                guidance=config.sampler.guidance or "bounded",
            )
        yield Sampled(prepared, latents, condition, trajectory)


class ClipDecoder:
    """Decodes one clip, frame by frame.

    sampled: the clip with its latents.
    memory_features: the decoder's memory after the frames that were taken, (1, C, H, W).
    """

    def __init__(
        self,
        sampled: Sampled,
        model: AdaptiveNetworks,
        config: UpscaleConfig,
        memory_features: Tensor | None,
    ) -> None:
        """Decode nothing yet.

        Args:
            sampled: the clip with its latents.
            model: wrapped, on the device of the latents.
            config: how.
            memory_features: what the clip before left; None at the start of a shot.
        """
        self.sampled = sampled
        self.memory_features = memory_features
        self._model, self._config = model, config

    def frames(self) -> Iterator[Tensor]:
        """Each fresh frame (3, H, W) with the source's colours, float32 in [-1, 1]."""
        sampled, prepared, model = self.sampled, self.sampled.prepared, self._model
        height, width = prepared.clip.frames.shape[-2:]
        size = (height * model.scale, width * model.scale)
        warps = _memory_warps(prepared, self._config.memory or "warped")
        for index, warp in enumerate(warps):
            frame = slice(index, index + 1)
            with torch.inference_mode():
                decoded, self.memory_features = model.decode(
                    sampled.latents[:, frame],
                    prepared.lr_frames[:, frame],
                    sampled.condition.lr_features[:, frame],
                    fidelity=self._config.fidelity,
                    memory_features=self.memory_features,
                    warps=[warp],
                )
                body_frames = prepared.body_frames[0, frame]
                matched = match_color(decoded[0].clamp_(-1, 1), body_frames, self._config.color)
                del decoded
            yield crop(matched, size)[0]


def _denoiser(model: AdaptiveNetworks, condition: Condition) -> Denoise:
    def denoise(x: Tensor, log_snr: Tensor, past: State | None) -> tuple[Tensor, State]:
        return model.denoise(x, log_snr, condition, past)

    return denoise


def clip_noise(
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
