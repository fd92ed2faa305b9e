"""What a preview leaves: a page, a sheet of pictures, a video, or a folder with all pieces."""

import json
import secrets
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

from vsr_cli.atomic import move_folder_into_place, move_into_place
from vsr_cli.config import OutputConfig
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.events import Note, Prediction, PreviewSample, Report
from vsr_cli.media.pictures import write_png
from vsr_cli.media.writing.destination import output_errors
from vsr_cli.viewing.align import Moment, moments
from vsr_cli.viewing.drawer import Drawer
from vsr_cli.viewing.drawing import Canvas, draw_name, side_by_side
from vsr_cli.viewing.files import write_text
from vsr_cli.viewing.footage import Footage, Picture, tone_mapping
from vsr_cli.viewing.outputs import as_png, write_video
from vsr_cli.viewing.page import MEGABYTE, Page, StackedVideo, Stills, write_page
from vsr_cli.viewing.samples import Job, Part, Sample, write_shown
from vsr_cli.viewing.stack import Stack, TooLargeError

MOST_MB = 40  # of a page
_MARGIN = 0.85  # of what would just fit


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One place of the source, and what each variant has made of it."""

    part: Part
    samples: Sequence[Sample]
    events: Sequence[PreviewSample]

    @property
    def videos(self) -> list[Footage]:
        """The source, and then each variant."""
        return [self.part.footage, *(sample.footage for sample in self.samples)]

    @property
    def lead(self) -> int:
        """The one that shows most frames: a job may make some that the source has not."""
        rates = [video.info.rate for video in self.videos]
        return rates.index(max(rates))

    def moments(self) -> Generator[Moment, None, None]:
        """What they show at the same instants."""
        return moments(self.videos, lead=self.lead)

    def first(self) -> Moment:
        """The first of these.

        Raises:
            ConfigError: there is none.
        """
        with closing(self.moments()) as found:
            for moment in found:
                return moment
        raise ConfigError("a sample shows nothing", hint="choose another `--at`")


@dataclass(frozen=True, kw_only=True)
class Story:
    """All that a preview has to tell."""

    source: Footage
    scenes: Sequence[Scene]
    jobs: Sequence[Job]
    predictions: Sequence[Prediction]
    is_frames: bool  # whether single frames are shown
    overwrite: bool

    @property
    def drawer(self) -> Drawer:
        """Places what is shown beside each other."""
        videos = self.scenes[0].videos
        sizes = [video.size for video in videos]
        canvas = Canvas(size=max(sizes, key=lambda size: size[0] * size[1]))
        return Drawer(videos=videos, canvas=canvas, lead=self.scenes[0].lead)

    @property
    def start(self) -> Fraction:
        """Seconds of the source that are left out before the job begins."""
        return self.source.config.start or Fraction(0)


def write_preview(out: Path, story: Story, report: Report) -> None:
    """Write what the name asks for: `.html`, `.png`, a video, or a folder.

    Raises:
        OutputError: it cannot be written.
    """
    if text := tone_mapping(story.scenes[0].videos):
        report(Note(code="W_TONE_MAPPED", text=text))
    suffix = out.suffix.lower()
    if suffix in (".html", ".htm"):
        write_text(out, make_page(story, report), overwrite=story.overwrite)
    elif suffix == ".png":
        write_png(out, draw_sheet(story), overwrite=story.overwrite)
    elif suffix:
        write_video(out, story.drawer, _joined(story), overwrite=story.overwrite)
    else:
        _write_folder(out, story, report)


def draw_sheet(story: Story) -> Picture:
    """A row for each place: the source, and each variant."""
    drawer = story.drawer
    rows = []
    for scene in story.scenes:
        pictures = drawer.place(scene.first())
        named = [
            draw_name(picture, text)
            for picture, text in zip(pictures, drawer.captions, strict=True)
        ]
        rows.append(side_by_side(named, axis=1))
    return side_by_side(rows, axis=0)


def make_page(story: Story, report: Report) -> str:
    """A page with all samples, one after the other."""
    drawer = story.drawer
    names = [video.name for video in drawer.videos]
    times: list[float] = []
    labels: list[str] = []
    media: StackedVideo | Stills
    if story.is_frames:
        media = []
        for number, scene in enumerate(story.scenes, 1):
            moment = scene.first()
            media.append([as_png(picture) for picture in drawer.place(moment)])
            _note_time(story, scene, moment, number, (times, labels))
    else:
        media = _video(story, drawer, (times, labels), report)
    page = Page(
        title=f"{story.source.name}, a preview",
        names=names,
        captions=drawer.captions,
        size=drawer.canvas.shown_size,
        times=times,
        labels=labels,
        media=media,
        length=max(times, default=0.0),
        gain=drawer.gain,
        table=describe(story),
        notes=list(_remarks(story)),
    )
    return write_page(page)


def _video(
    story: Story, drawer: Drawer, told: tuple[list[float], list[str]], report: Report
) -> StackedVideo:
    """All samples in one video, or the beginning of each where that would be too large."""
    stack = Stack(len(drawer.videos), drawer.canvas.shown_size)
    most_bytes = int(0.75 * MOST_MB * MEGABYTE)
    most: int | None = None
    while True:
        for told_list in told:
            told_list.clear()
        try:
            return stack.encode(_instants(story, drawer, told, most), most_bytes)
        except TooLargeError as error:
            fit = int(_MARGIN * most_bytes * error.num_frames / error.num_bytes)
            most = min(fit // len(story.scenes), most - 1 if most else fit)
            if most < 1:
                raise ConfigError(
                    f"these pictures do not fit into a page of {MOST_MB} MB",
                    hint="use `--frame`, or a piece with `--crop`",
                ) from None
            text = f"all frames would take more than {MOST_MB} MB: the page shows the first {most}"
            report(Note(code="W_PAGE_SAMPLED", text=f"{text} of each sample"))


def _instants(
    story: Story, drawer: Drawer, told: tuple[list[float], list[str]], most: int | None
) -> Iterator[tuple[Fraction, Sequence[Picture]]]:
    for number, scene in enumerate(story.scenes, 1):
        with closing(scene.moments()) as found:
            for moment in found:
                if most is not None and moment.index >= most:
                    break
                _note_time(story, scene, moment, number, told)
                yield moment.leading.end - moment.time, drawer.place(moment)


def _note_time(
    story: Story, scene: Scene, moment: Moment, number: int, told: tuple[list[float], list[str]]
) -> None:
    """Keep at which time of the source an instant is, and in which sample."""
    times, labels = told
    times.append(float(story.start + scene.part.place.at + moment.time))
    labels.append(f"sample {number}, " if len(story.scenes) > 1 else "")


def _joined(story: Story) -> Iterator[Moment]:
    """What is shown in all places, one after the other on one clock."""
    lead = story.scenes[0].lead
    clock, index = story.scenes[0].videos[lead].zero, 0
    for scene in story.scenes:
        end = Fraction(0)
        for moment in scene.moments():
            leading = moment.leading
            pts = round((clock + leading.time) / leading.frame.time_base)
            frame = replace(leading.frame, pts=pts)
            shown = replace(leading, frame=frame)
            # The picture is that of the frame as it was read.
            shown._picture = leading.picture
            others = moment.shown
            yield Moment(index, (*others[:lead], shown, *others[lead + 1 :]), lead)
            index, end = index + 1, leading.end
        clock += end


def _write_folder(folder: Path, story: Story, report: Report) -> None:
    """Write page, sheet, every sample without loss, and `preview.json`.

    Raises:
        OutputError: the disk is full.
    """
    temp = folder.absolute().with_name(f".vsr-{secrets.token_hex(8)}")
    with output_errors(f"`{folder}` cannot be written"):
        temp.mkdir()
    try:
        write_text(temp / "page.html", make_page(story, report), overwrite=True)
        write_png(temp / "sheet.png", draw_sheet(story), overwrite=True)
        lossless = OutputConfig(lossless=True)
        for number, scene in enumerate(story.scenes, 1):
            for place, video in enumerate(scene.videos):
                name = "source" if place == 0 else video.name.replace(" ", "_").replace("/", "-")
                write_shown(video, temp / f"{number}_{name}.mkv", lossless)
        values = {
            "source": str(story.source.path),
            "samples": [asdict(event) for scene in story.scenes for event in scene.events],
            "predictions": [asdict(prediction) for prediction in story.predictions],
        }
        write_text(temp / "preview.json", json.dumps(values, indent=1) + "\n", overwrite=True)
        with output_errors(f"`{folder}` cannot be written"):
            _move(temp, folder)
    finally:
        with suppress(OSError):
            shutil.rmtree(temp)


def _move(temp: Path, folder: Path) -> None:
    """Give a folder its name, or its files theirs where there is a folder of that name."""
    if not folder.is_dir() or not any(folder.iterdir()):
        move_folder_into_place(temp, folder)
        return
    for path in sorted(temp.iterdir()):
        move_into_place(path, folder / path.name)


def describe(story: Story) -> list[list[str]]:
    """The table of what was done: a column for the source, and one for each variant."""
    plans = [job.plan for job in story.jobs]
    source = story.source
    rows = [
        ["", *(f"{number}  {v.name}" for number, v in enumerate(story.drawer.videos, 1))],
        [
            "size of the whole",
            f"{source.size[1]} x {source.size[0]}",
            *(f"{plan.target_size[1]} x {plan.target_size[0]}" for plan in plans),
        ],
        ["model", "", *(plan.model for plan in plans)],
        ["steps", "", *(str(plan.steps) for plan in plans)],
        ["seed", "", *(str(plan.seed) for plan in plans)],
        ["fidelity, strength", "", *(f"{plan.fidelity:g}, {plan.strength:g}" for plan in plans)]
        if all(plan.fidelity is not None and plan.strength is not None for plan in plans)
        else [],
        ["coded as", f"{source.info.codec}", *(f"{p.codec}, {p.pix_fmt}" for p in plans)],
        ["on", "", *(f"{plan.device}, {plan.dtype}" for plan in plans)],
        ["time of a frame", "", *(f"{p.s_per_frame:.2f} s" for p in story.predictions)],
        [
            "whole job, about",
            counted(source.num_frames, "frame") if source.num_frames else "unknown frames",
            *(_duration(p.seconds) for p in story.predictions),
        ],
        [
            "size of the file, about",
            f"{source.num_bytes / 1e6:.1f} MB",
            *(f"{p.bytes / 1e6:.1f} MB" if p.bytes else "" for p in story.predictions),
        ],
        [
            "memory at the peak",
            "",
            *(f"{plan.memory_gb:.1f} GB" if plan.memory_gb else "" for plan in plans),
        ],
    ]
    return [row for row in rows if row and any(row[1:])]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def _remarks(story: Story) -> Iterator[str]:
    """What has to be known to read a page."""
    scene = story.scenes[0]
    if scene.part.path != story.source.path:
        yield (
            "Only a piece of the picture is shown, enlarged as a video of its own: frames of the "
            "whole differ from it near its edges, and in their noise."
        )
    else:
        yield "Frames are those that the whole job gives, before they are coded."
    if text := tone_mapping(scene.videos):
        yield f"{text}; the job keeps them HDR."
    yield (
        "The source is enlarged (bicubic) to stand beside them. Look for harm as well as gain: "
        "text, faces, and what was clean before."
    )
    yield "Time and size of the whole are estimates by these samples; sound is not counted."
