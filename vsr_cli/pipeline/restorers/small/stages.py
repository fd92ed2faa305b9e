"""What becomes of a clip: motion of whole frames, then latents and frames of each region."""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vsr_cli.config import Memory, UpscaleConfig
from vsr_cli.diffusion.motion import Motion
from vsr_cli.diffusion.sampler import Denoise, Noise, State, Trajectory, sample_latents
from vsr_cli.diffusion.schedule import keyed_noise, make_scheduler
from vsr_cli.models.flow import FlowEstimator
from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.models.small.model import Condition, SmallModel, lr_multiple, reduce_to_body
from vsr_cli.ops.resize import pad_to_multiple
from vsr_cli.pipeline.clips import Clip
from vsr_cli.pipeline.restorers.small.adaptive import AdaptiveNetworks
from vsr_cli.pipeline.restorers.small.regions import Region, cut


@dataclass(frozen=True)
class Prepared:
    """A clip with what was learnt of it before sampling.

    lr_frames: the fresh frames, padded to the model's multiple, (1, T, 3, h, w) in [-1, 1].
    body_frames: the same at a quarter of the target, (1, T, 3, H, W).
    flow: on that grid, forward and backward (1, P, 2, H, W), one pair for each fresh frame with a
        predecessor; None if none has.
    """

    clip: Clip
    lr_frames: Tensor
    body_frames: Tensor
    flow: tuple[Tensor, Tensor] | None


@dataclass(frozen=True)
class RegionClip:
    """The fresh frames of a clip within one region, on the device of the networks.

    frames: indices of the frames in the video.
    starts_shot: whether no clip comes before.
    lr_frames: (1, T, 3, h, w) of the region.
    motion: on the body's grid; flow that leaves the region counts as unknown.
    region: of which frame.
    """

    frames: range
    starts_shot: bool
    lr_frames: Tensor
    motion: Motion | None
    region: Region

    @classmethod
    def of(cls, prepared: Prepared, region: Region, device: torch.device) -> "RegionClip":
        """Cut a region out of a clip, and put it on a device."""
        motion = None
        if prepared.flow is not None:
            forward, backward = (cut(flow, region.body).to(device) for flow in prepared.flow)
            motion = Motion.from_flow(forward, backward)
        return cls(
            frames=prepared.clip.fresh,
            starts_shot=prepared.clip.num_shared == 0,
            lr_frames=cut(prepared.lr_frames, region.source).to(device),
            motion=motion,
            region=region,
        )


@dataclass(frozen=True)
class Sampled:
    """A region's clip with its latents.

    latents: of the fresh frames, (1, T, C, h, w), float32.
    condition: what the networks know of their source.
    trajectory: what the sampler needs for the next clip of the shot, until that is asked for;
        None where the latents were given.
    """

    clip: RegionClip
    latents: Tensor
    condition: Condition
    trajectory: Trajectory | None


def estimate_motion(
    clips: Iterable[Clip], flow: FlowEstimator, *, scale: int, device: torch.device
) -> Generator[Prepared, None, None]:
    """Flow between neighbouring frames, shared ones included.

    It is estimated at a quarter of the target's size, whatever that of the source is.

    Args:
        clips: in order.
        flow: the estimator.
        scale: by how much the model enlarges.
        device: where frames and flow lie afterwards.
    """
    for clip in clips:
        padded = pad_to_multiple(clip.frames, lr_multiple(scale))[None]
        body_frames = reduce_to_body(padded, scale)
        found = None
        if padded.shape[1] > 1:
            known = max(clip.num_shared - 1, 0)  # pairs of frames that are both old
            forward, backward = flow(body_frames[:, known:])
            found = forward.to(device), backward.to(device)
        fresh = slice(clip.num_shared, None)
        yield Prepared(clip, padded[:, fresh].to(device), body_frames[:, fresh].to(device), found)


def sample_region(
    clip: RegionClip,
    model: AdaptiveNetworks,
    config: UpscaleConfig,
    history: Trajectory | None,
    *,
    on_step: Callable[[], None],
) -> Sampled:
    """Draw the latents of a region's clip, which goes on where the one before ended.

    Args:
        clip: with its motion.
        model: wrapped, on the device of the clip.
        config: how.
        history: what the clip before left; it is used up. None at the start of a shot.
        on_step: is called after each step.
    """
    network = model.model
    rows, columns = clip.region.latents
    shape = (1, len(clip.frames), network.latent_channels, rows.size, columns.size)
    steps = config.sampler.steps or network.default_steps
    with torch.inference_mode():
        condition = model.condition(clip.lr_frames)
        latents, trajectory = sample_latents(
            _denoiser(model, condition, on_step),
            shape=shape,
            scheduler=make_scheduler(steps, network.chain(steps)),
            noise=clip_noise(network, config.sampler.seed, clip),
            motion=clip.motion.resized((rows.size, columns.size)) if clip.motion else None,
            motion_scale=config.sampler.motion_scale,
            history=history,
            guidance=config.sampler.guidance or "bounded",
        )
    return Sampled(clip, latents, condition, trajectory)


class ClipDecoder:
    """Decodes a region's clip, frame by frame.

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
        """Each fresh frame of the region (3, H, W), float32 in [-1, 1], colours not matched."""
        sampled, clip = self.sampled, self.sampled.clip
        warps = _memory_warps(clip, self._config.memory or "warped")
        for index, warp in enumerate(warps):
            frame = slice(index, index + 1)
            with torch.inference_mode():
                decoded, self.memory_features = self._model.decode(
                    sampled.latents[:, frame],
                    clip.lr_frames[:, frame],
                    sampled.condition.lr_features[:, frame],
                    fidelity=self._config.fidelity,
                    memory_features=self.memory_features,
                    warps=[warp],
                )
                decoded = decoded[0, 0].clamp_(-1, 1)
            yield decoded


def _denoiser(
    model: AdaptiveNetworks, condition: Condition, on_step: Callable[[], None]
) -> Denoise:
    def denoise(x: Tensor, log_snr: Tensor, past: State | None) -> tuple[Tensor, State]:
        found = model.denoise(x, log_snr, condition, past)
        on_step()
        return found

    return denoise


def clip_noise(model: SmallModel, seed: int, clip: RegionClip) -> Noise:
    """Noise that belongs to frame, place and step, whatever the clip or region."""
    rows, columns = (range(side.start, side.stop) for side in clip.region.latents)
    draw = partial(
        keyed_noise,
        seed,
        frames=clip.frames,
        channels=model.latent_channels,
        rows=rows,
        columns=columns,
        device=clip.lr_frames.device,
    )
    return lambda step: draw(step=step)[None]


def _memory_warps(clip: RegionClip, memory: Memory) -> list[MemoryWarp | None]:
    """How each fresh frame finds the one before it; None starts a shot.

    `still` finds every pixel where it is and takes it for visible, `off` finds nothing.
    """
    if memory == "off":
        return [None] * len(clip.frames)
    first: list[MemoryWarp | None] = [None] if clip.starts_shot else []
    if clip.motion is None:
        return first
    backward, visible = clip.motion.flow_backward, clip.motion.visible_backward
    if memory == "still":
        backward, visible = torch.zeros_like(backward), torch.ones_like(visible)
    pairs = range(backward.shape[1])
    return [*first, *(MemoryWarp(backward[:, k], visible[:, k]) for k in pairs)]
