"""Samples computed as a whole job would: the same pipeline, without loss, and then coded."""

import tempfile
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vsr_cli import __version__
from vsr_cli.cancellation import StopRequest
from vsr_cli.config import InputConfig, JobConfig, OutputConfig, UpscaleConfig
from vsr_cli.events import Event, Note, Plan, Progress, Report, ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.image_sequence import find_images
from vsr_cli.media.reading.reader import open_video
from vsr_cli.media.writing.output_plan import plan_output
from vsr_cli.media.writing.writer import VideoWriter
from vsr_cli.pipeline.convert import kept_frame
from vsr_cli.pipeline.resume.manifest import identify_options, identify_source
from vsr_cli.pipeline.upscale import Upscaler
from vsr_cli.viewing.cache import Cache, Kept, key_of
from vsr_cli.viewing.drawing import Piece
from vsr_cli.viewing.footage import Footage, open_footage
from vsr_cli.viewing.places import Place
from vsr_cli.viewing.variants import Variant

FEWEST_CODED = 12  # frames: of fewer, the size tells nothing of a long video
_ALONE: dict[str, object] = {
    **{"audio": "none", "subs": "none", "chapters": False, "attachments": False},
    **{"metadata": False, "strict_copy": False, "format": None, "overwrite": True},
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the source as samples are computed from it.

    footage: what is shown of it, warm-up left out.
    path: the file that jobs read: the source, or a piece that was cut out of it.
    reading: which part of that.
    place: where it is.
    """

    footage: Footage
    path: Path
    reading: InputConfig
    place: Place


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A part that a variant has enlarged.

    footage: what is shown of it.
    s_per_frame: seconds that a frame took.
    bytes_per_frame: as the job would code it; None where there are too few to tell.
    is_kept: whether an earlier preview had computed it.
    """

    footage: Footage
    s_per_frame: float
    bytes_per_frame: float | None
    is_kept: bool


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one variant does with the whole source.

    variant: its settings.
    plan: what was decided, before anything is computed.
    worker: has its model, which loads when it is first needed.
    """

    variant: Variant
    plan: Plan
    worker: Upscaler


class Sampler:
    """Computes samples, or finds them where an earlier preview has kept them."""

    def __init__(
        self, source: Footage, piece: Piece | None, cache: Cache, report: Report, stop: StopRequest
    ) -> None:
        """Identify the source.

        Raises:
            InputError: it cannot be read.
        """
        self._source, self._piece, self._cache = source, piece, cache
        self._report, self._stop = report, stop
        self._identity = {
            "vsr": __version__,
            "source": _identify(source.path),
            "piece": str(piece),
        }

    def part(self, place: Place) -> Part:
        """What jobs read of a place; a piece is cut out without loss, as a video of its own."""
        if self._piece is None:
            zero = self._source.zero + place.at
            shown = replace(self._source, config=place.reading, zero=zero, length=place.length)
            return Part(footage=shown, path=shown.path, reading=place.reading, place=place)
        key = key_of({**self._identity, "reading": str(place.reading)})
        if (kept := self._cache.find(key)) is None:
            cut_piece(self._source, place.reading, self._piece, self._cache.path(key))
            kept = self._cache.keep(key, {})
        cut = open_footage(kept.path, self._source.name)
        reading = InputConfig(first_index=place.reading.first_index)
        footage = replace(cut, zero=cut.zero + place.lead, length=place.length)
        return Part(footage=footage, path=kept.path, reading=reading, place=place)

    def sample(self, part: Part, job: Job, stage: str) -> Sample:
        """A part as a variant enlarges it.

        Args:
            part: which.
            job: of the whole source.
            stage: what progress is called.

        Raises:
            VsrError: as a job.
            Stopped: as was asked for; the same goes on there.
        """
        config = self._config(part, job)
        device, dtype = job.plan.device.partition(":")[0], job.plan.dtype
        options = identify_options(config, device, dtype)
        key = key_of({**self._identity, "options": options, "reading": str(part.place.reading)})
        kept = self._cache.find(key)
        is_kept = kept is not None
        if kept is None:
            seconds = self._compute(part, job, config, self._cache.path(key), stage)
            kept = self._cache.keep(key, {"s_per_frame": seconds})
        whole = open_footage(kept.path, job.variant.title)
        place = part.place
        shown = replace(whole, zero=whole.zero + place.lead, length=place.length)
        return Sample(
            footage=shown,
            s_per_frame=kept.facts["s_per_frame"],
            bytes_per_frame=self._coded(key, kept, shown, job.variant.config.output),
            is_kept=is_kept,
        )

    def _config(self, part: Part, job: Job) -> UpscaleConfig:
        """The job's own choices, for a part of the source and without any loss in coding."""
        config, info = job.variant.config, self._source.info
        output = OutputConfig(cfr=config.output.cfr, lossless=True, pix_fmt=_lossless_format(job))
        if self._piece is not None:  # it is enlarged as the whole would be
            config = replace(config.for_source(info.height, info.width), size=None)
        reading = part.reading
        if config.fps is not None:
            index = round(reading.first_index * config.fps / info.rate)
            reading = replace(reading, first_index=index)
        return replace(
            config,
            input=reading,
            output=replace(output, **_ALONE),  # type: ignore[arg-type]
            job=JobConfig(),
        )

    def _compute(
        self, part: Part, job: Job, config: UpscaleConfig, target: Path, stage: str
    ) -> float:
        """Enlarge a part; return seconds for each frame."""
        worker = Upscaler(config, stop=self._stop)
        worker.model = job.worker.model
        if worker.model is not None:
            _ = worker.model.model  # loads it, which is no frame's time
        last: list[Progress] = []

        def pass_on(event: Event) -> None:
            if isinstance(event, Progress):
                last[:] = [event]
                self._report(replace(event, stage=stage, num_frames=part.place.num_read))
            elif isinstance(event, Note) and event.code != "W_RESUMED":
                self._report(event)

        done = worker.upscale(part.path, target, report=pass_on)
        if not last or last[0].frame <= last[0].first:
            return done.seconds / max(1, done.frames_out)
        return last[0].seconds / (last[0].frame - last[0].first)

    def _coded(self, key: str, kept: Kept, shown: Footage, config: OutputConfig) -> float | None:
        """Bytes for each frame, if the job codes what is shown."""
        name = "coded " + key_of({"config": str(replace(config, **_ALONE))})  # type: ignore[arg-type]
        if name not in kept.facts:
            found = code_size(shown, config)
            self._cache.keep(key, {**kept.facts, name: found})
            return found or None
        return kept.facts[name] or None


def code_size(footage: Footage, config: OutputConfig) -> float:
    """Bytes for each frame as a job codes it; 0 where there are too few frames to tell.

    Args:
        footage: frames as they are given to the encoder.
        config: of the job.
    """
    with tempfile.TemporaryDirectory(prefix="vsr-") as folder:
        target = Path(folder) / "coded.mkv"
        number = write_shown(footage, target, config)
        return target.stat().st_size / number if number >= FEWEST_CODED else 0


def write_shown(footage: Footage, target: Path, config: OutputConfig) -> int:
    """Write what is shown of a video into a file of its own, without sound.

    Args:
        footage: what is shown.
        target: an `.mkv`, which may exist.
        config: how it is coded.

    Returns:
        The number of frames.

    Raises:
        OutputError: the disk is full.
    """
    config = replace(config, **_ALONE)  # type: ignore[arg-type]
    number = 0
    with open_video(footage.path, footage.config) as video:
        info = replace(video.info, origin=footage.zero, num_frames=None)
        size = info.height, info.width
        plan = plan_output(target, footage.path, info, size, config, report=ignore)
        with VideoWriter(plan, video.side_streams, report=ignore) as writer:
            for shown in footage.shots():
                writer.write(kept_frame(shown.frame, plan.coding))
                number += 1
            writer.finish()
    return number


def cut_piece(source: Footage, reading: InputConfig, piece: Piece, target: Path) -> None:
    """Write a piece of a part of the source as a video of its own, every sample as it was.

    Args:
        source: of the whole.
        reading: which part.
        piece: in pixels as they are stored, on a place of chroma.
        target: an `.mkv`, which may exist.

    Raises:
        OutputError: the disk is full.
    """
    size = piece.height, piece.width
    with open_video(source.path, reading) as video:
        info = replace(video.info, height=size[0], width=size[1], num_frames=None)
        config = replace(OutputConfig(lossless=True), **_ALONE)  # type: ignore[arg-type]
        plan = plan_output(target, source.path, info, size, config, report=ignore)
        with VideoWriter(plan, video.side_streams, report=ignore) as writer:
            for frame in video.frames(report=ignore):
                writer.write(kept_frame(_cut(frame, piece), plan.coding))
            writer.finish()


def liveliest_piece(parts: list[Footage], size: tuple[int, int]) -> Piece:
    """Where most detail moves, in all parts together.

    Args:
        parts: of one source, as it is stored.
        size: (height, width) of the piece, or less where the picture is smaller.
    """
    total: NDArray[np.float64] | None = None
    for part in parts:
        before: NDArray[np.float64] | None = None
        for number, shown in zip(count(), part.shots(), strict=False):
            light = shown.frame.planes[0].astype(np.float64)
            if before is not None:
                detail = np.abs(np.diff(light, axis=0, append=light[-1:]))
                detail += np.abs(np.diff(light, axis=1, append=light[:, -1:]))
                moved = np.minimum(np.abs(light - before), detail)  # flicker of flat parts is none
                total = moved if total is None else total + moved
            before = light
            if number == 8:
                break
    assert before is not None
    whole = before.shape[0], before.shape[1]
    height, width = (min(own, most) // 4 * 4 or own for own, most in zip(size, whole, strict=True))
    if total is None:
        return Piece((whole[1] - width) // 8 * 4, (whole[0] - height) // 8 * 4, width, height)
    sums = np.pad(total, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    here = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]
    here += sums[:-height, :-width]
    y, x = np.unravel_index(np.argmax(here[::4, ::4]), here[::4, ::4].shape)
    return Piece(int(x) * 4, int(y) * 4, width, height)


def _cut(frame: Frame, piece: Piece) -> Frame:
    """A piece of a frame, every plane by its own samples."""
    layout = frame.layout
    planes = []
    for number, plane in enumerate(frame.planes):
        is_chroma = layout.kind == "yuv" and number in (1, 2)
        down, right = (layout.shift_y, layout.shift_x) if is_chroma else (0, 0)
        rows = slice(piece.y >> down, -(-(piece.y + piece.height) >> down))
        columns = slice(piece.x >> right, -(-(piece.x + piece.width) >> right))
        planes.append(np.ascontiguousarray(plane[rows, columns]))
    return frame.with_planes(tuple(planes), layout, frame.color)


def _lossless_format(job: Job) -> str | None:
    """The pixel format of the job, so that samples are what its encoder would be given."""
    found = av.codec.Codec("ffv1", "w").video_formats or []
    return job.plan.pix_fmt if job.plan.pix_fmt in {one.name for one in found} else None


def _identify(path: Path) -> object:
    """What tells a source from others, and from what it was."""
    if (images := find_images(path)) is None:
        return identify_source(path)
    stats = [(image, image.stat()) for image in images]
    return [(str(image.absolute()), stat.st_size, stat.st_mtime_ns) for image, stat in stats]
