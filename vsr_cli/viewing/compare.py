"""Compare videos: what they show at one time, drawn, measured, or put on a page."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.events import Comparison, Event, Note, Progress, Report
from vsr_cli.media.containers import is_single_image
from vsr_cli.media.pictures import write_png
from vsr_cli.pipeline.said import without_repeats
from vsr_cli.viewing.align import Counts, Moment, moments, say_codes, say_counts, say_differences
from vsr_cli.viewing.drawer import Drawer
from vsr_cli.viewing.drawing import Canvas, Fit, Mode, Piece
from vsr_cli.viewing.files import check_files, write_text
from vsr_cli.viewing.footage import Footage, open_footage, tone_mapping
from vsr_cli.viewing.measure import (
    UNITS,
    Measures,
    Meter,
    Metric,
    available_metrics,
    require_measurable,
)
from vsr_cli.viewing.outputs import (
    Read,
    check_video,
    find_moment,
    still_media,
    video_media,
    write_video,
)
from vsr_cli.viewing.page import Page, write_page
from vsr_cli.viewing.profile import draw_profile

MOST_VIDEOS = 4
_PAGES = (".html", ".htm")
_BETWEEN = 0.5  # seconds between two events of progress


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for; see `vsr_cli.api.compare`."""

    sources: Sequence[Path]
    target: Path | None
    names: Sequence[str]
    mode: Mode
    at: Fraction | None
    piece: Piece | None
    offset: Fraction
    fit: Fit
    every: Fraction
    gain: float
    sweep: bool
    metrics: Sequence[Metric]
    truth: int | None  # number of the source, from 1
    lpips_weights: Path | None
    per_frame: Path | None
    most_mb: float
    overwrite: bool

    def __post_init__(self) -> None:
        if not 2 <= len(self.sources) <= MOST_VIDEOS:
            raise ConfigError(
                f"{counted(len(self.sources), 'video')} cannot be compared",
                hint=f"give 2 to {MOST_VIDEOS}",
            )
        if self.target is None and not self.metrics:
            raise ConfigError("there is nothing to do", hint="give `-o OUT`, or `--metrics psnr`")
        if self.truth is not None and not 1 <= self.truth <= len(self.sources):
            raise ConfigError(
                f"`--truth {self.truth}` is no video", hint=f"use 1 to {len(self.sources)}"
            )
        if self.per_frame is not None and self.per_frame == self.target:
            raise ConfigError(
                f"`{self.target}` cannot be two files", hint="give `--per-frame` another name"
            )
        is_video = self.target is not None and not (self.is_page or self.is_picture)
        if self.at is not None and is_video:
            raise ConfigError(
                "`--at` gives one picture, which is no video", hint="write `.png` or `.html`"
            )
        if self.mode == "profile" and (self.at is not None or not self.is_picture):
            raise ConfigError(
                "a temporal profile is one picture of all frames",
                hint="write `.png`, without `--at`",
            )
        if self.is_picture and self.mode == "blink":
            raise ConfigError(
                "one picture cannot blink", hint="use another `--mode`, or write `.mp4` or `.html`"
            )

    @property
    def is_page(self) -> bool:
        """Whether a page is written."""
        return self.target is not None and self.target.suffix.lower() in _PAGES

    @property
    def is_picture(self) -> bool:
        """Whether one picture is written."""
        return self.target is not None and is_single_image(self.target)

    @property
    def reference(self) -> int:
        """Number of the video that the others are held against, from 0."""
        return 0 if self.truth is None else self.truth - 1


def compare_videos(request: Request, report: Report) -> Comparison:
    """Compare; see `vsr_cli.api.compare` for the arguments and errors."""
    started = time.monotonic()
    report = without_repeats(report)  # videos are read more than once
    request = replace(request, metrics=available_metrics(request.metrics, report))
    inputs = {f"`{path}`": path for path in request.sources}
    files = [path for path in (request.target, request.per_frame) if path is not None]
    check_files(files, inputs, overwrite=request.overwrite)
    videos = [
        open_footage(path, name) for path, name in zip(request.sources, request.names, strict=True)
    ]
    work = _Work(request, videos, report)
    say_differences(videos, report)
    if request.metrics:
        say_codes(videos, report)
    is_shown = request.target is not None and (request.is_page or request.mode != "heat")
    if is_shown and (text := tone_mapping(videos)):
        report(Note(code="W_TONE_MAPPED", text=text))
    measures = work.measure() if request.metrics else None
    work.write(measures)
    is_read = bool(work.counts.num_read)
    return Comparison(
        sources=tuple(str(path) for path in request.sources),
        out=None if request.target is None else str(request.target),
        frames=work.counts.num_moments,
        frames_of=tuple(work.counts.num_read) if is_read else (),
        reference=videos[request.reference].name if request.metrics else None,
        is_truth=request.truth is not None,
        means=measures.means() if measures else {},
        seconds=round(time.monotonic() - started, 2),
    )


