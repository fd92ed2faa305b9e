"""Upscale video files: decide, take up what was begun, compute, and put the target in place."""

import logging
import time
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_cli.cancellation import StopRequest
from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError, JobDamagedError
from vsr_cli.events import Done, Event, Note, Plan, Report, ignore
from vsr_cli.media.open import is_pipe
from vsr_cli.media.reading.reader import VideoSource, open_video
from vsr_cli.media.writing.destination import check_target, require_no_input
from vsr_cli.media.writing.output_plan import OutputPlan, plan_output
from vsr_cli.media.writing.rehearsal import rehearse
from vsr_cli.media.writing.writer import VideoWriter, join_chunks
from vsr_cli.models.files import shipped_weights
from vsr_cli.pipeline.checkpointed import compute
from vsr_cli.pipeline.memory import release_memory
from vsr_cli.pipeline.prefetch import write_behind
from vsr_cli.pipeline.repair.plan import check_repairs, plan_chain
from vsr_cli.pipeline.repair.preview import foresee
from vsr_cli.pipeline.repair.rate import info_at_rate
from vsr_cli.pipeline.resume.job import Job, is_resumable, open_job, remove_finished
from vsr_cli.pipeline.resume.manifest import (
    Manifest,
    PreviousPlan,
    identify_options,
    identify_source,
)
from vsr_cli.pipeline.resume.space import plan_disk
from vsr_cli.pipeline.run import (
    Run,
    bytes_beside,
    frames_behind,
    memory_errors,
)
from vsr_cli.pipeline.run_plan import RunPlan, dtype_name

if TYPE_CHECKING:
    from vsr_cli.pipeline.restorers.registry import ModelFile

LARGE_FRAME = 10**7  # bytes, as of 4K

_log = logging.getLogger(__name__)


