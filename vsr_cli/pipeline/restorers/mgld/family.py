"""The published family: how imported files are read, planned and run.

Its networks take seconds to import, which users of other models need not wait for.
"""

from dataclasses import replace
from pathlib import Path

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import WeightsError
from vsr_cli.events import Report
from vsr_cli.models.base import VideoModel
from vsr_cli.models.files import read_header
from vsr_cli.models.flow import FLOW_PREFIX
from vsr_cli.pipeline.restorers.base import Family, ModelInfo, Restorer, refuse_foreign
from vsr_cli.pipeline.restorers.flow import resolve_flow
from vsr_cli.pipeline.run_plan import RunPlan


class MgldFamily(Family):
    """MGLD-VSR (arXiv 2312.00853), whose published weights users import."""

    name = "mgld"

    def inspect(self, path: Path) -> ModelInfo:
        """See `Family.inspect`."""
        from vsr_cli.models.mgld.config import read_config

        header = read_header(path)
        config = read_config(path, header.metadata)
        return ModelInfo(
            family=self.name,
            default_steps=config.default_steps,
            has_flow=any(name.startswith(FLOW_PREFIX) for name in header.num_values),
            clip_length=config.clip_length,
        )

    def resolve(self, config: UpscaleConfig, info: ModelInfo) -> UpscaleConfig:
        """See `Family.resolve`."""
        own = {
            "guidance": config.sampler.guidance,
            "memory": config.memory,
            "--compile": config.compile or None,
            "--supersample": config.supersample or None,
        }
        refuse_foreign(config, self.name, own)
        sampler = replace(config.sampler, steps=config.sampler.steps or info.default_steps)
        config = replace(config, sampler=sampler, mgld_mode=config.mgld_mode or "default")
        config = resolve_flow(config, has_flow=info.has_flow)
        is_guided = config.sampler.motion_scale > 0
        if config.mgld_mode == "parity" and is_guided and config.flow != "raft":
            raise WeightsError(
                "`--mgld-mode parity` needs RAFT",
                why="no flow network was imported with the model, or `--flow dis` was given",
                hint="add it with `vsr weights import --flow raft-things.pth`, or use "
                "`--flow-weights FILE`",
            )
        return config

    def plan(
        self, path: Path, config: UpscaleConfig, lr_size: tuple[int, int], *, reserved: int = 0
    ) -> RunPlan:
        """See `Family.plan`."""
        from vsr_cli.models.mgld.config import read_config
        from vsr_cli.pipeline.restorers.mgld.memory import plan_mgld

        header = read_header(path)
        run_plan = plan_mgld(
            header, read_config(path, header.metadata), config, lr_size, reserved=reserved
        )
        if config.flow == "raft":
            return run_plan
        why = "flow dis: no RAFT was imported with the model, or it was not wanted"
        return replace(run_plan, reasons=(*run_plan.reasons, why))

    def describe_memory(self, path: Path) -> list[str]:
        """See `Family.describe_memory`."""
        from vsr_cli.models.mgld.config import read_config
        from vsr_cli.pipeline.restorers.mgld.memory import describe_needs

        header = read_header(path)
        return describe_needs(header, read_config(path, header.metadata))

    def load(self, path: Path) -> VideoModel:
        """See `Family.load`."""
        from vsr_cli.models.mgld.loading import load_mgld

        return load_mgld(path)

    def restorer(
        self, model: VideoModel, config: UpscaleConfig, run_plan: RunPlan, report: Report
    ) -> Restorer:
        """See `Family.restorer`."""
        from vsr_cli.models.mgld.model import MgldModel
        from vsr_cli.pipeline.restorers.mgld.memory import MgldRunPlan
        from vsr_cli.pipeline.restorers.mgld.parity import SegmentRestorer
        from vsr_cli.pipeline.restorers.mgld.restorer import MgldRestorer

        assert isinstance(model, MgldModel)
        assert isinstance(run_plan, MgldRunPlan)
        if config.mgld_mode == "parity":
            return SegmentRestorer(model, config, run_plan, report)
        return MgldRestorer(model, config, run_plan, report)

    def splits_shots(self, config: UpscaleConfig) -> bool:
        """See `Family.splits_shots`; segments of five frames know no cuts."""
        return config.mgld_mode != "parity"

    def guidance_name(self, config: UpscaleConfig) -> str:
        """See `Family.guidance_name`."""
        return "released" if config.mgld_mode == "parity" else "paper"
