"""One video through the pipeline: what was decided about it, and its frames ready to be encoded."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import MemoryExhaustedError
from vsr_cli.events import Plan, Progress, Report
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import VideoSource
from vsr_cli.media.writing.cfr import to_constant_rate
from vsr_cli.media.writing.encoder_memory import encoder_bytes
from vsr_cli.media.writing.encoder_plan import EncoderPlan
from vsr_cli.media.writing.output_plan import OutputPlan
from vsr_cli.pipeline.clips import ClipState, RestoredClip, num_shared_at
from vsr_cli.pipeline.convert import coded_frame, read_rgb
from vsr_cli.pipeline.frames import restore_frames
from vsr_cli.pipeline.memory import is_out_of_memory
from vsr_cli.pipeline.restorers.base import Restorer
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.resume.space import DiskPlan
from vsr_cli.pipeline.run_plan import RunPlan

PROGRAM_BYTES = 500_000_000  # of Python and the libraries, and of the networks' weights
FRAMES_BEHIND = 4  # that may wait for the encoder
MOST_BYTES_BEHIND = 200_000_000  # where frames are large, fewer


@dataclass(frozen=True, kw_only=True)
class Run:
    """One video on its way, and what was decided about it.

    source: where it is read from.
    output: what the target will be.
    model: which one enlarges it.
    config: the user's choices, and the model's for what they left open.
    run_plan: where and how much at once.
    report: receives all events.
    disk: what unfinished work takes there; None where none is kept.
    """

    source: Path
    output: OutputPlan
    model: ModelFile
    config: UpscaleConfig
    run_plan: RunPlan
    report: Report
    disk: DiskPlan | None = None

    def describe(self) -> Plan:
        """Return everything that was chosen, in one record."""
        config, run_plan, output = self.config, self.run_plan, self.output
        return Plan(
            source=str(self.source),
            target=str(output.target),
            model=self.model.path.name,
            device=str(run_plan.device),
            dtype=dtype_name(run_plan.dtype),
            steps=config.sampler.steps or self.model.info.default_steps,
            seed=config.sampler.seed,
            motion_scale=config.sampler.motion_scale,
            fidelity=config.fidelity,
            color=config.color,
            flow=config.flow,
            clip_length=run_plan.clip_length,
            tile=f"{8 * run_plan.tile_size} pixels" if run_plan.tile_size else "off",
            source_size=(output.info.height, output.info.width),
            target_size=output.coding.size,
            num_frames=output.info.num_frames,
            codec=output.coding.codec,
            pix_fmt=output.coding.pix_fmt,
            reasons=run_plan.reasons + output.coding.reasons,
            memory_gb=_gigabytes(self._peak_bytes()),
            free_memory_gb=_gigabytes(run_plan.free_bytes),
            disk_gb=_gigabytes(self.disk.needed if self.disk else None),
            free_disk_gb=_gigabytes(self.disk.free if self.disk else None),
        )

    def _peak_bytes(self) -> int | None:
        """Of the device's memory, at the peak."""
        peak = self.run_plan.peak_bytes
        if peak is None or self.run_plan.device.type != "cpu":
            return peak
        return peak + PROGRAM_BYTES + bytes_beside(self.output)

    def restored(
        self,
        video: VideoSource,
        restorer: Restorer,
        *,
        first: int = 0,
        state: ClipState | None = None,
    ) -> Generator[RestoredClip, None, None]:
        """Enlarged clips, in order.

        Args:
            video: the source, nothing read from it beyond its first frame.
            restorer: of this model and plan.
            first: index of the frame to go on with.
            state: what the clip before it handed on.
        """
        skip = first - num_shared_at(first, restorer.clip_overlap)
        rgb = read_rgb(self._read(video, skip))
        scene_cut = self.config.scene_cut
        with (
            memory_errors(),
            closing(
                restore_frames(rgb, restorer, scene_cut=scene_cut, first=first, state=state)
            ) as clips,
        ):
            yield from clips

    def coded(self, clip: RestoredClip) -> Iterator[Frame]:
        """The frames of a clip, as they are encoded."""
        with memory_errors():
            for sr_frame, header in zip(clip.frames, clip.headers, strict=True):
                yield coded_frame(sr_frame, header, self.output.coding)

    def _read(self, video: VideoSource, skip: int) -> Iterator[Frame]:
        """The frames to enlarge, but for some at the front."""
        coding, info = self.output.coding, self.output.info
        if not coding.is_regular:
            return video.frames(report=self.report, skip=skip)
        every = to_constant_rate(video.frames(report=self.report), coding, info, self.report)
        return islice(every, skip, None)


def bytes_beside(output: OutputPlan) -> int:
    """Memory that reading and encoding take beside the networks."""
    coding, info = output.coding, output.info
    read = 12 * info.height * info.width  # decoded frames of FFmpeg's threads, and one in RGB
    waiting = (frames_behind(coding) + 2) * coding.frame_bytes
    return read + waiting + encoder_bytes(coding.codec, coding.frame_bytes, coding.options)


def frames_behind(coding: EncoderPlan) -> int:
    """How many frames may wait for the encoder."""
    return max(1, min(FRAMES_BEHIND, MOST_BYTES_BEHIND // coding.frame_bytes))


class ProgressReporter:
    """Reports each frame as it is written."""

    def __init__(self, run: Run, first: int) -> None:
        """Begin to count.

        Args:
            run: whose frames.
            first: how many an earlier run has written.
        """
        self._run, self._first = run, first
        self._begun = time.monotonic()

    def report(self, num_frames: int) -> None:
        """Say that so many frames of the target are written."""
        self._run.report(
            Progress(
                stage="upscale",
                frame=num_frames,
                num_frames=self._run.output.info.num_frames,
                seconds=time.monotonic() - self._begun,
                first=self._first,
            )
        )


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


def dtype_name(dtype: torch.dtype) -> str:
    """How users write a dtype."""
    return str(dtype).removeprefix("torch.")


def _gigabytes(num_bytes: int | None) -> float | None:
    return None if num_bytes is None else round(num_bytes / 1e9, 2)
