"""What is decided before anything is computed: the target, what fits, and how long it takes."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Report, ignore
from vsr_cli.media.open import is_pipe
from vsr_cli.media.reading.reader import VideoSource, open_video
from vsr_cli.media.writing.destination import require_no_input
from vsr_cli.media.writing.output_plan import OutputPlan, plan_output
from vsr_cli.media.writing.rehearsal import rehearse
from vsr_cli.models.files import shipped_weights
from vsr_cli.pipeline.begun import as_before
from vsr_cli.pipeline.memory import release_memory
from vsr_cli.pipeline.repair.plan import check_repairs, plan_chain
from vsr_cli.pipeline.repair.preview import foresee
from vsr_cli.pipeline.repair.rate import info_at_rate
from vsr_cli.pipeline.resume.job import is_resumable
from vsr_cli.pipeline.resume.manifest import Manifest, PreviousPlan
from vsr_cli.pipeline.resume.space import plan_disk
from vsr_cli.pipeline.run import Run, bytes_beside
from vsr_cli.pipeline.run_plan import RunPlan, choose_device
from vsr_cli.pipeline.units.places import bytes_of_others, count_workers, threads_of_each
from vsr_cli.pipeline.units.walk import UnitJob

if TYPE_CHECKING:
    from vsr_cli.pipeline.restorers.registry import ModelFile

LARGE_FRAME = 10**7  # bytes, as of 4K


class Planner:
    """Plans jobs of one model, which is not loaded for it."""

    def __init__(self, config: UpscaleConfig) -> None:
        """Nothing is loaded yet.

        Args:
            config: the same for all videos.
        """
        self.config = config
        self.model = _find_model(config)

    def _plan_output(
        self, video: VideoSource, source: Path, target: Path, report: Report
    ) -> OutputPlan:
        require_no_input(target, self.config.inputs)
        check_repairs(self.config, source, video.info, report)
        size = self.config.target_size(video.info.height, video.info.width)
        info = info_at_rate(video.info, self.config.fps)
        plan = plan_output(target, source, info, size, self.config.output, report=report)
        # What does not fit is refused before two frames of its size are encoded.
        if self.model is not None:
            lr_size = (video.info.height, video.info.width)
            self._fit(self.config.for_source(*lr_size), plan, bytes_beside(plan))
        from_chunks = is_resumable(source, plan.container)
        rehearse(plan, video.side_streams, from_chunks=from_chunks, report=report)
        if plan.coding.frame_bytes > LARGE_FRAME:
            release_memory()  # what the encoder has left counts as taken
        return plan

    def _plan_run(
        self,
        video: VideoSource,
        source: Path,
        output: OutputPlan,
        planned: PreviousPlan | None,
        report: Report,
    ) -> Run:
        """As in the run before, if the user asks for the same; else what fits now."""
        lr_size = (output.info.height, output.info.width)
        config, run_plan = self.config.for_source(*lr_size), None
        make_chain = partial(plan_chain, config, source, video.info, report)
        chain = make_chain()
        scratch_bytes, num_threads = 2 * chain.state_bytes, None
        if self.model is not None:
            config = self.model.resolve(config)
            run_plan = self._fit(config, output, bytes_beside(output) + chain.num_bytes)
            run_plan = as_before(run_plan, config, planned)
            scratch_bytes += 2 * run_plan.state_bytes + run_plan.scratch_bytes
            if run_plan.device.type == "cpu" and self._num_workers > 1:
                num_threads = threads_of_each(self._num_workers)
        disk = None
        if is_resumable(source, output.container):
            disk = plan_disk(
                output.target,
                output.coding,
                config.job,
                num_workers=self._num_workers,
                scratch_bytes=scratch_bytes,
                num_frames=output.info.num_frames,
            )
        return Run(
            source=source,
            output=output,
            model=self.model,
            config=config,
            run_plan=run_plan,
            make_chain=make_chain,
            report=report,
            disk=disk,
            num_threads=num_threads,
        )

    @property
    def _num_workers(self) -> int:
        return count_workers(self.config)

    def _fit(self, config: UpscaleConfig, output: OutputPlan, reserved: int) -> RunPlan:
        """Find out how much can be computed at once, with so many bytes for what is beside."""
        assert self.model is not None
        config = self.model.resolve(config)
        reserved += bytes_of_others(self._num_workers, choose_device(config.device)[0])
        lr_size = (output.info.height, output.info.width)
        return self.model.plan(config, lr_size, reserved=reserved)

    def _with_foresight(self, run: Run) -> Run:
        """The same after a trial of the model, and a look at the source if it can be read twice."""
        run = self._try_speed(run)
        if is_pipe(run.source):
            return run
        return replace(run, foreseen=foresee(run.config, run.source, run.output.info))

    def _try_speed(self, run: Run) -> Run:
        return run.try_speed()

    def unit_job(
        self, source: Path, target: Path, folder: Path, manifest: Manifest, report: Report = ignore
    ) -> UnitJob:
        """A job in units as another process has begun it.

        Args:
            source: the same file as there.
            target: likewise.
            folder: of the job.
            manifest: with the table of units.
            report: receives all events.

        Raises:
            VsrError: as `upscale`.
        """
        run = self.plan_part(source, target, manifest.planned, report)
        return UnitJob(folder=folder, target=run.output.target, run=run, manifest=manifest)

    def plan_part(
        self, source: Path, target: Path, planned: PreviousPlan | None, report: Report = ignore
    ) -> Run:
        """Plan to compute some of a job, as another process has begun it; arguments as above.

        Raises:
            VsrError: as `upscale`.
        """
        with open_video(source, self.config.input) as video:
            info = video.info
            size = self.config.target_size(info.height, info.width)
            output = plan_output(target, source, info, size, self.config.output, report=ignore)
            return self._plan_run(video, source, output, planned, report)


def _find_model(config: UpscaleConfig) -> "ModelFile | None":
    if not config.has_model:
        return None
    from vsr_cli.pipeline.restorers.registry import ModelFile  # loads the networks

    return ModelFile(config.model or shipped_weights())
