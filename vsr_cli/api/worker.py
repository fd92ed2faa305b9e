"""What all that makes videos of videos has in common."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_cli.cancellation import StopRequest
from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Plan, Report, ignore
from vsr_cli.options import Options, PathLike, make_config
from vsr_cli.repair_options import Task

if TYPE_CHECKING:
    from vsr_cli.pipeline.upscale import Upscaler as Pipeline


class Worker:
    """What works on videos one after the other, with the same options."""

    def __init__(self, task: Task, stop: StopRequest | None, options: Options) -> None:
        self.config: UpscaleConfig = make_config(options, task)
        self._stop = stop

    def plan(self, source: PathLike, target: PathLike, *, report: Report = ignore) -> Plan:
        """Say what would be done; see `plan`."""
        return self._pipeline.plan(Path(source), Path(target), report=report)

    def is_made(self, target: PathLike) -> bool:
        """Whether there is something under the name of a target; of many images, any of them."""
        from vsr_cli.media.writing.destination import is_made

        return is_made(Path(target), self.config.output)

    def forget_finished(self, target: PathLike) -> None:
        """Remove what a crash has left of the job of a target that is complete.

        A job does so as well; this is for those who skip targets that exist.
        """
        from vsr_cli.pipeline.resume.job import remove_finished

        remove_finished(Path(target), self.config.job)

    @cached_property
    def _pipeline(self) -> "Pipeline":
        from vsr_cli.pipeline.upscale import Upscaler as Pipeline

        if self.config.job.ray is not None:
            from vsr_cli.pipeline.cluster.upscaler import ClusterUpscaler as Pipeline

        return Pipeline(self.config, stop=self._stop)