class _Work:
    """One comparison on its way."""

    def __init__(self, request: Request, videos: Sequence[Footage], report: Report) -> None:
        """Decide; nothing is read yet beyond the first frames.

        Raises:
            ConfigError: the piece or a metric does not fit the pictures.
            OutputError: the target names no container.
        """
        self._request, self._videos, self._report = request, videos, report
        self.counts = Counts()
        size = max((video.size for video in videos), key=lambda size: size[0] * size[1])
        if request.piece is not None:
            request.piece.require_within(size)
        canvas = Canvas(size=size, fit=request.fit, piece=request.piece)
        require_measurable(request.metrics, canvas.shown_size, request.lpips_weights)
        leading = videos[0]
        if request.target is not None and not (request.is_page or request.is_picture):
            check_video(request.target, leading, overwrite=request.overwrite)
        sweep = None
        if request.sweep:
            sweep = max(leading.step, (leading.num_frames or 250) * leading.step)
        self._drawer = Drawer(
            videos=videos,
            canvas=canvas,
            mode=request.mode,
            reference=request.reference,
            every=request.every,
            gain=request.gain,
            sweep=sweep,
        )

    @property
    def _read(self) -> Read:
        """Reads all moments, from any on."""
        return partial(moments, self._videos, offset=self._request.offset)

    def _all_moments(self, stage: str) -> Generator[Moment, None, None]:
        """All moments, with progress, and what is said of the files when they were read."""
        counts, begun = Counts(), time.monotonic()
        told = begun
        total = self._videos[0].num_frames
        with closing(self._read(report=self._report, counts=counts)) as frames:
            for moment in frames:
                yield moment
                if time.monotonic() - told > _BETWEEN:
                    told = time.monotonic()
                    self._report(
                        Progress(
                            stage=stage,
                            frame=moment.index + 1,
                            num_frames=total,
                            seconds=told - begun,
                        )
                    )
        self.counts = counts
        say_counts(self._videos, counts, self._report)

    def measure(self) -> Measures:
        """Measure every frame, and write what was asked for of each."""
        request = self._request
        names = [video.name for video in self._videos]
        meter = Meter(
            names,
            request.reference,
            request.metrics,
            request.lpips_weights,
            self._videos[0].info.rate,
        )
        for moment in self._all_moments("measure"):
            meter.add(float(moment.time), self._drawer.place_codes(moment))
        if not meter.measures.times:
            raise ConfigError("the videos share no time", hint="choose another `--offset`")
        if (path := request.per_frame) is not None:
            is_csv = path.suffix.lower() == ".csv"
            text = meter.measures.as_csv() if is_csv else meter.measures.as_json()
            write_text(path, text, overwrite=request.overwrite)
        return meter.measures

    def write(self, measures: Measures | None) -> None:
        """Write the target, if there is one."""
        request, target = self._request, self._request.target
        if target is None:
            return
        if request.mode == "profile":
            with closing(self._all_moments("draw")) as frames:
                picture = draw_profile(self._drawer, frames, self._report)
            write_png(target, picture, overwrite=request.overwrite)
        elif request.is_picture:
            moment = find_moment(self._read, request.at or Fraction(0))
            picture = self._drawer.draw(moment)
            write_png(target, picture, overwrite=request.overwrite)
            self.counts.num_moments = max(1, self.counts.num_moments)
        elif request.is_page:
            write_text(target, write_page(self._page(measures)), overwrite=request.overwrite)
        else:
            drawn = self._all_moments("draw")
            write_video(target, self._drawer, drawn, overwrite=request.overwrite)

    def _page(self, measures: Measures | None) -> Page:
        request, leading = self._request, self._videos[0]
        notes = list[str]()
        if request.at is not None or all(video.info.num_frames == 1 for video in self._videos):
            moment = find_moment(self._read, request.at or Fraction(0))
            found = still_media(self._drawer, [moment], request.most_mb)
            self.counts.num_moments = max(1, self.counts.num_moments)
        else:
            if measures is None and leading.num_frames is None:
                for _ in self._all_moments("count"):
                    pass
            length = self._length()
            found = video_media(
                self._drawer,
                self._page_reader(measures),
                length,
                request.most_mb,
                _tee_text(self._report, notes),
            )
        return Page(
            title=f"{', '.join(v.name for v in self._videos[:-1])} and {self._videos[-1].name}",
            names=[video.name for video in self._videos],
            captions=self._drawer.captions,
            size=self._drawer.canvas.shown_size,
            times=found.times,
            media=found.media,
            length=float(self._length()),
            gain=request.gain,
            measures=measures,
            table=_describe(self._videos, measures),
            notes=[*notes, *_remarks(request, measures, self._videos)],
        )

    def _page_reader(self, measures: Measures | None) -> Read:
        """Reads moments for a page; the first reading of all also says what there is to say."""
        state = {"is_said": measures is not None}

        def read(*, start: Fraction) -> Generator[Moment, None, None]:
            if not state["is_said"] and not start:
                state["is_said"] = True
                return self._all_moments("draw")
            return self._read(start=start)

        return read

    def _length(self) -> Fraction:
        """Seconds of the first video."""
        leading = self._videos[0]
        number = self.counts.num_read[0] if self.counts.num_read else leading.num_frames
        return max(leading.step, (number or 1) * leading.step)


