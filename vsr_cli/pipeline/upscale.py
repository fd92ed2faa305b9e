"""Upscale video files: decide, take up what was begun, compute, and put the target in place."""

import logging
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vsr_cli.cancellation import StopRequest
from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Done, Plan, Report, ignore
from vsr_cli.media.reading.reader import VideoSource, open_video
from vsr_cli.media.writing.destination import check_target
from vsr_cli.media.writing.output_plan import OutputPlan
from vsr_cli.media.writing.writer import VideoWriter, join_chunks
from vsr_cli.pipeline.begun import as_before, go_on, new_manifest, read_job, require_pipe
from vsr_cli.pipeline.checkpointed import compute
from vsr_cli.pipeline.planner import Planner
from vsr_cli.pipeline.prefetch import write_behind
from vsr_cli.pipeline.resume.folder import job_folder
from vsr_cli.pipeline.resume.job import Job, is_resumable, open_job, remove_finished
from vsr_cli.pipeline.resume.manifest import Manifest, identify_source
from vsr_cli.pipeline.resume.units import Shard
from vsr_cli.pipeline.run import (
    Run,
    frames_behind,
    memory_errors,
)
from vsr_cli.pipeline.said import what_is_done, without_repeats
from vsr_cli.pipeline.units.head import (
    all_cores,
    chunks_of,
    compute_shard,
    do_alone,
    is_shared,
    open_table,
    repeat_notes,
    shard_plan,
    share,
    shared_plan,
    with_units,
)
from vsr_cli.pipeline.units.places import count_workers, find_places
from vsr_cli.pipeline.units.scan import scan_units, why_whole
from vsr_cli.pipeline.units.scanners import scanners_here
from vsr_cli.pipeline.units.slots import Slots
from vsr_cli.pipeline.units.walk import UnitJob

_log = logging.getLogger(__name__)


