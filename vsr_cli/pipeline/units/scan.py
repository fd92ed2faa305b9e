"""The scan of a source that finds its units, once, before anything is computed."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Event, Note, Progress, Report
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import open_video
from vsr_cli.ops.shots import is_cut
from vsr_cli.pipeline.progress import ProgressReporter
from vsr_cli.pipeline.resume.config_text import to_text
from vsr_cli.pipeline.resume.units import Unit, UnitTable, starts_unit
from vsr_cli.pipeline.run import Run
from vsr_cli.pipeline.thumbnail import thumbnail
from vsr_cli.pipeline.units.source import frame_crc

# Frames that are computed before a unit that starts within a shot. With 8 it is within 0.05 codes
# of 255 of what comes of the whole shot, on average, and with 16 within the rounding of bfloat16.
WARM_UP = 16
# After these, a frame may depend on more of the source than the key frame before it.
_NO_JUMPS = frozenset(
    {
        *("W_INPUT_DAMAGED", "W_INPUT_TRUNCATED", "W_TIMESTAMPS_FIXED", "W_CLOCK_JUMPS"),
        *("W_PICTURE_CHANGES", "W_DEINTERLACED"),
    }
)


def why_whole(run: Run) -> str | None:
    """Why a job cannot be computed in units; None: it can."""
    config, model = run.config, run.model
    if model is None:
        return "there is no model"
    if run.make_chain().stages:
        return "repairs and frames between look across cuts"
    if run.output.coding.is_regular:
        return "at a constant rate frames are counted from the start"
    if not config.scene_cut or not model.family.splits_shots(config):
        return "nothing starts afresh at a cut"
    if config.clip.overlap < 1:
        return "clips do not overlap"
    return None


def scan_units(run: Run) -> UnitTable:
    """Read the source once, and find where its units start.

    Raises:
        InputError: it has no frame.
    """
    notes: list[Note] = []

    def report(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event)
        run.report(event)

    scan = _Scan(run.output.info.num_frames, report)
    with open_video(run.source, run.config.input) as video:
        counted = scan.counted(video.frames(report=report))
        units = tuple(find_units(counted, run.config.job.split))
        has_times = video.has_times
    if not units:
        raise InputError(f"`{run.source}` has no frame", hint="check it with a player")
    codes = {note.code for note in notes}
    return UnitTable(
        units=units,
        is_seekable=has_times and not scan.is_interlaced and not codes & _NO_JUMPS,
        notes=tuple((note.code, note.text) for note in notes),
        config=to_text(_shared(run.config)),
    )


def find_units(frames: Iterator[Frame], split: int = 0) -> Iterator[Unit]:
    """Close a unit at the first cut after it has frames enough, and at the end.

    Args:
        frames: of the whole source.
        split: frames after which it is closed within a shot as well; 0: never.
    """
    before: Frame | None = None
    seen: Tensor | None = None
    warm: deque[_Entry] = deque(maxlen=WARM_UP)  # the last frames of the shot, where it is split
    entry, start, number, index = None, 0, 0, -1
    for index, frame in enumerate(frames):
        last, seen = seen, thumbnail(frame)
        here = _Entry.of(index, frame) if split or entry is None else None
        is_shot = last is not None and is_cut(last, seen)
        if is_shot:
            warm.clear()
        is_full = bool(split) and index - start >= split
        if entry is None:
            entry = here
        elif before is not None and (is_full or (is_shot and starts_unit(index, start))):
            yield _unit(number, entry, start, index, before)
            entry = warm[0] if warm else here or _Entry.of(index, frame)
            number, start = number + 1, index
        if here is not None and split:
            warm.append(here)
        before = frame
    if entry is not None and before is not None:
        yield _unit(number, entry, start, index + 1, before)


@dataclass(frozen=True)
class _Entry:
    """A frame that computing may begin with."""

    index: int
    pts: int
    crc: int

    @classmethod
    def of(cls, index: int, frame: Frame) -> "_Entry":
        return cls(index, frame.pts, frame_crc(frame))


def _unit(number: int, entry: _Entry, start: int, stop: int, last: Frame) -> Unit:
    return Unit(
        index=number,
        start=start,
        stop=stop,
        entry=entry.index,
        first_pts=entry.pts,
        last_pts=last.pts,
        first_crc=entry.crc,
        last_crc=frame_crc(last),
    )


def _shared(config: UpscaleConfig) -> UpscaleConfig:
    """What all who work on a job have in common."""
    return replace(config, job=replace(config.job, fresh=False, shard=None, workers=1, ray=None))


class _Scan:
    """Tells how far the scan is, and what it has come across."""

    def __init__(self, num_frames: int | None, report: Report) -> None:
        self._progress = ProgressReporter("scan", num_frames, _now_and_then(report))
        self.is_interlaced = False

    def counted(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames."""
        for index, frame in enumerate(frames, 1):
            self.is_interlaced |= frame.interlaced
            yield frame
            self._progress.count(index)


def _now_and_then(report: Report) -> Report:
    """Pass on every 50th frame: a scan is fast."""

    def pass_on(event: Event) -> None:
        if not isinstance(event, Progress) or event.frame % 50 == 0:
            report(event)

    return pass_on
