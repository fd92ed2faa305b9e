"""Clips through the shipped family: motion, latents, frames."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace

from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Report
from vsr_cli.models.small.model import SmallModel
from vsr_cli.pipeline.clips import Clip, IsCut, cut_clips
from vsr_cli.pipeline.prefetch import prefetch
from vsr_cli.pipeline.restorers.registry import make_flow
from vsr_cli.pipeline.restorers.small.adaptive import AdaptiveNetworks
from vsr_cli.pipeline.restorers.small.stages import (
    ClipState,
    Prepared,
    Sampled,
    decode_clips,
    estimate_motion,
    sample_clips,
)
from vsr_cli.pipeline.run_plan import RunPlan, native_scale

FindLatents = Callable[[Iterable[Prepared], AdaptiveNetworks], Iterator[Sampled]]


def upscale_small(
    frames: Iterator[Tensor],
    model: SmallModel,
    config: UpscaleConfig,
    run_plan: RunPlan,
    is_cut: IsCut,
    *,
    first: int,
    clip_state: ClipState,
    report: Report,
) -> Iterator[Clip]:
    """`upscale_frames` for models of the shipped family."""
    clip_config = replace(config.clip, length=run_plan.clip_length)
    clips = cut_clips(frames, clip_config, is_cut, first=first)

    def sample(ready: Iterable[Prepared], networks: AdaptiveNetworks) -> Iterator[Sampled]:
        return sample_clips(ready, networks, config, run_plan, clip_state)

    yield from run_stages(clips, model, config, run_plan, sample, clip_state, report)


def run_stages(
    clips: Iterable[Clip],
    model: SmallModel,
    config: UpscaleConfig,
    run_plan: RunPlan,
    find_latents: FindLatents,
    clip_state: ClipState,
    report: Report,
) -> Iterator[Clip]:
    """Run all stages, whichever way the latents are come by.

    Args:
        clips: of LR frames.
        model: on the device and in the dtype of `run_plan`.
        config: how.
        run_plan: how much at once.
        find_latents: samples them, or gives others.
        clip_state: what the clip before the first one handed on, and then what each hands on.
        report: hears how scarce memory is coped with.
    """
    scale = native_scale(model.scales, config.scale)
    flow = make_flow(config, run_plan.device)
    prepared = estimate_motion(clips, flow, scale=scale, device=run_plan.device)
    networks = AdaptiveNetworks(
        model, scale, tile_size=run_plan.tile_size, may_tile=config.tile != 0, report=report
    )
    # Reading and flow are the CPU's work and go on while the networks compute.
    with closing(prefetch(prepared, 1)) as ready:
        yield from decode_clips(find_latents(ready, networks), networks, config, clip_state)
