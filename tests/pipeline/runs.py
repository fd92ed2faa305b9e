"""The pipeline run as tests need it."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.cancellation import StopRequest
from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Done, Report, ignore
from vsr_cli.models.small.model import SmallModel
from vsr_cli.pipeline.clips import RgbFrame
from vsr_cli.pipeline.frames import frame_restorer, restore_frames
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.restorers.small.restorer import SmallRestorer
from vsr_cli.pipeline.run_plan import RunPlan
from vsr_cli.pipeline.upscale import Upscaler


def upscale_video(
    source: Path,
    target: Path,
    config: UpscaleConfig,
    *,
    report: Report = ignore,
    stop: StopRequest | None = None,
) -> Done:
    return Upscaler(config, stop=stop).upscale(source, target, report=report)


def restore(
    model: SmallModel,
    frames: Iterable[Tensor],
    config: UpscaleConfig,
    run_plan: RunPlan,
    *,
    report: Report = ignore,
) -> Tensor:
    """SR frames (T, 3, H, W) of LR frames (3, h, w), with a model that no file holds."""
    restorer = SmallRestorer(model, config, run_plan, report)
    clips = restore_frames(map(RgbFrame, frames), restorer, scene_cut=config.scene_cut)
    return torch.stack([frame for clip in clips for frame in clip.frames])


def restore_from_file(path: Path, lr_frames: Tensor, config: UpscaleConfig) -> Tensor:
    """SR frames (T, 3, H, W) of LR frames (T, 3, h, w), with the model in a file."""
    model = ModelFile(path)
    return frame_restorer(model, model.resolve(config))(lr_frames)
