"""SeedVR2: how imported files are read, planned and run.

Its networks are imported when they are needed, as those of other families are.
"""

from dataclasses import replace
from pathlib import Path

from vsr_cli.config import SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Report
from vsr_cli.models.base import VideoModel
from vsr_cli.models.files import read_header
from vsr_cli.pipeline.restorers.base import Family, ModelInfo, Restorer, refuse_foreign
from vsr_cli.pipeline.run_plan import RunPlan


class SeedVr2Family(Family):
    """SeedVR2 (arXiv 2506.05301), whose published weights users import."""

    name = "seedvr2"

    def inspect(self, path: Path) -> ModelInfo:
        """See `Family.inspect`."""
        from vsr_cli.models.seedvr2.config import read_config

        config = read_config(path, read_header(path).metadata)
        return ModelInfo(family=self.name, default_steps=config.default_steps)

    def resolve(self, config: UpscaleConfig, info: ModelInfo) -> UpscaleConfig:
        """See `Family.resolve`."""
        foreign = {
            "--guidance": config.sampler.guidance,
            "--memory": config.memory,
            "--mgld-mode": config.mgld_mode,
            "--flow": None if config.flow == "auto" else config.flow,
            "--flow-weights": config.flow_weights,
            "--compile": config.compile or None,
            "--supersample": config.supersample or None,
        }
        refuse_foreign(config, self.name, foreign)
        if config.sampler.motion_scale not in (0, SamplerConfig.motion_scale):
            raise ConfigError(
                "`--motion-scale` means nothing to this model",
                why="it takes one step, which leaves nothing to guide; motion is followed by its "
                "attention, which sees all frames of a clip",
                hint="leave it out, or choose another `--model`",
            )
        if config.fidelity != UpscaleConfig.fidelity:
            raise ConfigError(
                "`--fidelity` means nothing to this model",
                why="its decoder does not see the source",
                hint="leave it out, or mix the source in with `--strength`",
            )
        steps = config.sampler.steps or info.default_steps
        return replace(config, sampler=replace(config.sampler, steps=steps, motion_scale=0))

    def plan(
        self, path: Path, config: UpscaleConfig, lr_size: tuple[int, int], *, reserved: int = 0
    ) -> RunPlan:
        """See `Family.plan`."""
        from vsr_cli.models.seedvr2.config import read_config
        from vsr_cli.pipeline.restorers.seedvr2.memory import plan_seedvr2

        header = read_header(path)
        seedvr2 = read_config(path, header.metadata)
        return plan_seedvr2(header, seedvr2, config, lr_size, reserved=reserved)

    def describe_memory(self, path: Path) -> list[str]:
        """See `Family.describe_memory`."""
        from vsr_cli.models.seedvr2.config import read_config
        from vsr_cli.pipeline.restorers.seedvr2.memory import describe_needs

        header = read_header(path)
        return describe_needs(header, read_config(path, header.metadata))

    def load(self, path: Path) -> VideoModel:
        """See `Family.load`."""
        from vsr_cli.models.seedvr2.loading import load_seedvr2

        return load_seedvr2(path)

    def restorer(
        self, model: VideoModel, config: UpscaleConfig, run_plan: RunPlan, report: Report
    ) -> Restorer:
        """See `Family.restorer`."""
        from vsr_cli.models.seedvr2.model import SeedVr2Model
        from vsr_cli.pipeline.restorers.seedvr2.memory import SeedVr2RunPlan
        from vsr_cli.pipeline.restorers.seedvr2.restorer import SeedVr2Restorer

        del report
        assert isinstance(model, SeedVr2Model)
        assert isinstance(run_plan, SeedVr2RunPlan)
        return SeedVr2Restorer(model, config, run_plan)

    def guidance_name(self, config: UpscaleConfig) -> str:
        """See `Family.guidance_name`."""
        del config
        return "none"
