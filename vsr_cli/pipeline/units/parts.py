"""A source that several processes look at, a range of frames each, as if one had read it.

Ranges begin with key frames, and where each begins and ends is told by packets. A range goes on for
some frames into the next one: so it tells whether that begins with a cut, and both must have read
the same there. Where anything is other than packets say, or damaged, one process reads all of it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice, pairwise
from pathlib import Path

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import VsrError
from vsr_cli.events import Event, Note
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.index import NoIndexError, PictureIndex
from vsr_cli.media.reading.reader import open_video
from vsr_cli.pipeline.resume.config_text import from_text, to_text
from vsr_cli.pipeline.units.glances import Glance, glance_at

OVERLAP = 8  # frames that two neighbouring ranges must agree on
FEWEST_FRAMES = 240  # in a range, which is opened and sought to for some tenths of a second
RANGES = 8  # for each process, so that all end at about the same time
# After these, a frame may depend on more of the source than the key frame before it.
FLAWS = frozenset(
    {
        *("W_INPUT_DAMAGED", "W_INPUT_TRUNCATED", "W_TIMESTAMPS_FIXED", "W_CLOCK_JUMPS"),
        *("W_PICTURE_CHANGES", "W_DEINTERLACED"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Scanners:
    """Processes that look at ranges.

    count: how many there are.
    scatter: takes ranges as lines, and gives for each, in any order, its place and what `scan_part`
        has returned; raises `NoIndexError` where a process is lost.
    """

    count: int
    scatter: Callable[[Sequence[str]], Iterator[tuple[int, str]]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A range of frames to look at.

    source: absolute.
    config: the user's choices, as `config_text` writes them.
    start, stop: frames, half-open; a stop of None: to the end, which is not counted.
    pts: of the first, in units of the source's time base.
    """

    source: str
    config: str
    start: int
    stop: int | None
    pts: int


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a range has shown.

    glances: at its frames, and at `OVERLAP` of the next.
    notes: code and text of what was said of the source.
    """

    glances: list[Glance]
    notes: list[tuple[str, str]]


def find_parts(
    source: Path, config: UpscaleConfig, index: PictureIndex, num_processes: int
) -> list[Part]:
    """Cut a source into ranges of about the same length.

    Args:
        source: of which all is looked at.
        config: how it is read.
        index: of it.
        num_processes: that will look at them.
    """
    length = max(FEWEST_FRAMES, -(-len(index.times) // (num_processes * RANGES)))
    starts = [0]
    for entry in index.entries:
        if entry - starts[-1] >= length and len(index.times) - entry >= FEWEST_FRAMES:
            starts.append(entry)
    text, first = to_text(config), index.times[0]
    whole = Part(source=str(source.absolute()), config=text, start=0, stop=None, pts=first)
    cut = [
        replace(whole, start=start, stop=stop, pts=index.times[start])
        for start, stop in pairwise(starts)
    ]
    return [*cut, replace(whole, start=starts[-1], pts=index.times[starts[-1]])]


def to_line(part: Part) -> str:
    """A range as one line of text."""
    return json.dumps(asdict(part))


def scan_part(line: str) -> str:
    """Look at a range, given by `to_line`; returns what `read_look` reads."""
    part = Part(**json.loads(line))
    try:
        look = _look_at(part)
    except (NoIndexError, VsrError) as error:
        return json.dumps({"flaw": str(error)})
    return json.dumps(asdict(look))


def read_look(line: str) -> Look:
    """Read what `scan_part` returns.

    Raises:
        NoIndexError: what was read there may depend on what comes before.
    """
    values = json.loads(line)
    if "flaw" in values:
        raise NoIndexError(values["flaw"])
    glances = [Glance(*glance) for glance in values["glances"]]
    return Look(glances=glances, notes=[(code, text) for code, text in values["notes"]])


def join_looks(looks: Sequence[Look], parts: Sequence[Part], index: PictureIndex) -> list[Glance]:
    """The glances that one process would have had.

    Args:
        looks: at all ranges, in their order.
        parts: the ranges.
        index: of the source.

    Raises:
        NoIndexError: they do not fit together, or are not what packets say.
    """
    for look, part in zip(looks, parts, strict=True):
        stop = len(index.times) if part.stop is None else part.stop + OVERLAP
        if tuple(glance.pts for glance in look.glances) != index.times[part.start : stop]:
            raise NoIndexError(f"after frame {part.start} there are others than packets say")
        if look.notes != looks[0].notes:
            raise NoIndexError(f"after frame {part.start} other things are said of it")
    for before, after in pairwise(looks):
        shared = zip(before.glances[-OVERLAP:], after.glances[:OVERLAP], strict=True)
        if any((one.pts, one.crc) != (other.pts, other.crc) for one, other in shared):
            raise NoIndexError("frames after a jump are not the same as without it")
    rest = (look.glances[OVERLAP:] for look in looks[1:])
    return list(chain(looks[0].glances, *rest))


def _look_at(part: Part) -> Look:
    config, notes = from_text(part.config), list[tuple[str, str]]()

    def report(event: Event) -> None:
        if isinstance(event, Note):
            notes.append((event.code, event.text))

    with open_video(Path(part.source), config.input) as video:
        if part.start:
            video.enter(part.pts, part.start)
        frames: Iterator[Frame] = video.frames(report=report)
        length = None
        if part.stop is not None:
            length = part.stop - part.start
            frames = islice(frames, length + OVERLAP)

        def is_compared(place: int) -> bool:
            is_late = length is not None and place >= length
            return is_late or place < OVERLAP or bool(config.job.split)

        glances = list(glance_at(_progressive(frames), is_compared))
        if part.stop is not None:  # else the frames have come to their end, and all is said
            video.report_flaws(report)
    if flaws := [text for code, text in notes if code in FLAWS]:
        raise NoIndexError(flaws[0])
    return Look(glances=glances, notes=notes)


def _progressive(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The same frames.

    Raises:
        NoIndexError: one is of two fields, or damaged.
    """
    for frame in frames:
        if frame.interlaced or frame.is_damaged:
            raise NoIndexError("it is interlaced" if frame.interlaced else "it is damaged")
        yield frame
