"""Where the families of models part ways: how a job is planned, and which stages it runs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Report
from vsr_cli.models.base import VideoModel
from vsr_cli.models.files import is_imported, read_header
from vsr_cli.models.flow import FLOW_PREFIX, DisFlow, FlowEstimator, RaftFlow
from vsr_cli.models.weights import read_config
from vsr_cli.pipeline.clips import Clip, IsCut
from vsr_cli.pipeline.restorers.small.memory import plan_small
from vsr_cli.pipeline.restorers.small.stages import ClipState
from vsr_cli.pipeline.run_plan import RunPlan

_REFERENCE_UPDATES, _UPDATES = 10, 12  # of RAFT


@dataclass(frozen=True)
class ModelInfo:
    """What a file of weights tells of its model before that is loaded."""

    family: str
    default_steps: int
    has_flow: bool


def inspect_model(path: Path) -> ModelInfo:
    """Read the header of a file of weights.

    Raises:
        WeightsError: missing, damaged, or of another family or version.
    """
    if not is_imported(path):
        return ModelInfo("small", read_config(path).default_steps, has_flow=False)
    from vsr_cli.models.mgld import config as mgld

    header = read_header(path)
    steps = mgld.read_config(path, header.metadata).default_steps
    return ModelInfo("mgld", steps, any(name.startswith(FLOW_PREFIX) for name in header.num_values))


def plan_run(path: Path, config: UpscaleConfig, lr_size: tuple[int, int]) -> RunPlan:
    """How the model in a file runs on a source of (height, width).

    Raises:
        ConfigError: options contradict each other.
        DeviceError: the device is absent, or too small.
        WeightsError: the file is not what it should be.
    """
    if not is_imported(path):
        model = read_config(path)
        steps = config.sampler.steps or model.default_steps
        return plan_small(config, lr_size, steps, model.scales)
    from vsr_cli.models.mgld import config as mgld
    from vsr_cli.pipeline.restorers.mgld.memory import plan_mgld

    header = read_header(path)
    run_plan = plan_mgld(header, mgld.read_config(path, header.metadata), config, lr_size)
    if config.flow_weights or inspect_model(path).has_flow:
        return run_plan
    why = "flow dis: no RAFT was imported with the model"
    return replace(run_plan, reasons=(*run_plan.reasons, why))


def upscale_imported(
    frames: Iterator[Tensor],
    model: VideoModel,
    config: UpscaleConfig,
    run_plan: RunPlan,
    is_cut: IsCut,
    *,
    first: int,
    clip_state: ClipState,
    report: Report,
) -> Iterator[Clip]:
    """`upscale_frames` for models that were imported."""
    from vsr_cli.models.mgld.model import MgldModel  # seconds that others need not wait
    from vsr_cli.pipeline.restorers.mgld.memory import MgldRunPlan
    from vsr_cli.pipeline.restorers.mgld.parity import upscale_segments
    from vsr_cli.pipeline.restorers.mgld.restorer import upscale_clips

    assert isinstance(model, MgldModel)
    assert isinstance(run_plan, MgldRunPlan)
    flow = make_flow(config, run_plan.device, bundled_flow=model.path if model.has_flow else None)
    if config.mgld_mode == "parity":
        return upscale_segments(frames, model, config, run_plan, flow, first=first, report=report)
    return upscale_clips(
        frames,
        model,
        config,
        run_plan,
        flow,
        is_cut,
        first=first,
        clip_state=clip_state,
        report=report,
    )


def make_flow(
    config: UpscaleConfig, device: torch.device, *, bundled_flow: Path | None = None
) -> FlowEstimator:
    """The flow estimator that was asked for, or else the one that the model brings."""
    updates = _REFERENCE_UPDATES if config.mgld_mode == "parity" else _UPDATES
    path = config.flow_weights or bundled_flow
    return RaftFlow(path, device=device, num_updates=updates) if path else DisFlow()


def flow_name(model_info: ModelInfo, config: UpscaleConfig) -> str:
    """Name the flow estimator that `make_flow` returns."""
    return "raft" if model_info.has_flow else config.flow


def guidance_name(model_info: ModelInfo, config: UpscaleConfig) -> str:
    """Which pull along the motion a job gets: imported models have their own."""
    if model_info.family == "small":
        return config.sampler.guidance
    return "released" if config.mgld_mode == "parity" else "paper"
