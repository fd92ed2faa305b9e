"""Clip in, clip out: motion, latents, frames. Each stage is a generator and holds one clip."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr_cli.config import ColorFix, Memory, UpscaleConfig
from vsr_cli.diffusion.motion import Motion
from vsr_cli.diffusion.sampler import Denoise, Noise, State, Trajectory, sample_latents
from vsr_cli.diffusion.schedule import keyed_noise, make_scheduler
from vsr_cli.models.flow import FlowEstimator
from vsr_cli.models.small.decoder import Recall
from vsr_cli.models.small.model import Condition, SmallModel
from vsr_cli.ops.color import match_mean_std, match_wavelet
from vsr_cli.ops.resize import crop, pad_to_multiple
from vsr_cli.ops.windows import Grid
from vsr_cli.pipeline.clips import Clip
from vsr_cli.pipeline.runtime import TILE_OVERLAP, Runtime


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
    """A prepared clip with its latents (1, T, C, h, w) and the condition of each tile of `grid`."""

    prepared: Prepared
    latents: Tensor
    grid: Grid  # on the latent grid
    conditions: list[Condition]


def estimate_motion(
    clips: Iterable[Clip], flow: FlowEstimator, *, multiple: int, device: torch.device
) -> Iterator[Prepared]:
    """Flow and visibility between neighbouring LR frames, shared ones included."""
    for clip in clips:
        padded = pad_to_multiple(clip.frames, multiple)[None]
        motion = None
        if padded.shape[1] > 1:
            known = max(clip.num_shared - 1, 0)  # pairs of frames that are both old
            forward, backward = (f.to(device) for f in flow(padded[:, known:]))
            motion = Motion.from_flow(forward, backward)
        yield Prepared(clip, padded[:, clip.num_shared :].to(device), motion)


def sample_clips(
    clips: Iterable[Prepared], model: SmallModel, config: UpscaleConfig, runtime: Runtime
) -> Iterator[Sampled]:
    """Draw the latents of each clip; within a shot each goes on where the one before ended.

    Where memory demands tiles, the denoiser sees them one by one and they are merged at every
    step, so that each frame still has one trajectory.
    """
    scheduler = make_scheduler(config.sampler.steps or model.default_steps)
    history: Trajectory | None = None
    for prepared in clips:
        if prepared.clip.num_shared == 0:
            history = None
        _, num_frames, _, height, width = prepared.lr_frames.shape
        size = (height // model.lr_multiple, width // model.lr_multiple)
        grid = Grid.plan(size, runtime.tile_size, TILE_OVERLAP)
        with torch.inference_mode():
            lr_tiles = grid.scaled(model.lr_multiple).cut(prepared.lr_frames)
            conditions = [model.condition(tile) for tile in lr_tiles]
            latents, history = sample_latents(
                _tiled_denoiser(model, grid, conditions),
                shape=(1, num_frames, model.latent_channels, *size),
                scheduler=scheduler,
                noise=_clip_noise(model, config.sampler.seed, prepared.clip.fresh, size, runtime),
                motion=prepared.motion.resized(size) if prepared.motion else None,
                motion_scale=config.sampler.motion_scale,
                history=history,
                guidance=config.sampler.guidance,
            )
        yield Sampled(prepared, latents, grid, conditions)


def decode_clips(
    clips: Iterable[Sampled], model: SmallModel, fidelity: float, memory: Memory = "warped"
) -> Iterator[Clip]:
    """Latents -> frames (T, 3, H, W), four times the LR size, float32 in [-1, 1], each once."""
    remembered: list[Tensor] | None = None  # one for each tile
    for sampled in clips:
        prepared, clip = sampled.prepared, sampled.prepared.clip
        if clip.num_shared == 0:
            remembered = None
        lr_grid = sampled.grid.scaled(model.lr_multiple)
        pieces: list[Tensor] = []
        after: list[Tensor] = []
        tiles = zip(
            lr_grid.cut(prepared.lr_frames),
            sampled.grid.cut(sampled.latents),
            sampled.conditions,
            _recalls(prepared, lr_grid, memory),
            strict=True,
        )
        for index, (lr_tile, latents, condition, recalls) in enumerate(tiles):
            with torch.inference_mode():
                frames, state = model.decode(
                    latents,
                    lr_tile,
                    condition.lr_features,
                    fidelity=fidelity,
                    remembered=remembered[index] if remembered else None,
                    recalls=recalls,
                )
            pieces.append(frames[0])
            after.append(state)
        remembered = after
        frames = lr_grid.scaled(model.scale).merge(pieces)
        height, width = clip.frames.shape[-2:]
        size = (height * model.scale, width * model.scale)
        yield Clip(clip.fresh.start, crop(frames, size).clamp(-1, 1), 0)


def _tiled_denoiser(model: SmallModel, grid: Grid, conditions: list[Condition]) -> Denoise:
    """The model's denoiser on every tile, merged; the state is the tiles' states in a row."""

    def denoise(x: Tensor, log_snr: Tensor, past: State | None) -> tuple[Tensor, State]:
        pieces: list[Tensor] = []
        states: State = []
        for index, (tile, condition) in enumerate(zip(grid.cut(x), conditions, strict=True)):
            size = len(past) // len(conditions) if past else 0
            own = past[size * index : size * (index + 1)] if past else None
            v, state = model.denoise(tile, log_snr, condition, own)
            pieces.append(v)
            states += state
        return grid.merge(pieces), states

    return denoise


def _clip_noise(
    model: SmallModel, seed: int, frames: range, size: tuple[int, int], runtime: Runtime
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
            device=runtime.device,
        )[None]

    return noise


def _recalls(prepared: Prepared, lr_grid: Grid, memory: Memory) -> list[list[Recall | None]]:
    """For each tile, how each fresh frame finds the one before it; None starts a shot.

    `still` finds every pixel where it is and takes it for visible, `off` finds nothing.
    """
    if memory == "off":
        return [[None] * prepared.lr_frames.shape[1] for _ in lr_grid.tiles]
    first: list[Recall | None] = [] if prepared.clip.num_shared else [None]
    if prepared.motion is None:
        return [first for _ in lr_grid.tiles]
    backward, visible = prepared.motion.flow_backward, prepared.motion.visible_backward
    if memory == "still":
        backward, visible = torch.zeros_like(backward), torch.ones_like(visible)
    return [
        [*first, *(Recall(flow[:, k], seen[:, k]) for k in range(flow.shape[1]))]
        for flow, seen in zip(lr_grid.cut(backward), lr_grid.cut(visible), strict=True)
    ]


def match_color(frames: Tensor, lr_frames: Tensor, how: ColorFix) -> Tensor:
    """Give SR frames (T, 3, 4H, 4W) the colours of the LR frames (T, 3, H, W)."""
    if how == "wavelet":
        return match_wavelet(frames, lr_frames)
    if how == "adain":
        return match_mean_std(frames, lr_frames)
    return frames
