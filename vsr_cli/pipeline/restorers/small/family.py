"""The shipped family: how its files are read, planned and run."""

from dataclasses import replace
from pathlib import Path

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Report
from vsr_cli.models.base import VideoModel
from vsr_cli.models.small.model import SmallModel
from vsr_cli.models.weights import load_weights, read_config
from vsr_cli.pipeline.restorers.base import Family, ModelInfo, refuse_foreign
from vsr_cli.pipeline.restorers.flow import resolve_flow
from vsr_cli.pipeline.restorers.small.memory import plan_small
from vsr_cli.pipeline.restorers.small.restorer import SmallRestorer
from vsr_cli.pipeline.run_plan import RunPlan


class SmallFamily(Family):
    """Models that this repository trains."""

    name = SmallModel.family

    def inspect(self, path: Path) -> ModelInfo:
        """See `Family.inspect`."""
        return ModelInfo(family=self.name, default_steps=read_config(path).default_steps)

    def resolve(self, config: UpscaleConfig, info: ModelInfo) -> UpscaleConfig:
        """See `Family.resolve`."""
        refuse_foreign(config, self.name, {"--mgld-mode": config.mgld_mode})
        sampler = replace(
            config.sampler,
            steps=config.sampler.steps or info.default_steps,
            guidance=config.sampler.guidance or "bounded",
        )
        config = replace(config, sampler=sampler, memory=config.memory or "warped")
        return resolve_flow(config, has_flow=info.has_flow)

    def plan(
        self, path: Path, config: UpscaleConfig, lr_size: tuple[int, int], *, reserved: int = 0
    ) -> RunPlan:
        """See `Family.plan`."""
        model = read_config(path)
        steps = config.sampler.steps or model.default_steps
        return plan_small(
            config,
            lr_size,
            steps,
            model.offered_scales,
            has_ranges=bool(model.activation_ranges),
            reserved=reserved,
        )

    def load(self, path: Path) -> VideoModel:
        """See `Family.load`."""
        return load_weights(path)

    def restorer(
        self, model: VideoModel, config: UpscaleConfig, run_plan: RunPlan, report: Report
    ) -> SmallRestorer:
        """See `Family.restorer`."""
        assert isinstance(model, SmallModel)
        return SmallRestorer(model, config, run_plan, report)

    def is_quick_on(self, device: torch.device) -> bool:
        """See `Family.is_quick_on`."""
        return True

    def guidance_name(self, config: UpscaleConfig) -> str:
        """See `Family.guidance_name`."""
        return config.sampler.guidance or "bounded"
