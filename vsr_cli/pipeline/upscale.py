"""Upscale a video file: plan, resume, compute, encode, and put the target in place."""

import logging
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Done, Note, Plan, Progress, Report, ignore
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.reading.reader import VideoSource, open_video
from vsr_cli.media.side_streams import open_side_streams
from vsr_cli.media.writing.cfr import to_constant_rate
from vsr_cli.media.writing.destination import check_target
from vsr_cli.media.writing.encoder_plan import EncoderPlan
from vsr_cli.media.writing.writer import VideoWriter, join_chunks
from vsr_cli.models.base import VideoModel
from vsr_cli.models.files import shipped_weights
from vsr_cli.models.weights import load_model
from vsr_cli.pipeline.clips import num_shared_at
from vsr_cli.pipeline.convert import coded_frame, read_rgb
from vsr_cli.pipeline.frames import upscale_frames
from vsr_cli.pipeline.memory import MemoryExhaustedError, is_out_of_memory, release_memory
from vsr_cli.pipeline.restorers.registry import ModelInfo, flow_name, inspect_model, plan_run
from vsr_cli.pipeline.restorers.small.stages import ClipState
from vsr_cli.pipeline.resume.job import Job, is_resumable, open_job
from vsr_cli.pipeline.resume.manifest import (
    Manifest,
    PreviousPlan,
    identify_options,
    identify_source,
)
from vsr_cli.pipeline.resume.output import CheckpointedOutput
from vsr_cli.pipeline.resume.state import load_clip_state
from vsr_cli.pipeline.run_plan import RunPlan, choose_device, choose_dtype