def _describe(videos: Sequence[Footage], measures: Measures | None) -> list[list[str]]:
    """What is said of the videos on a page, one column each."""
    means: Mapping[str, Mapping[str, float]] = measures.means() if measures else {}
    rows = [
        ["", *(f"{number}  {video.name}" for number, video in enumerate(videos, 1))],
        ["size", *(f"{v.size[1]} x {v.size[0]}" for v in videos)],
        ["frames per second", *(f"{float(v.info.rate):.6g}" for v in videos)],
        ["frames", *(str(v.num_frames or "unknown") for v in videos)],
        ["coded as", *(f"{v.info.codec}, {v.info.pix_fmt}" for v in videos)],
        ["file", *(f"{v.num_bytes / 1e6:.2f} MB" for v in videos)],
    ]
    for metric in measures.metrics if measures else ():
        figures = [means.get(v.name, {}).get(metric) for v in videos]
        rows.append(
            [UNITS[metric], *("" if value is None else f"{value:.4g}" for value in figures)]
        )
    return rows


def _remarks(
    request: Request, measures: Measures | None, videos: Sequence[Footage]
) -> Iterator[str]:
    """What has to be known to read a page."""
    if len({video.size for video in videos}) > 1:
        yield f"Smaller pictures are enlarged ({request.fit}); their shape is kept."
    shift = f", shifted by {float(request.offset):g} s" if request.offset else ""
    yield f"Each frame of {videos[0].name} stands beside what the others show at its time{shift}."
    if text := tone_mapping(videos):
        yield f"{text}; figures are of their codes."
    if measures is not None:
        against = videos[request.reference].name
        if request.truth is None:
            yield (
                f"Figures are differences from {against}, which nobody has called the truth: "
                "they tell no quality."
            )
        else:
            yield (
                f"Figures tell how near each is to {against}, the truth. PSNR is of RGB, SSIM "
                "and XPSNR of luma. VMAF is not measured: it is not in the FFmpeg that comes with "
                "this program."
            )
    yield "Made by vsr; nothing of this page was or will be sent anywhere."


def name_videos(sources: Sequence[Path], names: Sequence[str]) -> list[str]:
    """A name for each video, no two the same.

    Args:
        sources: files.
        names: of the user's; empty: those of the files.

    Raises:
        ConfigError: there are more or fewer, or two are the same.
    """
    if names:
        if len(names) != len(sources) or len(set(names)) < len(names) or "" in names:
            raise ConfigError(
                f"`--names {','.join(names)}` does not fit {counted(len(sources), 'video')}",
                hint="give a name for each, no two the same",
            )
        return list(names)
    found = [path.name or str(path) for path in sources]
    if len(set(found)) < len(found):
        found = [f"{path.absolute().parent.name}/{path.name}" for path in sources]
    if len(set(found)) < len(found):
        found = [f"{number}: {name}" for number, name in enumerate(found, 1)]
    return found


def _tee_text(report: Report, texts: list[str]) -> Report:
    """Pass on events, and keep what notes say as sentences."""

    def pass_on(event: Event) -> None:
        if isinstance(event, Note):
            texts.append(event.text[:1].upper() + event.text[1:] + ".")
        report(event)

    return pass_on
