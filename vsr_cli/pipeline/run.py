"""One video through the pipeline: what was decided about it, and its frames ready to be encoded."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import MemoryExhaustedError
from vsr_cli.events import Plan, Report
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.reading.reader import VideoSource
from vsr_cli.media.writing.cfr import to_constant_rate
from vsr_cli.media.writing.encoder_memory import encoder_bytes
from vsr_cli.media.writing.encoder_plan import EncoderPlan
from vsr_cli.media.writing.output_plan import OutputPlan
from vsr_cli.pipeline.clips import ClipState, RestoredClip, num_shared_at
from vsr_cli.pipeline.convert import SourceMix, coded_frame, kept_frame, read_rgb
from vsr_cli.pipeline.frames import restore_frames
from vsr_cli.pipeline.memory import CPU, free_memory, is_out_of_memory
from vsr_cli.pipeline.prefetch import prefetch
from vsr_cli.pipeline.progress import ProgressReporter
from vsr_cli.pipeline.repair.stage import PREFIX, Chain
from vsr_cli.pipeline.resume.space import DiskPlan
from vsr_cli.pipeline.resume.units import Unit
from vsr_cli.pipeline.run_plan import RunPlan, dtype_name
from vsr_cli.pipeline.speed import (
    computing_with,
    remember_speed,
    remembered_speed,
    speed_key,
)
from vsr_cli.pipeline.units.source import read_unit

if TYPE_CHECKING:  # a job without a model loads none of this
    from vsr_cli.pipeline.restorers.base import Restorer
    from vsr_cli.pipeline.restorers.registry import ModelFile

FRAMES_AHEAD = 4  # that are repaired while others are encoded
PROGRAM_BYTES = 750_000_000  # of Python and the libraries, and of the networks' weights
FRAMES_BEHIND = 4  # that may wait for the encoder
MOST_BYTES_BEHIND = 200_000_000  # where frames are large, fewer


@dataclass(frozen=True)
class CodedClip:
    """Neighbouring frames of the target as they are encoded.

    frames: computed as they are taken.
    state: gives what is needed to go on after them, once all are taken; None where that is nothing.
        It holds until the next clip is asked for.
    starts_shot: whether nothing of what comes before is needed for them.
    """

    frames: Iterator[Frame]
    state: Callable[[], ClipState | None]
    starts_shot: bool = False


@dataclass(frozen=True)
class NamedTensors:
    """The state of a restorer and that of the repairs before it, side by side."""

    named: dict[str, Tensor]
    restorer_state: ClipState | None

    def tensors(self) -> dict[str, Tensor]:
        """See `ClipState`."""
        return self.named

    def release(self) -> None:
        """See `ClipState`."""
        if self.restorer_state is not None:
            self.restorer_state.release()


@dataclass(frozen=True, kw_only=True)
class Run:
    """One video on its way, and what was decided about it.

    source: where it is read from.
    output: what the target will be.
    model: which one enlarges it; None: frames keep their size, and most of them their samples.
    config: the user's choices, and the model's for what they left open.
    run_plan: where and how much at once; None without a model.
    make_chain: gives what repairs the frames before that, anew for each reading of the source.
    report: receives all events.
    disk: what unfinished work takes there; None where none is kept.
    foreseen: what a look at the source has told, one line each.
    tried_speed: seconds for each frame and pixel of the source, from a trial; None: not tried.
    num_threads: of the CPU, for each of the workers that share it; None: one process has them all.
    unit: the part of the source that is computed; None: all of it.
    is_seekable: whether a jump to the unit may be tried.
    """

    source: Path
    output: OutputPlan
    model: "ModelFile | None"
    config: UpscaleConfig
    run_plan: RunPlan | None
    make_chain: Callable[[], Chain]
    report: Report
    disk: DiskPlan | None = None
    foreseen: tuple[str, ...] = ()
    tried_speed: float | None = None
    num_threads: int | None = None
    unit: Unit | None = None
    is_seekable: bool = False

    @property
    def origin(self) -> int:
        """The frame with which all begins."""
        return 0 if self.unit is None else self.unit.entry

    def describe(self, *, num_done: int = 0) -> Plan:
        """Return everything that was chosen, in one record.

        Args:
            num_done: frames that an earlier run has made.
        """
        config, output, chain = self.config, self.output, self.make_chain()
        plan = Plan(
            source=str(self.source),
            target=str(output.target),
            source_size=(output.info.height, output.info.width),
            target_size=output.coding.size,
            num_frames=output.info.num_frames,
            duration=_duration(output.info),
            codec=output.coding.codec,
            pix_fmt=output.coding.pix_fmt,
            repairs=chain.names,
            rate=config.fps,
            reasons=self.foreseen + chain.reasons + output.coding.reasons,
            memory_gb=_gigabytes(PROGRAM_BYTES + bytes_beside(output) + chain.num_bytes),
            disk_gb=_gigabytes(self.disk.needed if self.disk else None),
            free_disk_gb=_gigabytes(self.disk.free if self.disk else None),
        )
        if self.model is None or self.run_plan is None:
            return replace(plan, free_memory_gb=_gigabytes(free_memory(CPU)))
        run_plan, peak_bytes = self.run_plan, self.run_plan.peak_bytes
        if peak_bytes is not None and run_plan.device.type == "cpu":
            peak_bytes += PROGRAM_BYTES + bytes_beside(output) + chain.num_bytes
        return replace(
            plan,
            model=self.model.path.name,
            device=str(run_plan.device),
            dtype=dtype_name(run_plan.dtype),
            steps=config.sampler.steps or self.model.info.default_steps,
            seed=config.sampler.seed,
            motion_scale=config.sampler.motion_scale,
            fidelity=config.fidelity,
            strength=config.strength,
            color=config.color,
            flow=config.flow,
            clip_length=run_plan.clip_length,
            tile=f"{run_plan.tile_pixels} pixels" if run_plan.tile_size else "off",
            reasons=run_plan.reasons + plan.reasons,
            memory_gb=_gigabytes(peak_bytes),
            free_memory_gb=_gigabytes(run_plan.free_bytes),
            seconds=self._seconds(num_done),
            is_trial=self.remembered_speed() is None and self.tried_speed is not None,
        )

    @property
    def task(self) -> str:
        """What is done, in a word."""
        return "upscale" if self.model is not None else "+".join(self.make_chain().names)

    def progress(self, first: int) -> ProgressReporter:
        """Begin to report, from frame `first` on."""
        about = None if self._num_frames is None else round(self._num_frames)
        num_frames = self.output.info.num_frames
        return ProgressReporter(self.task, num_frames, self.report, first=first, about=about)

    def remember(self, progress: ProgressReporter) -> None:
        """Keep how long frames took, for the plans of later jobs."""
        if (key := self._speed_key) is not None and progress.pace is not None:
            remember_speed(key, progress.pace / self._num_pixels)

    def remembered_speed(self) -> float | None:
        """Seconds for each frame and pixel of the source, as a job like this took here."""
        return None if (key := self._speed_key) is None else remembered_speed(key)

    @property
    def _speed_key(self) -> str | None:
        if self.model is None or self.run_plan is None:
            return None
        with computing_with(self.num_threads):
            return speed_key(self.model.path, self.config, self.run_plan)

    def try_speed(self) -> "Run":
        """The same with a trial of the model, where nothing else tells how long it will take."""
        if self.model is None or self.run_plan is None or self.remembered_speed() is not None:
            return self
        if not self.model.family.is_quick_on(self.run_plan.device):
            return self
        from vsr_cli.pipeline.trial import WORTHWHILE, measure_speed  # loads the networks

        height, width = self.output.coding.size
        if self._num_frames is None or self._num_frames * height * width < WORTHWHILE:
            return self
        with computing_with(self.num_threads):
            return replace(self, tried_speed=measure_speed(self.model, self.config))

    def _seconds(self, num_done: int) -> float | None:
        """How long the frames that are left will take."""
        speed = self.remembered_speed() or self.tried_speed
        if speed is None or self._num_frames is None:
            return None
        return round(speed * self._num_pixels * max(self._num_frames - num_done, 0), 1)

    @property
    def _num_frames(self) -> float | None:
        """Of the target; where the source does not say, as many as its length tells."""
        info = self.output.info
        if info.num_frames is not None:
            return info.num_frames
        return None if info.duration is None else float(info.duration * info.rate)

    @property
    def _num_pixels(self) -> int:
        return self.output.info.height * self.output.info.width

    def coded_clips(
        self,
        video: VideoSource,
        *,
        first: int = 0,
        tensors: Mapping[str, Tensor] | None = None,
        progress: ProgressReporter | None = None,
    ) -> Generator[CodedClip, None, None]:
        """The frames of the target in order, repaired, enlarged and as they are encoded.

        Args:
            video: the source, nothing read from it beyond its first frame.
            first: index of the frame to go on with.
            tensors: the state after the clip before it, by name; None where it had none.
            progress: is told how much of the frames that come is computed, and where they end.
        """
        chain = self.make_chain()
        with memory_errors():
            if self.model is None or self.run_plan is None:
                frames = self._run_chain(video, chain, first, tensors)
                yield from self._repaired(_ending(frames, first, progress), chain, first)
            else:
                restorer = self.model.restorer(self.config, self.run_plan, self.report)
                if self.config.max_delay is not None:
                    restorer = self._keeping_up(restorer, self.config.max_delay)
                if progress is not None:
                    progress.follow(restorer.meter)
                needed = first - num_shared_at(first, restorer.clip_overlap, self.origin)
                frames = self._run_chain(video, chain, needed, tensors)
                frames = _ending(frames, needed, progress)
                yield from self._restored(frames, chain, restorer, first, tensors)

    def _keeping_up(self, restorer: "Restorer", max_delay: float) -> "Restorer":
        """A restorer that leaves out what there is no time for."""
        from vsr_cli.pipeline.live import LiveRestorer  # few jobs need it
        from vsr_cli.pipeline.trial import measure_speed

        assert self.model is not None
        seconds = measure_speed(self.model, self.config) * self._num_pixels
        return LiveRestorer(restorer, self.output.coding.size, max_delay, seconds, self.report)

    def _repaired(self, repaired: Iterator[Frame], chain: Chain, first: int) -> Iterator[CodedClip]:
        """Frames without a model, a few at a time."""
        coded = (kept_frame(frame, self.output.coding) for frame in repaired)
        with closing(prefetch(coded, FRAMES_AHEAD)) as frames:
            while clip := list(islice(frames, FRAMES_AHEAD)):
                first += len(clip)
                yield CodedClip(iter(clip), partial(_state_of, None, chain, first))
                chain.forget(first)

    def _restored(
        self,
        repaired: Iterator[Frame],
        chain: Chain,
        restorer: "Restorer",
        first: int,
        tensors: Mapping[str, Tensor] | None,
    ) -> Iterator[CodedClip]:
        """Enlarged frames, clip by clip."""
        overlap = restorer.clip_overlap
        needed = first - num_shared_at(first, overlap, self.origin)
        own = {key: x for key, x in (tensors or {}).items() if not key.startswith(PREFIX)}
        state = restorer.read_state(own) if own else None
        rgb = read_rgb(repaired)
        sources = SourceMix(self.config.strength, num_skipped=first - needed)
        with closing(
            restore_frames(
                sources.kept(rgb),
                restorer,
                scene_cut=self.config.scene_cut,
                first=first,
                origin=self.origin,
                state=state,
                first_index=self.config.input.first_index,
            )
        ) as clips:
            for clip in clips:
                stop = clip.start + len(clip.headers)
                needed = stop - num_shared_at(stop, overlap, self.origin)
                state_after = partial(_state_of, clip.state, chain, needed)
                yield CodedClip(self._coded(clip, sources), state_after, clip.starts_shot)
                chain.forget(needed)

    def _coded(self, clip: RestoredClip, sources: SourceMix) -> Iterator[Frame]:
        """The frames of a clip, as they are encoded."""
        with memory_errors():
            for sr_frame, header in zip(clip.frames, clip.headers, strict=True):
                coding = self.output.coding
                yield coded_frame(sources.mixed(sr_frame, coding.size), header, coding)

    def _run_chain(
        self, video: VideoSource, chain: Chain, first: int, tensors: Mapping[str, Tensor] | None
    ) -> Iterator[Frame]:
        """The repaired frames of the source, from one on."""
        repaired = chain.run(partial(self._read, video), first=first, tensors=tensors)
        if self.config.fps is None:
            return repaired
        # They are at a constant rate, which a target without a clock counts from its own start.
        return to_constant_rate(repaired, self.output.coding, self.output.info, self.report)

    def _read(self, video: VideoSource, skip: int) -> Iterator[Frame]:
        """The frames of the source, but for some at the front."""
        coding, info = self.output.coding, self.output.info
        if self.unit is not None:
            source, reading = self.source, self.config.input
            seekable = self.is_seekable
            return read_unit(video, source, reading, self.unit, skip=skip, is_seekable=seekable)
        if not coding.is_regular or self.config.fps is not None:
            return video.frames(report=self.report, skip=skip)
        every = to_constant_rate(video.frames(report=self.report), coding, info, self.report)
        return islice(every, skip, None)


def _ending(
    frames: Iterator[Frame], first: int, progress: ProgressReporter | None
) -> Iterator[Frame]:
    """The frames from one on; `progress` is told how many there are, once the last is read."""
    num_frames = first
    for frame in frames:
        num_frames += 1
        yield frame
    if progress is not None:
        progress.end_at(num_frames)


def bytes_beside(output: OutputPlan) -> int:
    """Memory that reading and encoding take beside the networks."""
    coding, info = output.coding, output.info
    read = 12 * info.height * info.width  # decoded frames of FFmpeg's threads, and one in RGB
    waiting = (frames_behind(coding) + 2) * coding.frame_bytes
    return read + waiting + encoder_bytes(coding.codec, coding.frame_bytes, coding.options)


def frames_behind(coding: EncoderPlan) -> int:
    """How many frames may wait for the encoder."""
    return max(1, min(FRAMES_BEHIND, MOST_BYTES_BEHIND // coding.frame_bytes))


def _state_of(
    restorer_state: Callable[[], ClipState | None] | None, chain: Chain, first: int
) -> ClipState | None:
    """The state to go on with: of the restorer, and of the chain that gives it frame `first`."""
    state = restorer_state() if restorer_state is not None else None
    if not chain.stages:
        return state
    own = state.tensors() if state is not None else {}
    return NamedTensors(own | chain.tensors_at(first), state)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Tell a lack of memory from other failures, wherever it strikes.

    Raises:
        MemoryExhaustedError: in the place of whatever a library has raised.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryExhaustedError.of(error) from None  # its traceback would hold on to the memory


def _duration(info: VideoInfo) -> float | None:
    """Seconds of a source that is read as a whole, where it says so."""
    is_whole = info.start is None and info.stop is None
    return round(float(info.duration), 3) if is_whole and info.duration is not None else None


def _gigabytes(num_bytes: int | None) -> float | None:
    return None if num_bytes is None else round(num_bytes / 1e9, 2)