SHORTEST_CLIP = 2  # frames

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One video on its way, and what was decided about it."""

    source: Path
    target: Path
    info: VideoInfo
    coding: EncoderPlan
    run_plan: RunPlan
    report: Report
    started: float  # seconds on the monotonic clock


def upscale_video(
    source: Path,
    target: Path,
    config: UpscaleConfig,
    *,
    report: Report = ignore,
    stop: StopRequest | None = None,
) -> Done:
    """Upscale `source` and write it to `target`; see `Upscaler.upscale`."""
    return Upscaler(config, stop=stop).upscale(source, target, report=report)


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
        with open_video(source, self.config.input) as video:
            check_target(target, source, self.config.output)
            if not is_resumable(source, target, self.config.output):
                _log.debug("a pipe, or single images: if this ends early, it starts anew next time")
                return self._upscale_once(video, source, target, report, started)
            info = video.info
        with (
            open_job(target, self.config.job) as job,
            open_side_streams(source, info, self.config.input) as others,
        ):
            check_target(target, source, self.config.output)  # it may have appeared meanwhile
            manifest = self._resume_or_start(job, source)
            size = self.config.target_size(info.height, info.width)
            with VideoWriter(  # a rehearsal: what encoder or container refuse is known now
                target, info, size, self.config.output, source=others, report=report, temp=job.temp
            ) as writer:
                coding = writer.plan
            if not manifest.checkpoint.is_complete:
                run = Run(
                    source=source,
                    target=target,
                    info=info,
                    coding=coding,
                    run_plan=self._plan_run(info, manifest.planned),
                    report=report,
                    started=started,
                )
                report(self._plan(run))
                self._compute(job, run, manifest)
            num_frames = join_chunks(
                job.chunks(),
                target,
                coding,
                info,
                self.config.output,
                source=others,
                report=ignore,  # the rehearsal has said it all
                temp=job.temp,
            )
            if not self.config.job.keep:
                job.remove()
        return _done(target, size, num_frames, started)

    def plan(self, source: Path, target: Path, *, report: Report = ignore) -> Plan:
        """Check both ends and say what would be done; computes and writes nothing.

        Raises:
            VsrError: as `upscale`, as far as that can be known.
        """
        with open_video(source, self.config.input) as video:
            info = video.info
            check_target(target, source, self.config.output)
            size = self.config.target_size(info.height, info.width)
            with VideoWriter(
                target, info, size, self.config.output, source=video.side_streams, report=report
            ) as writer:
                return self._plan(
                    Run(
                        source=source,
                        target=target,
                        info=info,
                        coding=writer.plan,
                        run_plan=self._plan_run(info, None),
                        report=report,
                        started=0,
                    )
                )

    def _upscale_once(
        self, video: VideoSource, source: Path, target: Path, report: Report, started: float
    ) -> Done:
        info = video.info
        size = self.config.target_size(info.height, info.width)
        with VideoWriter(
            target, info, size, self.config.output, source=video.side_streams, report=report
        ) as writer:
            run = Run(
                source=source,
                target=target,
                info=info,
                coding=writer.plan,
                run_plan=self._plan_run(info, None),
                report=report,
                started=started,
            )
            report(self._plan(run))
            num_frames = 0
            with _memory_errors():
                frames = _read(video, run, skip=0)
                with closing(self._clips(run, frames, ClipState(), first=0)) as clips:
                    for frame in chain.from_iterable(clips):
                        writer.write(frame)
                        num_frames += 1
            writer.finish()
        return _done(target, size, num_frames, started)

    def _compute(self, job: Job, run: Run, manifest: Manifest) -> None:
        """Compute what is missing; where clips turn out too long for the memory, with shorter ones.

        Raises:
            DeviceError: even the shortest need more than there is.
        """
        while True:
            try:
                with _memory_errors():
                    self._compute_rest(job, run, manifest)
                    return
            except MemoryExhaustedError:
                length = run.run_plan.clip_length // 2
                if length < SHORTEST_CLIP:
                    raise
            # Out here the failed run's tensors are no longer held by its traceback.
            release_memory()
            text = f"memory has run out; going back to the last checkpoint, with clips of {length}"
            run.report(Note(code="W_MEMORY_CLIPS", text=f"{text} frames"))
            run = replace(run, run_plan=replace(run.run_plan, clip_length=length))
            manifest = job.read() or manifest

    def _compute_rest(self, job: Job, run: Run, manifest: Manifest) -> None:
        """Compute from the last checkpoint to the end, or to where a stop is asked for."""
        config, run_plan, checkpoint = self.config, run.run_plan, manifest.checkpoint
        first, clip_state = checkpoint.num_frames, ClipState()
        if first:
            text = f"going on after {first} frames that are done"
            run.report(Note(code="W_RESUMED", text=text))
        if checkpoint.state is not None:
            state = job.folder / checkpoint.state
            clip_state = load_clip_state(state, config.sampler.guidance, run_plan.device)
        planned = PreviousPlan(
            asked_length=config.clip.length,
            asked_tile=config.tile,
            clip_length=run_plan.clip_length,
            tile_size=run_plan.tile_size,
        )
        manifest = replace(manifest, planned=planned)
        with (
            CheckpointedOutput(job, manifest, run.coding, run.info, config.job) as output,
            open_video(run.source, config.input) as video,
            self._stop.deferred(),
        ):
            frames = _read(video, run, skip=first - num_shared_at(first, config.clip))
            with closing(self._clips(run, frames, clip_state, first=first)) as clips:
                for clip in clips:
                    for frame in clip:
                        output.write(frame)
                    if self._stop.is_requested:
                        output.checkpoint(clip_state)
                        raise Stopped(num_frames=output.num_frames)
                    output.checkpoint_if_due(clip_state)
            output.finish()

    def _clips(
        self, run: Run, frames: Iterator[Frame], clip_state: ClipState, *, first: int
    ) -> Generator[Iterator[Frame], None, None]:
        """Enlarged frames ready to be encoded, clip by clip, from frame `first` on."""
        model = self._model.to(run.run_plan.device, run.run_plan.dtype)
        model.to(memory_format=torch.channels_last)
        headers: deque[Frame] = deque()  # frames read and not yet written, without their colours
        rgb = read_rgb(frames, headers)
        clips = upscale_frames(
            rgb,
            model,
            self.config,
            run.run_plan,
            first=first,
            clip_state=clip_state,
            report=run.report,
        )
        num_known = num_shared_at(first, self.config.clip)
        begun, done = time.monotonic(), first

        def finish(sr_frames: Tensor) -> Iterator[Frame]:
            nonlocal done
            for sr_frame in sr_frames:
                yield coded_frame(sr_frame, headers.popleft(), run.coding)
                done += 1
                run.report(
                    Progress(
                        stage="upscale",
                        frame=done,
                        num_frames=run.info.num_frames,
                        seconds=time.monotonic() - begun,
                        first=first,
                    )
                )

        with closing(clips):
            for clip in clips:
                while num_known:
                    headers.popleft()
                    num_known -= 1
                yield finish(clip.frames)

    def _resume_or_start(self, job: Job, source: Path) -> Manifest:
        """What an earlier run has left, if it is the same job; else a new one."""
        device, _ = choose_device(self.config.device)
        dtype, _ = choose_dtype(self.config.dtype, device)
        options = identify_options(self.config, device.type, _name(dtype))
        now = Manifest(path=str(source.absolute()), source=identify_source(source), options=options)
        before = job.read()
        if before is None:
            return now
        before.require_same(now)
        return before

    @cached_property
    def _model(self) -> VideoModel:
        return load_model(self._model_path)

    @property
    def _model_path(self) -> Path:
        return self.config.model or shipped_weights()

    @cached_property
    def _model_info(self) -> ModelInfo:
        return inspect_model(self._model_path)

    @property
    def _steps(self) -> int:
        return self.config.sampler.steps or self._model_info.default_steps

    def _plan_run(self, info: VideoInfo, planned: PreviousPlan | None) -> RunPlan:
        """As in the run before, if the user asks for the same; else what fits now."""
        config = self.config
        run_plan = plan_run(self._model_path, config, (info.height, info.width))
        asked = (config.clip.length, config.tile)
        if planned is None or asked != (planned.asked_length, planned.asked_tile):
            return run_plan
        return replace(run_plan, clip_length=planned.clip_length, tile_size=planned.tile_size)

    def _plan(self, run: Run) -> Plan:
        """What was chosen, in one record."""
        config, run_plan, coding, info = self.config, run.run_plan, run.coding, run.info
        return Plan(
            source=str(run.source),
            target=str(run.target),
            model=self._model_path.name,
            device=str(run_plan.device),
            dtype=_name(run_plan.dtype),
            steps=self._steps,
            seed=config.sampler.seed,
            motion_scale=config.sampler.motion_scale,
            fidelity=config.fidelity,
            color=config.color,
            flow=flow_name(self._model_info, config),
            clip_length=run_plan.clip_length,
            tile=f"{8 * run_plan.tile_size} pixels" if run_plan.tile_size else "off",
            source_size=(info.height, info.width),
            target_size=coding.size,
            num_frames=info.num_frames,
            codec=coding.codec,
            pix_fmt=coding.pix_fmt,
            reasons=run_plan.reasons + coding.reasons,
            memory_gb=_gigabytes(run_plan.peak_bytes),
            free_memory_gb=_gigabytes(run_plan.free_bytes),
        )


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Tell a lack of memory from other failures, wherever it strikes."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryExhaustedError.of(error) from None  # its traceback would hold on to the memory


def _read(video: VideoSource, run: Run, *, skip: int) -> Iterator[Frame]:
    """The frames to enlarge, but for some at the front."""
    if not run.coding.is_regular:
        return video.frames(report=run.report, skip=skip)
    every = to_constant_rate(video.frames(report=run.report), run.coding, run.info, run.report)
    return islice(every, skip, None)


def _gigabytes(num_bytes: int | None) -> float | None:
    return None if num_bytes is None else round(num_bytes / 1e9, 2)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _done(target: Path, size: tuple[int, int], num_frames: int, started: float) -> Done:
    return Done(
        target=target,
        frames_in=num_frames,
        frames_out=num_frames,
        height=size[0],
        width=size[1],
        seconds=time.monotonic() - started,
    )
