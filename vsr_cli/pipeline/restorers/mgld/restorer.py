"""Clips through an imported model: five frames at a time, each shot without seams."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.diffusion.motion import Motion, guide_paper
from vsr_cli.diffusion.sampler import Trajectory, sample_from_lr
from vsr_cli.diffusion.schedule import keyed_noise, make_respaced_chain
from vsr_cli.events import Report
from vsr_cli.models.flow import FlowEstimator
from vsr_cli.models.mgld.config import LATENT_CHANNELS, LATENT_STRIDE
from vsr_cli.models.mgld.model import MgldModel
from vsr_cli.ops.resize import crop, pad_to_multiple, resize
from vsr_cli.ops.windows import Grid
from vsr_cli.pipeline.clips import Clip, IsCut, cut_clips
from vsr_cli.pipeline.restorers.mgld.memory import TILE_OVERLAP, MgldRunPlan, work_size
from vsr_cli.pipeline.restorers.mgld.networks import Networks, enlarge
from vsr_cli.pipeline.restorers.small.stages import ClipState, match_color

FLOW_STRIDE = 4  # pixels of a frame for each pixel that flow is estimated on


def upscale_clips(
    frames: Iterator[Tensor],
    model: MgldModel,
    config: UpscaleConfig,
    run_plan: MgldRunPlan,
    flow: FlowEstimator,
    is_cut: IsCut,
    *,
    first: int,
    clip_state: ClipState,
    report: Report,
) -> Iterator[Clip]:
    """LR frames (3, H, W) in [-1, 1] -> clips of SR frames, at least as large as the target.

    The networks see five frames: one that was finished before, three new ones, and one ahead, so
    that each is sampled and decoded with a neighbour on either side. The first two are those that
    the clip before saw last, and go through the states they had there: every frame has one
    trajectory, and where clips meet nothing is blended. What is to be finished is fixed by the
    shot alone; there is no clip length to choose.

    Args:
        frames: from the start, or from what `cut_clips` needs to go on at `first`.
        model: on the device and in the dtype of `run_plan`.
        config: how.
        run_plan: how much at once.
        flow: of neighbouring frames.
        is_cut: whether a shot ends between two frames.
        first: the frame to go on with.
        clip_state: what the clip before it handed on, and then what each one that is yielded did.
        report: hears how scarce memory is coped with.
    """
    networks = Networks(model, run_plan, report)
    clips = cut_clips(
        frames, replace(config.clip, length=run_plan.clip_length), is_cut, first=first
    )
    for clip, ahead in _look_ahead(clips):
        if clip.num_shared == 0:
            clip_state.trajectory = None
        held = torch.cat([clip.frames, *([ahead[None]] if ahead is not None else [])])
        # The last clip of a shot is short; the networks get five frames nonetheless.
        short = model.config.clip_length - len(held)
        filled = torch.cat([held, held[-1:].expand(short, -1, -1, -1)]) if short > 0 else held
        with torch.inference_mode():
            size = work_size(config, _size(held), model.config.least_side)
            enlarged = enlarge(filled.to(run_plan.device), size)
            padded = pad_to_multiple(enlarged, LATENT_STRIDE)
            latents, kept = _sample(
                networks,
                padded,
                config,
                flow,
                start=clip.start,
                known_states=clip_state.trajectory.predictions if clip_state.trajectory else None,
                num_carried=0 if ahead is None else 2,
            )
            done = _decode(networks, latents, padded, config.fidelity)
            sr_frames = crop(done, size)[clip.num_shared : len(clip.frames)].clamp(-1, 1)
            lr_frames = clip.frames[clip.num_shared :].to(run_plan.device)
            matched = match_color(sr_frames, lr_frames, config.color)
        clip_state.trajectory = (
            Trajectory([[] for _ in kept], kept, []) if ahead is not None else None
        )
        yield Clip(clip.fresh.start, matched, 0)


def _look_ahead(clips: Iterator[Clip]) -> Iterator[tuple[Clip, Tensor | None]]:
    """Each clip with the frame after it; None where its shot ends."""
    clip = next(clips, None)
    while clip is not None:
        following = next(clips, None)
        goes_on = following is not None and following.num_shared > 0
        yield clip, following.frames[following.num_shared] if following and goes_on else None
        clip = following


def _sample(
    networks: Networks,
    padded: Tensor,
    config: UpscaleConfig,
    flow: FlowEstimator,
    *,
    start: int,
    known_states: list[Tensor] | None,
    num_carried: int,
) -> tuple[Tensor, list[Tensor]]:
    """Latents (1, T, 4, h, w) of enlarged frames (T, 3, H, W), and what the next clip needs."""
    height, width = (side // LATENT_STRIDE for side in padded.shape[-2:])
    lr_latents = networks.encode(padded)
    guide: Callable[[Tensor, float], Tensor] | None = None
    if config.sampler.motion_scale > 0:
        small = (padded.shape[-2] // FLOW_STRIDE, padded.shape[-1] // FLOW_STRIDE)
        found = flow(resize(padded, small)[None])
        forward, backward = (field.to(padded.device) for field in found)
        motion = Motion.from_flow(forward, backward).resized((height, width))

        def guide(latents: Tensor, sigma: float) -> Tensor:
            strength = config.sampler.motion_scale
            return guide_paper(latents, motion, strength=strength, variance=sigma**2)

    def noise(step: int) -> Tensor:
        return keyed_noise(
            config.sampler.seed,
            frames=range(start, start + len(padded)),
            step=step,
            channels=LATENT_CHANNELS,
            rows=range(height),
            columns=range(width),
            device=padded.device,
        )[None]

    with networks.sampling():
        return sample_from_lr(
            lambda x, t: networks.predict_noise(x, lr_latents, t),
            lr_latents,
            chain=make_respaced_chain(config.sampler.steps or networks.model.default_steps),
            noise=noise,
            guide=guide,
            known_states=known_states,
            num_carried=num_carried,
        )


def _decode(networks: Networks, latents: Tensor, padded: Tensor, fidelity: float) -> Tensor:
    """Frames (T, 3, H, W): whole, or in tiles that are faded into each other."""
    size = (latents.shape[-2], latents.shape[-1])
    grid = Grid.plan(size, networks.run_plan.tile_size, TILE_OVERLAP)
    pixels = grid.scaled(LATENT_STRIDE)
    pieces = [
        networks.decode(of_latents, of_frames, fidelity)
        for of_latents, of_frames in zip(grid.cut(latents), pixels.cut(padded), strict=True)
    ]
    return pixels.merge(pieces)


def _size(frames: Tensor) -> tuple[int, int]:
    return frames.shape[-2], frames.shape[-1]
