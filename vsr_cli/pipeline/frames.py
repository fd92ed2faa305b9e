"""The pipeline without files: low-resolution frames in, clips of enlarged ones out."""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.config import GivenLatents, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Report, ignore
from vsr_cli.models.base import VideoModel
from vsr_cli.models.small.model import SmallModel
from vsr_cli.ops.resize import resize
from vsr_cli.ops.shots import is_cut
from vsr_cli.pipeline.clips import Clip, IsCut, cut_clips
from vsr_cli.pipeline.memory import reuse_memory
from vsr_cli.pipeline.restorers.registry import plan_run, upscale_imported
from vsr_cli.pipeline.restorers.small.adaptive import AdaptiveNetworks
from vsr_cli.pipeline.restorers.small.restorer import run_stages, upscale_small
from vsr_cli.pipeline.restorers.small.stages import ClipState, Prepared, Sampled, place_latents
from vsr_cli.pipeline.run_plan import RunPlan


def upscale_frames(
    frames: Iterator[Tensor],
    model: VideoModel,
    config: UpscaleConfig,
    run_plan: RunPlan,
    *,
    first: int = 0,
    clip_state: ClipState | None = None,
    report: Report = ignore,
) -> Generator[Clip, None, None]:
    """LR frames (3, h, w) in [-1, 1] -> clips of SR frames (T, 3, H, W), each frame once.

    They have the target's size, or are larger ones of the same shape: a model enlarges by whole
    numbers.

    Args:
        frames: from the start, or from what `cut_clips` needs to go on at `first`.
        model: on the device and in the dtype of `run_plan`.
        config: how.
        run_plan: how many frames at once.
        first: the frame to go on with.
        clip_state: what the clip before it handed on. After each clip that is yielded it holds
            what that one hands on.
        report: hears how scarce memory is coped with.
    """
    reuse_memory()
    clip_state = clip_state or ClipState()
    cuts = _find_cuts(config)
    if not isinstance(model, SmallModel):
        yield from upscale_imported(
            frames, model, config, run_plan, cuts, first=first, clip_state=clip_state, report=report
        )
        return
    yield from upscale_small(
        frames, model, config, run_plan, cuts, first=first, clip_state=clip_state, report=report
    )


def frame_upscaler(
    model: VideoModel, path: Path, config: UpscaleConfig
) -> Callable[[Tensor], Tensor]:
    """The pipeline without files: LR (T, 3, H, W) in [-1, 1] -> SR frames on the CPU.

    They have the target's size. `path` is where the model was loaded from.
    """

    def upscale(lr_frames: Tensor) -> Tensor:
        lr_size = (lr_frames.shape[-2], lr_frames.shape[-1])
        run_plan = plan_run(path, config, lr_size)
        model.to(run_plan.device, run_plan.dtype)
        clips = upscale_frames(iter(lr_frames), model, config, run_plan)
        return _join(clips, config.target_size(*lr_size))

    return upscale


def frame_decoder(
    model: VideoModel, path: Path, config: UpscaleConfig, given: GivenLatents
) -> Callable[[Tensor, Tensor], Tensor]:
    """As `frame_upscaler`, with latents that are given: LR frames and truth -> SR frames.

    Raises:
        ConfigError: this model takes no such latents.
    """
    if not isinstance(model, SmallModel):
        raise ConfigError(
            f"`{path.name}` takes no latents but its own",
            why=f"it is of the family `{model.family}`; only the shipped one can be given others",
            hint="leave out `--latents`, or use the shipped weights",
        )
    if given.is_true and config.scale not in model.scales:
        raise ConfigError(
            f"`{path.name}` has no true latents at scale {config.scale}",
            why="it computes at another scale and reduces, where there is no truth to encode",
            hint=f"use `--scale {max(model.scales)}`, or latents of zero",
        )
    network = model  # of the type that is now known

    def decode(lr_frames: Tensor, hr_frames: Tensor) -> Tensor:
        lr_size = (lr_frames.shape[-2], lr_frames.shape[-1])
        run_plan = plan_run(path, config, lr_size)
        network.to(run_plan.device, run_plan.dtype)
        clip_config = replace(config.clip, length=run_plan.clip_length)
        clips = cut_clips(iter(lr_frames), clip_config, _find_cuts(config))

        def place(ready: Iterable[Prepared], networks: AdaptiveNetworks) -> Iterator[Sampled]:
            return place_latents(ready, networks, config, run_plan, given, hr_frames)

        found = run_stages(clips, network, config, run_plan, place, ClipState(), ignore)
        return _join(found, config.target_size(*lr_size))

    return decode


def _join(clips: Iterable[Clip], size: tuple[int, int]) -> Tensor:
    """All frames, of (height, width), on the CPU."""
    return torch.cat([resize(clip.frames.cpu(), size) for clip in clips])


def _find_cuts(config: UpscaleConfig) -> IsCut:
    return is_cut if config.scene_cut else _never


def _never(previous: Tensor, current: Tensor) -> bool:
    return False
