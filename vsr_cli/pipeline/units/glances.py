"""A quick look at each frame of a source, and the units that follow from it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from torch import Tensor

from vsr_cli.media.frame import Frame
from vsr_cli.ops.shots import is_cut
from vsr_cli.pipeline.resume.units import Unit, starts_unit
from vsr_cli.pipeline.thumbnail import thumbnail
from vsr_cli.pipeline.units.source import frame_crc

# Frames that are computed before a unit that starts within a shot. With 8 it is within 0.05 codes
# of 255 of what comes of the whole shot, on average, and with 16 within the rounding of bfloat16.
WARM_UP = 16


class Glance(NamedTuple):
    """What units are found by, of one frame.

    pts: in units of the source's time base.
    crc: of its samples, see `frame_crc`; None where no unit can begin or end.
    is_cut: whether a shot begins with it; of the first frame that is looked at, that is not known.
    """

    pts: int
    crc: int | None
    is_cut: bool


def glance_at(frames: Iterable[Frame], needs_crc: Callable[[int], bool]) -> Iterator[Glance]:
    """Look at frames in order; holds two of them.

    Args:
        frames: neighbours in time.
        needs_crc: tells of which, by their place among these, the samples are summed up whatever
            they show; those on both sides of a cut, the first and the last always are.
    """
    held: Frame | None = None
    seen: Tensor | None = None
    was_cut = False
    index = -1
    for index, frame in enumerate(frames):
        last, seen = seen, thumbnail(frame)
        starts_shot = last is not None and is_cut(last, seen)
        if held is not None:
            is_edge = starts_shot or was_cut or index == 1 or needs_crc(index - 1)
            yield Glance(held.pts, frame_crc(held) if is_edge else None, was_cut)
        held, was_cut = frame, starts_shot
    if held is not None:
        yield Glance(held.pts, frame_crc(held), was_cut)


def find_units(glances: Iterable[Glance], split: int = 0) -> Iterator[Unit]:
    """Close a unit at the first cut after it has frames enough, and at the end.

    Args:
        glances: at the whole source; all with a sum of samples, where units are split.
        split: frames after which it is closed within a shot as well; 0: never.
    """
    before: Glance | None = None
    warm: deque[tuple[int, Glance]] = deque(maxlen=WARM_UP)  # the last of the shot, to split it
    entry, start, number, index = None, 0, 0, -1
    for index, glance in enumerate(glances):
        if glance.is_cut:
            warm.clear()
        is_full = bool(split) and index - start >= split
        if entry is None:
            entry = (index, glance)
        elif before is not None and (is_full or (glance.is_cut and starts_unit(index, start))):
            yield _unit(number, entry, start, index, before)
            entry = warm[0] if warm else (index, glance)
            number, start = number + 1, index
        if split:
            warm.append((index, glance))
        before = glance
    if entry is not None and before is not None:
        yield _unit(number, entry, start, index + 1, before)


def _unit(number: int, entry: tuple[int, Glance], start: int, stop: int, last: Glance) -> Unit:
    index, first = entry
    assert first.crc is not None
    assert last.crc is not None
    return Unit(
        index=number,
        start=start,
        stop=stop,
        entry=index,
        first_pts=first.pts,
        last_pts=last.pts,
        first_crc=first.crc,
        last_crc=last.crc,
    )
