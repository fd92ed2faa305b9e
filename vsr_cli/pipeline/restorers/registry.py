"""The families of models there are, and a file of weights as one of them."""

from functools import cached_property
from pathlib import Path

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Report
from vsr_cli.models.base import VideoModel
from vsr_cli.models.files import family_of
from vsr_cli.pipeline.restorers.base import Family, ModelInfo, Restorer
from vsr_cli.pipeline.restorers.mgld.family import MgldFamily
from vsr_cli.pipeline.restorers.seedvr2.family import SeedVr2Family
from vsr_cli.pipeline.restorers.small.family import SmallFamily
from vsr_cli.pipeline.run_plan import RunPlan

_SMALL_SIZE = (64, 64)

_FAMILIES: dict[str, type[Family]] = {
    family.name: family for family in (SmallFamily, MgldFamily, SeedVr2Family)
}


class ModelFile:
    """A file of weights, and the model in it, which is loaded when it is first needed."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self.path = path

    @cached_property
    def family(self) -> Family:
        """The family that the file's header names."""
        return _FAMILIES.get(family_of(self.path), SmallFamily)()

    @cached_property
    def info(self) -> ModelInfo:
        """What the file's header tells; see `Family.inspect`."""
        return self.family.inspect(self.path)

    @cached_property
    def model(self) -> VideoModel:
        """The model, in evaluation mode; see `Family.load`."""
        return self.family.load(self.path)

    def resolve(self, config: UpscaleConfig) -> UpscaleConfig:
        """Fill in what the user has left to the model; see `Family.resolve`."""
        return self.family.resolve(config, self.info)

    def plan(
        self, config: UpscaleConfig, lr_size: tuple[int, int], *, reserved: int = 0
    ) -> RunPlan:
        """Choose how the model runs on a source of (height, width); see `Family.plan`."""
        return self.family.plan(self.path, config, lr_size, reserved=reserved)

    def computes_in(self, config: UpscaleConfig) -> tuple[torch.device, torch.dtype]:
        """Where and in which number format a job runs that is not short of memory."""
        run_plan = self.plan(config, _SMALL_SIZE)
        return run_plan.device, run_plan.dtype

    def restorer(self, config: UpscaleConfig, run_plan: RunPlan, report: Report) -> Restorer:
        """Load the model, and have it ready for one source; see `Family.restorer`."""
        return self.family.restorer(self.model, config, run_plan, report)