class Upscaler:
    """Upscales videos one after the other, with one model that is loaded when first needed."""

    def __init__(self, config: UpscaleConfig, *, stop: StopRequest | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            config: the same for all videos.
            stop: a way to end a video early, so that it can go on later.
        """
        self.config = config
        self._stop = stop or StopRequest()
        self.model = _find_model(config)

    def upscale(self, source: Path, target: Path, *, report: Report = ignore) -> Done:
        """Upscale one video, everything beside the picture copied.

        Everything that can be refused is refused before the model loads. The target appears only
        when it is complete and verified; until then nothing of its name is touched. What is done
        lies beside it: whatever ends this early, the same call goes on there, to the same frames.
        A pipe cannot be read again, and is done in one go.

        Raises:
            VsrError: the class names what to mend: input, output, weights, device or options.
            Stopped: as was asked for.
        """
        started = time.monotonic()
        self._require_pipe(source)
        report = _without_repeats(report)
        remove_finished(target, self.config.job)
        with memory_errors(), open_video(source, self.config.input) as video:
            output = self._plan_output(video, source, target, report)
            if is_resumable(source, output.container):
                num_frames, streams = self._upscale_in_job(video, source, output, report)
            else:
                _log.debug("a pipe, or single images: if this ends early, it starts anew next time")
                num_frames, streams = self._upscale_once(video, source, output, report)
        return Done(
            target=target,
            frames_in=self._num_frames_in(video, num_frames),
            frames_out=num_frames,
            height=output.coding.size[0],
            width=output.coding.size[1],
            seconds=time.monotonic() - started,
            num_bytes=_size(output),
            streams=streams,
        )

    def plan(self, source: Path, target: Path, *, report: Report = ignore) -> Plan:
        """Check both ends and say what would be done; computes nothing, and leaves no file.

        Raises:
            VsrError: as `upscale`, as far as that can be known.
        """
        self._require_pipe(source)
        report = _without_repeats(report)
        with open_video(source, self.config.input) as video:
            output = self._plan_output(video, source, target, report)
            run = self._plan_run(video, source, output, None, report)
            return self._with_foresight(run).describe()

    def _require_pipe(self, source: Path) -> None:
        """Refuse a file as a live source.

        Raises:
            ConfigError: it is one.
        """
        if self.config.max_delay is not None and not is_pipe(source):
            raise ConfigError(
                "`--live` is for a source that comes as it happens",
                why=f"`{source}` is a file, which waits",
                hint="give `-` or a named pipe, or leave `--live` out",
            )

    def _num_frames_in(self, video: VideoSource, num_frames: int) -> int:
        """How many frames the source has, of which so many were made."""
        if self.config.fps is None:
            return num_frames
        return video.info.num_frames or round(num_frames * video.info.rate / self.config.fps)

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
            config = self.model.resolve(self.config.for_source(*lr_size))
            self.model.plan(config, lr_size, reserved=bytes_beside(plan))
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
        scratch_bytes = 2 * chain.state_bytes
        if self.model is not None:
            config = self.model.resolve(config)
            reserved = bytes_beside(output) + chain.num_bytes
            run_plan = self.model.plan(config, lr_size, reserved=reserved)
            run_plan = _as_before(run_plan, config, planned)
            scratch_bytes += 2 * run_plan.state_bytes + run_plan.scratch_bytes
        disk = None
        if is_resumable(source, output.container):
            disk = plan_disk(
                output.target,
                output.coding,
                config.job,
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
        )

    def _with_foresight(self, run: Run) -> Run:
        """The same after a look at the source, if it can be read twice."""
        if is_pipe(run.source):
            return run
        return replace(run, foreseen=foresee(run.config, run.source, run.output.info))

    def _upscale_in_job(
        self, video: VideoSource, source: Path, output: OutputPlan, report: Report
    ) -> tuple[int, tuple[str, ...]]:
        with open_job(output.target, self.config.job) as job:
            check_target(output.target, source, output.config)  # it may have appeared meanwhile
            before = _read_job(job, report)
            planned = before.planned if before else None
            run = self._plan_run(video, source, output, planned, report)
            manifest = _resume_or_start(job, before, run)
            if not manifest.checkpoint.is_complete:
                if before is None:
                    run = self._with_foresight(run)
                report(run.describe())
                if run.disk is not None and before is None:
                    run.disk.require(job.folder)
                compute(job, run, manifest, video, self._stop)
                if (done := job.read()) is not None:
                    job.check(done)
            others, temp = video.side_streams, job.temp
            written = join_chunks(
                job.chunks(),
                output,
                others,
                report=report,
                temp=temp,
                on_complete=None if self.config.job.keep else job.note_written,
            )
            if not self.config.job.keep:
                job.remove()
        return written

    def _upscale_once(
        self, video: VideoSource, source: Path, output: OutputPlan, report: Report
    ) -> tuple[int, tuple[str, ...]]:
        with VideoWriter(output, video.side_streams, report=report) as writer:
            run = self._plan_run(video, source, output, None, report)
            report(run.describe())
            progress, num_frames = run.progress(0), 0
            with (
                memory_errors(),
                write_behind(writer.write, frames_behind(output.coding)) as queue,
                # Left first: what is written may wait for what is read.
                closing(run.coded_clips(video, on_work=progress.work)) as clips,
            ):
                for clip in clips:
                    for frame in clip.frames:
                        queue.put(frame)
                        num_frames += 1
                        progress.count(num_frames)
            run.remember(progress)
            return num_frames, writer.finish()


def _size(output: OutputPlan) -> int | None:
    """Bytes of a target that is one file, and still there."""
    if output.container.is_pipe or output.container.is_image_sequence:
        return None
    with suppress(OSError):
        return output.target.stat().st_size
    return None


def _find_model(config: UpscaleConfig) -> "ModelFile | None":
    if not config.has_model:
        return None
    from vsr_cli.pipeline.restorers.registry import ModelFile  # loads the networks

    return ModelFile(config.model or shipped_weights())


def _as_before(run_plan: RunPlan, config: UpscaleConfig, planned: PreviousPlan | None) -> RunPlan:
    """As much at once as in the run before, where the user asks for the same."""
    asked = (config.clip.length, config.tile)
    if planned is None or asked != (planned.asked_length, planned.asked_tile):
        return run_plan
    tile_size = planned.tile_size
    return replace(
        run_plan,
        clip_length=planned.clip_length,
        tile_size=tile_size,
        is_state_on_disk=tile_size is not None,
    )


def _read_job(job: Job, report: Report) -> Manifest | None:
    """What an earlier run has written down; None if nothing that can be read."""
    try:
        return job.read()
    except JobDamagedError as error:
        _report_damage(error.why, "starting anew", report)
        job.clear()
        return None


def _report_damage(why: str | None, then: str, report: Report) -> None:
    text = f"what an earlier run has left is damaged ({why}): {then}"
    report(Note(code="W_JOB_DAMAGED", text=text))


def _resume_or_start(job: Job, before: Manifest | None, run: Run) -> Manifest:
    """What an earlier run has left, if it is the same job, as far as it is whole; else a new one.

    Raises:
        ConfigError: it is another job.
    """
    device, dtype = "cpu", "none"
    if run.run_plan is not None:
        device, dtype = run.run_plan.device.type, dtype_name(run.run_plan.dtype)
    now = Manifest(
        path=str(run.source.absolute()),
        target=str(job.target.absolute()),
        num_frames=run.output.info.num_frames,
        command=run.config.job.command,
        source=identify_source(run.source),
        options=identify_options(run.config, device, dtype),
    )
    if before is None:
        return now
    before.require_same(now)
    before = replace(before, command=now.command or before.command)
    if (damage := job.find_damage(before)) is None:
        return before
    if (rest := before.back_to(damage.num_chunks)) is None:
        _report_damage(damage.why, "starting anew", run.report)
        job.clear()
        return now
    then = f"going back to frame {rest.checkpoint.first}, with which a shot starts"
    _report_damage(damage.why, then, run.report)
    rest.write(job.manifest_path)
    return rest


def _without_repeats(report: Report) -> Report:
    """Pass on each note once: the target is written after a rehearsal that has said the same."""
    said: set[Note] = set()

    def pass_on(event: Event) -> None:
        if isinstance(event, Note):
            if event in said:
                return
            said.add(event)
        report(event)

    return pass_on
