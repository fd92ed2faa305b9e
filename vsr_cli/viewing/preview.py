"""A look at what a job would make of a source, in a few places, and what all of it would cost."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_cli.cancellation import StopRequest
from vsr_cli.config import UpscaleConfig
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError, OutputError
from vsr_cli.events import Event, Note, Plan, Prediction, PreviewSample, Report
from vsr_cli.options import Options
from vsr_cli.pipeline.speed import cache_dir
from vsr_cli.pipeline.upscale import Upscaler
from vsr_cli.viewing.cache import open_cache
from vsr_cli.viewing.drawing import Piece
from vsr_cli.viewing.files import check_files
from vsr_cli.viewing.footage import Footage, open_footage
from vsr_cli.viewing.places import (
    MOST_SECONDS,
    Place,
    find_place,
    length_of,
    parse_places,
    snap,
    tail_of,
)
from vsr_cli.viewing.preview_output import Scene, Story, write_preview
from vsr_cli.viewing.samples import Job, Sampler, liveliest_piece
from vsr_cli.viewing.variants import Value, Variant, make_variants

if TYPE_CHECKING:
    from vsr_cli.pipeline.restorers.registry import ModelFile

LONG = 120  # seconds that a preview may take before it is said
AUTO_PIECE = (180, 320)  # (height, width) of what `--crop auto` looks for
_KINDS = (".html", ".htm", ".png", ".mp4", ".mkv", ".mov", "")


@dataclass(frozen=True, kw_only=True)
class PreviewRequest:
    """What is asked for; see `vsr_cli.api.preview`."""

    source: Path
    target: Path | None
    at: str | Sequence[str | float]
    seconds: Fraction
    frame: bool
    grid: Sequence[str] | Mapping[str, Sequence[Value]]
    piece: Piece | str | None  # `auto` looks for one
    has_cache: bool
    options: Options

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= MOST_SECONDS:
            raise ConfigError(
                f"`--seconds {float(self.seconds):g}` is out of range",
                hint=f"use more than 0, up to {MOST_SECONDS}",
            )
        if self.target is not None and self.target.suffix.lower() not in _KINDS:
            raise OutputError(
                f"`{self.target.name}` is nothing that a preview can be",
                hint="use `.html`, `.png`, `.mp4`, or a folder",
            )

    @property
    def out(self) -> Path:
        """What is written: unless it is named, a page beside the source."""
        return self.target or self.source.with_name(f"{self.source.stem}.preview.html")


@dataclass(frozen=True, kw_only=True)
class PreviewResult:
    """What a preview has found; see `vsr_cli.api.Preview`."""

    out: Path
    samples: tuple[PreviewSample, ...]
    predictions: tuple[Prediction, ...]
    seconds: float


def preview_job(request: PreviewRequest, report: Report, stop: StopRequest) -> PreviewResult:
    """Preview; see `vsr_cli.api.preview` for the arguments and errors."""
    started = time.monotonic()
    variants = make_variants(request.options, request.grid)
    config = variants[0].config
    _check(request, config)
    source = open_footage(request.source, request.source.name, config.input)
    jobs = plan_jobs(source, variants, request.out, stop)
    report = _without_plans(report)
    places = _find_places(request, source, config, report)
    piece = _find_piece(request, source, places)
    _say_long(jobs, places, piece, report)
    folder = cache_dir() / "preview" if request.has_cache else None
    with open_cache(folder) as cache:
        sampler = Sampler(source, piece, cache, report, stop)
        scenes = _compute(sampler, places, jobs, report)
        predictions = [
            _predict(job, source, scenes, number, piece, request.out)
            for number, job in enumerate(jobs)
        ]
        for prediction in predictions:
            report(prediction)
        story = Story(
            source=source,
            scenes=scenes,
            jobs=jobs,
            predictions=predictions,
            is_frames=request.frame,
            overwrite=config.output.overwrite,
        )
        write_preview(request.out, story, report)
    return PreviewResult(
        out=request.out,
        samples=tuple(event for scene in scenes for event in scene.events),
        predictions=tuple(predictions),
        seconds=round(time.monotonic() - started, 2),
    )


def _check(request: PreviewRequest, config: UpscaleConfig) -> None:
    """Refuse what can be refused before the source is read.

    Raises:
        ConfigError: options contradict each other.
        OutputError: what is to be written exists, or cannot be.
    """
    if request.out.suffix:
        inputs = {"the source": request.source, **config.inputs}
        check_files([request.out], inputs, overwrite=config.output.overwrite)
    else:
        _check_folder(request.out, overwrite=config.output.overwrite)
    if request.piece is not None and config.erase is not None:
        raise ConfigError(
            "`--crop` and what is erased contradict each other",
            why="boxes and masks are those of the whole picture",
            hint="leave out `--crop`",
        )


def _find_places(
    request: PreviewRequest, source: Footage, config: UpscaleConfig, report: Report
) -> list[Place]:
    """Where to look."""
    sample = source.step if request.frame else request.seconds
    times = snap(parse_places(request.at, source), length_of(source), sample)
    tail = tail_of(config)
    return [find_place(source, at, sample, tail=tail, report=report) for at in times]


def plan_jobs(
    source: Footage, variants: Sequence[Variant], out: Path, stop: StopRequest
) -> list[Job]:
    """Plan the whole job of each variant, as `--dry-run` does; those of one model share it.

    Raises:
        VsrError: a job would be refused.
    """
    models: dict[tuple[Path, str, str], ModelFile] = {}
    jobs = []
    for variant in variants:
        worker = Upscaler(variant.config, stop=stop)
        if worker.model is not None:
            config = variant.config
            key = worker.model.path, config.device, config.dtype
            worker.model = models.setdefault(key, worker.model)
        # Beside what is written, under a name that nobody has, in what takes most.
        target = out.absolute().parent / f".vsr-preview-of-{source.path.stem[:80]}.mkv"
        jobs.append(Job(variant=variant, plan=worker.plan(source.path, target), worker=worker))
    return jobs


def _compute(
    sampler: Sampler, places: Sequence[Place], jobs: Sequence[Job], report: Report
) -> list[Scene]:
    """All samples of all variants, place after place."""
    scenes = []
    start = jobs[0].variant.config.input.start or Fraction(0)
    number, total = 0, len(places) * len(jobs)
    for place in places:
        part = sampler.part(place)
        samples, events = [], []
        for job in jobs:
            number += 1
            sample = sampler.sample(part, job, f"sample {number} of {total}")
            event = PreviewSample(
                variant=job.variant.name,
                at=round(float(place.at + start), 3),
                frames=place.num_frames,
                size=sample.footage.size,
                s_per_frame=round(sample.s_per_frame, 4),
                is_kept=sample.is_kept,
            )
            report(event)
            samples.append(sample)
            events.append(event)
        scenes.append(Scene(part=part, samples=samples, events=events))
    return scenes


def _predict(
    job: Job,
    source: Footage,
    scenes: Sequence[Scene],
    number: int,
    piece: Piece | None,
    out: Path,
) -> Prediction:
    """What the whole job of a variant would cost, by its samples."""
    config, info = job.variant.config, source.info
    rate = config.fps or config.output.cfr or info.rate
    frames = source.num_frames
    if frames is not None:
        frames = round(frames * rate / info.rate)
    weights = [scene.part.place.num_frames for scene in scenes]
    samples = [scene.samples[number] for scene in scenes]
    larger = 1.0 if piece is None else info.height * info.width / (piece.height * piece.width)
    pace = larger * _mean([sample.s_per_frame for sample in samples], weights)
    sizes = [sample.bytes_per_frame for sample in samples]
    is_known = frames is not None and None not in sizes
    coded = larger * _mean([size or 0 for size in sizes], weights)
    return Prediction(
        variant=job.variant.name,
        frames=frames,
        seconds=None if frames is None else round(pace * frames, 1),
        s_per_frame=round(pace, 4),
        bytes=round(coded * (frames or 0)) if is_known else None,
        memory_gb=job.plan.memory_gb,
        free_memory_gb=job.plan.free_memory_gb,
        free_disk_gb=round(shutil.disk_usage(out.absolute().parent).free / 1e9, 1),
    )


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def _find_piece(request: PreviewRequest, source: Footage, places: Sequence[Place]) -> Piece | None:
    """The piece that is looked at, on a place of chroma.

    Raises:
        ConfigError: it reaches out of the picture.
    """
    if request.piece is None:
        return None
    if not isinstance(request.piece, Piece):
        parts = [replace(source, config=place.reading) for place in places]
        return liveliest_piece(parts, AUTO_PIECE)
    piece = request.piece
    piece.require_within((source.info.height, source.info.width))
    layout = source.info.layout
    right, down = 1 << layout.shift_x, 1 << layout.shift_y
    return replace(piece, x=piece.x // right * right, y=piece.y // down * down)


def _say_long(
    jobs: Sequence[Job], places: Sequence[Place], piece: Piece | None, report: Report
) -> None:
    """Say before it begins how long a preview will take, if it is known and long."""
    number = sum(place.num_read for place in places)
    seconds = 0.0
    for job in jobs:
        plan = job.plan
        if plan.seconds is not None and plan.num_frames:
            height, width = plan.source_size
            share = 1.0 if piece is None else piece.height * piece.width / (height * width)
            seconds += share * number * plan.seconds / plan.num_frames
    if seconds > LONG:
        text = f"{counted(number * len(jobs), 'frame')} will take about {seconds / 60:.0f} min"
        hint = "" if piece is not None else "; `--crop auto` looks at a piece, which is faster"
        report(Note(code="W_PREVIEW_LONG", text=text + hint))


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds anything, or cannot be made.

    Raises:
        OutputError: it does.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"`{folder}` exists", hint="choose another name")
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise OutputError(
                f"the folder `{folder}` is not empty", hint="use `--overwrite`, or another one"
            )
        if not folder.absolute().parent.is_dir():
            raise OutputError(
                f"`{folder.parent}` is not a folder that exists", hint="create it first"
            )
    except OSError as error:
        raise OutputError(
            f"`{folder}` cannot be written", why=error.strerror, hint="choose another name"
        ) from error


def _without_plans(report: Report) -> Report:
    """Pass on each note once; samples are no jobs of the user's."""
    said: set[Note] = set()

    def pass_on(event: Event) -> None:
        if isinstance(event, Plan) or (isinstance(event, Note) and event in said):
            return
        if isinstance(event, Note):
            said.add(event)
        report(event)

    return pass_on
