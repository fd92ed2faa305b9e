"""The scan of a source that finds its units, once, before anything is computed."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Event, Note, Progress, Report
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.index import NoIndexError
from vsr_cli.media.reading.reader import open_video
from vsr_cli.pipeline.progress import ProgressReporter
from vsr_cli.pipeline.resume.config_text import to_text
from vsr_cli.pipeline.resume.units import Unit, UnitTable
from vsr_cli.pipeline.run import Run
from vsr_cli.pipeline.units.glances import find_units, glance_at
from vsr_cli.pipeline.units.parts import (
    FLAWS,
    Look,
    Scanners,
    find_parts,
    join_looks,
    read_look,
    to_line,
)

WORTHWHILE = 1000  # frames for each process: it takes seconds to start, and as long to read these

_log = logging.getLogger(__name__)


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


def scan_units(run: Run, scanners: Scanners) -> UnitTable:
    """Read the source once, and find where its units start.

    Args:
        run: what is to be computed.
        scanners: who may read a range each; what comes of it is the same, bit for bit, as where one
            process reads all of it.

    Raises:
        InputError: it has no frame.
    """
    scan = None
    if (count := _num_useful(run, scanners)) > 1:
        try:
            scan = _scan_in_parts(run, replace(scanners, count=count))
        except NoIndexError as error:
            _log.debug("the source is scanned by one process: %s", error)
    scan = scan or _scan_whole(run)
    if not scan.units:
        raise InputError(f"`{run.source}` has no frame", hint="check it with a player")
    return UnitTable(
        units=scan.units,
        is_seekable=scan.is_seekable,
        notes=scan.notes,
        config=to_text(_shared(run.config)),
    )


@dataclass(frozen=True, kw_only=True)
class _Scan:
    """What a scan has found; see `UnitTable`."""

    units: tuple[Unit, ...]
    is_seekable: bool
    notes: tuple[tuple[str, str], ...]


def _num_useful(run: Run, scanners: Scanners) -> int:
    """How many processes make the scan faster."""
    info = run.output.info
    num_frames = info.num_frames or round((info.duration or 0) * info.rate)
    return min(scanners.count, num_frames // WORTHWHILE)


def _scan_whole(run: Run) -> _Scan:
    """Read the source from its start to its end."""
    notes: list[Note] = []

    def report(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event)
        run.report(event)

    watch, split = _Watch(run.output.info.num_frames, report), run.config.job.split or 0
    with open_video(run.source, run.config.input) as video:
        counted = watch.counted(video.frames(report=report))
        units = tuple(find_units(glance_at(counted, lambda _: bool(split)), split))
        has_times = video.has_times
    codes = {note.code for note in notes}
    return _Scan(
        units=units,
        is_seekable=has_times and not watch.is_interlaced and not codes & FLAWS,
        notes=tuple((note.code, note.text) for note in notes),
    )


def _scan_in_parts(run: Run, scanners: Scanners) -> _Scan:
    """Have several processes read a range each.

    Raises:
        NoIndexError: only one that reads all of it can tell.
    """
    with open_video(run.source, run.config.input) as video:
        index = video.index()
    parts = find_parts(run.source, run.config, index, scanners.count)
    if len(parts) == 1:
        raise NoIndexError("it has too few key frames")
    count = min(scanners.count, len(parts))
    _log.debug("the source is scanned by %d processes, in %d ranges", count, len(parts))
    progress = ProgressReporter("scan", len(index.times), run.report)
    looks, num_done = dict[int, Look](), 0
    for place, line in scanners.scatter([to_line(part) for part in parts]):
        looks[place] = read_look(line)
        stop = parts[place].stop or len(index.times)
        num_done += stop - parts[place].start
        progress.count(num_done)
    glances = join_looks([looks[place] for place in range(len(parts))], parts, index)
    notes = tuple(looks[0].notes)
    for code, text in notes:
        run.report(Note(code=code, text=text))
    units = tuple(find_units(glances, run.config.job.split or 0))
    return _Scan(units=units, is_seekable=True, notes=notes)


def _shared(config: UpscaleConfig) -> UpscaleConfig:
    """What all who work on a job have in common."""
    return replace(config, job=replace(config.job, fresh=False, shard=None, workers=1, ray=None))


class _Watch:
    """Tells how far a scan is, and what it has come across."""

    def __init__(self, num_frames: int | None, report: Report) -> None:
        self._progress = ProgressReporter("scan", num_frames, _now_and_then(report))
        self.is_interlaced = False

    def counted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
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