class Upscaler(Planner):
    """Upscales videos one after the other, with one model that is loaded when first needed.

    slots: which places of this machine its workers have.
    """

    def __init__(self, config: UpscaleConfig, *, stop: StopRequest | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            config: the same for all videos.
            stop: a way to end a video early, so that it can go on later.
        """
        super().__init__(config)
        self._stop = stop or StopRequest()
        self.slots = Slots()

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
        require_pipe(self.config, source)
        report = without_repeats(report)
        remove_finished(target, self.config.job)
        with memory_errors(), open_video(source, self.config.input) as video:
            output = self._plan_output(video, source, target, report)
            if self.config.job.shard is not None:
                return self._upscale_shard(video, source, output, report)
            if is_resumable(source, output.container):
                written = self._upscale_in_job(video, source, output, report)
            else:
                if is_shared(self.config):
                    do_alone(self.config, None, report)
                _log.debug("a pipe, or single images: if this ends early, it starts anew next time")
                written = self._upscale_once(video, source, output, report)
        num_frames_in = self._num_frames_in(video, output, written[0])
        return replace(what_is_done(output, written, num_frames_in, started), target=target)

    def plan(self, source: Path, target: Path, *, report: Report = ignore) -> Plan:
        """Check both ends and say what would be done; leaves no file.

        A few small frames may be restored, to tell how long all of them will take.

        Raises:
            VsrError: as `upscale`, as far as that can be known.
        """
        require_pipe(self.config, source)
        report = without_repeats(report)
        with open_video(source, self.config.input) as video:
            output = self._plan_output(video, source, target, report)
            run = self._with_foresight(self._plan_run(video, source, output, None, report))
            count, shard = count_workers(self.config), self.config.job.shard
            if shard is None and not is_shared(self.config):
                return run.describe()
            if (why := why_whole(run)) is not None or not is_resumable(source, output.container):
                do_alone(self.config, why, report)
                return all_cores(run).describe()
            table = scan_units(run, scanners_here())
            if shard is not None:
                return shard_plan(run, table, Shard(*shard))
            return shared_plan(run, table, count)

    def _num_frames_in(self, video: VideoSource, output: OutputPlan, num_frames: int) -> int:
        """How many frames the source has, of which so many were made."""
        if self.config.fps is None and not output.coding.is_regular:
            return num_frames
        if video.num_read is not None:
            return video.num_read
        # An earlier run has read it to its end, or one that has run out of memory.
        return video.info.num_frames or round(num_frames * video.info.rate / output.coding.rate)

    def join(self, source: Path, target: Path, *, report: Report = ignore) -> Done:
        """Make the target of a job whose shards are all done; see `units.joining`.

        Raises:
            OutputError: a unit is missing.
            VsrError: as `upscale`.
        """
        started = time.monotonic()
        with open_video(source, self.config.input) as video:
            output = self._plan_output(video, source, target, report)
            with open_job(output.target, self.config.job) as job:
                manifest = job.read()
                assert manifest is not None
                assert manifest.units is not None
                manifest.require_same(replace(manifest, source=identify_source(source)))
                repeat_notes(manifest.units, report)
                units = self.unit_job(source, output.target, job.folder, manifest, report)
                joined = self._join(job, chunks_of(units), output, video, report)
            return what_is_done(output, joined, manifest.units.num_frames, started)

    def _upscale_shard(
        self, video: VideoSource, source: Path, output: OutputPlan, report: Report
    ) -> Done:
        assert self.config.job.shard is not None
        if not is_resumable(source, output.container):
            raise ConfigError(
                "this job cannot be computed in shards",
                why="the source cannot be read again, or the target is not made of chunks",
                hint="leave `--shard` out",
            )
        folder = job_folder(output.target, self.config.job)
        before = Job(output.target, folder).read()
        run = self._plan_run(video, source, output, before.planned if before else None, report)
        now = new_manifest(run, output.target)
        manifest = open_table(output.target, folder, run, now)
        if before is not None and manifest.units is not None:
            repeat_notes(manifest.units, report)
        elif manifest.planned is not None and run.run_plan is not None:
            # Another shard may have come first, with less memory.
            run = replace(run, run_plan=as_before(run.run_plan, run.config, manifest.planned))
        assert manifest.units is not None
        shard = Shard(*self.config.job.shard)
        units = UnitJob(folder=folder, target=output.target, run=run, manifest=manifest)
        report(shard_plan(run, manifest.units, shard, units.num_done))
        return compute_shard(units, shard, self._stop)

    def _upscale_in_job(
        self, video: VideoSource, source: Path, output: OutputPlan, report: Report
    ) -> tuple[int, tuple[str, ...]]:
        with open_job(output.target, self.config.job) as job:
            check_target(output.target, source, output.config)  # it may have appeared meanwhile
            before = read_job(job, report)
            planned = before.planned if before else None
            self._prepare(job, source)
            run = self._plan_run(video, source, output, planned, report)
            manifest = go_on(job, before, self._new_manifest(run, job.target), report)
            if not manifest.checkpoint.is_complete:
                if before is None:
                    run = self._with_foresight(run)
                if before is None:
                    self._require_disk(job, run)
                manifest = self._shared(job, run, manifest, is_new=before is None)
            if manifest.units is not None:
                chunks = self._compute_units(job, run, manifest)
            else:
                run = all_cores(run)
                if not manifest.checkpoint.is_complete:
                    report(run.describe(num_done=manifest.checkpoint.first))
                    compute(job, run, manifest, video, self._stop)
                    if (done := job.read()) is not None:
                        job.check(done)
                chunks = job.chunks()
            return self._join(job, chunks, output, video, report)

    def _prepare(self, job: Job, source: Path) -> None:
        """Whoever else takes part is there before anything is planned."""

    def _require_disk(self, job: Job, run: Run) -> None:
        if run.disk is not None:
            run.disk.require(job.folder)

    def _new_manifest(self, run: Run, target: Path) -> Manifest:
        return new_manifest(run, target)

    def _shared(self, job: Job, run: Run, manifest: Manifest, *, is_new: bool) -> Manifest:
        """The manifest of a job that is to be shared gets its table, if that can be."""
        if manifest.units is not None or not is_shared(self.config):
            return manifest
        why = why_whole(run) if is_new else "one process has begun it"
        if why is not None:
            do_alone(self.config, why, run.report)
            return manifest
        assert run.run_plan is not None
        find_places(run.config, run.run_plan.device, count_workers(self.config))
        manifest = with_units(manifest, run, scanners_here())
        manifest.write(job.manifest_path)
        return manifest

    def _compute_units(self, job: Job, run: Run, manifest: Manifest) -> list[Path]:
        """Have all units computed by workers; returns their chunks."""
        assert manifest.units is not None
        count = count_workers(self.config)
        repeat_notes(manifest.units, run.report)
        units = UnitJob(folder=job.folder, target=job.target, run=run, manifest=manifest)
        run.report(shared_plan(run, manifest.units, count, units.num_done))
        return share(units, count, self.slots, self._stop)

    def _join(
        self,
        job: Job,
        chunks: list[Path],
        output: OutputPlan,
        video: VideoSource,
        report: Report,
    ) -> tuple[int, tuple[str, ...]]:
        """Make the target of its chunks, and remove the job."""
        written = join_chunks(
            chunks,
            output,
            video.side_streams,
            report=report,
            temp=job.temp,
            on_complete=None if self.config.job.keep else job.note_written,
        )
        if not self.config.job.keep:
            job.remove()
        return written

    def _upscale_once(
        self, video: VideoSource, source: Path, output: OutputPlan, report: Report
    ) -> tuple[int, tuple[str, ...]]:
        with VideoWriter(output, video.side_streams, report=report) as writer:
            run = all_cores(self._plan_run(video, source, output, None, report))
            if self.config.max_delay is None:
                run = run.try_speed()
            report(run.describe())
            progress, num_frames = run.progress(0), 0
            with (
                memory_errors(),
                write_behind(writer.write, frames_behind(output.coding)) as queue,
                # Left first: what is written may wait for what is read.
                closing(run.coded_clips(video, progress=progress)) as clips,
            ):
                for clip in clips:
                    for frame in clip.frames:
                        queue.put(frame)
                        num_frames += 1
                        progress.count(num_frames)
                progress.finish()
            run.remember(progress)
            streams = writer.finish()
            return writer.num_frames, streams
