"""Clip in, clip out: motion, latents, frames. Each stage is a generator and holds one clip."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr_cli.config import ColorFix, UpscaleConfig
from vsr_cli.diffusion.motion import Motion
from vsr_cli.diffusion.sampler import Trajectory, sample_latents
from vsr_cli.diffusion.schedule import keyed_noise, make_scheduler
from vsr_cli.models.flow import FlowEstimator
from vsr_cli.models.small.decoder import Recall
from vsr_cli.models.small.model import Condition, SmallModel
from vsr_cli.ops.color import match_mean_std, match_wavelet
from vsr_cli.ops.resize import crop, pad_to_multiple
from vsr_cli.pipeline.clips import Clip
from vsr_cli.pipeline.runtime import Runtime


@dataclass(frozen=True)
class Prepared:
    """A clip with what was learnt of it before sampling.

    lr_frames: the fresh frames, padded to the model's multiple, (1, T, 3, H, W) in [-1, 1].
    motion: at LR resolution, one pair for each fresh frame with a predecessor; None if none has.
    """

    clip: Clip
    lr_frames: Tensor
    motion: Motion | None


@dataclass(frozen=True)
class Sampled:
    """A prepared clip with its latents (1, T, C, h, w) and condition."""

    prepared: Prepared
    latents: Tensor
    condition: Condition


def estimate_motion(
    clips: Iterable[Clip], flow: FlowEstimator, *, multiple: int, device: torch.device
) -> Iterator[Prepared]:
    """Flow and visibility between neighbouring LR frames, shared ones included."""
    for clip in clips:
        padded = pad_to_multiple(clip.frames, multiple)[None]
        motion = None
        if padded.shape[1] > 1:
            forward, backward = (f.to(device) for f in flow(padded))
            motion = Motion.from_flow(forward, backward)
        yield Prepared(clip, padded[:, clip.num_shared :].to(device), motion)


def sample_clips(
    clips: Iterable[Prepared], model: SmallModel, config: UpscaleConfig, runtime: Runtime
) -> Iterator[Sampled]:
    """Draw the latents of each clip; within a shot each goes on where the one before ended."""
    scheduler = make_scheduler(config.sampler.steps or model.default_steps)
    history: Trajectory | None = None
    for prepared in clips:
        if prepared.clip.num_shared == 0:
            history = None
        with torch.inference_mode():
            condition = model.condition(prepared.lr_frames)
        _, num_frames, _, height, width = prepared.lr_frames.shape
        h, w = height // model.lr_multiple, width // model.lr_multiple

        def noise(
            step: int, frames: range = prepared.clip.fresh, h: int = h, w: int = w
        ) -> Tensor:
            return keyed_noise(
                config.sampler.seed,
                frames=frames,
                step=step,
                channels=model.latent_channels,
                rows=range(h),
                columns=range(w),
                device=runtime.device,
            )[None]

        def denoise(
            x: Tensor, log_snr: Tensor, past: list[Tensor] | None, seen: Condition = condition
        ) -> tuple[Tensor, list[Tensor]]:
            return model.denoise(x, log_snr, seen, past)

        with torch.inference_mode():
            latents, history = sample_latents(
                denoise,
                shape=(1, num_frames, model.latent_channels, h, w),
                scheduler=scheduler,
                noise=noise,
                motion=prepared.motion.resized((h, w)) if prepared.motion else None,
                motion_scale=config.sampler.motion_scale,
                history=history,
            )
        yield Sampled(prepared, latents, condition)


def decode_clips(clips: Iterable[Sampled], model: SmallModel, fidelity: float) -> Iterator[Clip]:
    """Latents -> frames (T, 3, H, W), four times the LR size, float32 in [-1, 1], each once."""
    remembered: Tensor | None = None
    for sampled in clips:
        prepared, clip = sampled.prepared, sampled.prepared.clip
        if clip.num_shared == 0:
            remembered = None
        motion = prepared.motion
        recalls: list[Recall | None] = [] if clip.num_shared else [None]
        if motion is not None:
            for pair in range(motion.flow_backward.shape[1]):
                flow, seen = motion.flow_backward[:, pair], motion.visible_backward[:, pair]
                recalls.append(Recall(flow, seen))
        with torch.inference_mode():
            frames, remembered = model.decode(
                sampled.latents,
                prepared.lr_frames,
                sampled.condition.lr_features,
                fidelity=fidelity,
                remembered=remembered,
                recalls=recalls,
            )
        height, width = clip.frames.shape[-2:]
        size = (height * model.scale, width * model.scale)
        yield Clip(clip.fresh.start, crop(frames[0], size).clamp(-1, 1), 0)


def match_color(frames: Tensor, lr_frames: Tensor, how: ColorFix) -> Tensor:
    """Give SR frames (T, 3, 4H, 4W) the colours of the LR frames (T, 3, H, W)."""
    if how == "wavelet":
        return match_wavelet(frames, lr_frames)
    if how == "adain":
        return match_mean_std(frames, lr_frames)
    return frames
