"""The frames of one unit, the very ones that the scan has seen."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from zlib import crc32

import numpy as np

from vsr_cli.config import InputConfig
from vsr_cli.errors import VerificationError
from vsr_cli.events import ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import VideoSource, open_video
from vsr_cli.pipeline.resume.units import Unit


def read_unit(
    video: VideoSource,
    source: Path,
    config: InputConfig,
    unit: Unit,
    *,
    skip: int,
    is_seekable: bool,
) -> Iterator[Frame]:
    """Give the frames of a unit, from one on; the scan has said all there is to say of them.

    Args:
        video: the source, nothing read from it beyond its first frame.
        source: the same, to be opened again where a jump has led astray.
        config: how it is read.
        unit: whose frames.
        skip: index of the first that is given.
        is_seekable: whether a jump may be tried.

    Raises:
        VerificationError: they are not those of the scan.
    """
    if not is_seekable or not unit.entry:
        yield from _checked(video.frames(report=ignore, skip=unit.entry), unit, skip)
        return
    video.enter(unit.first_pts, unit.entry)
    frames = video.frames(report=ignore)
    first = next(frames, None)
    if first is not None and _is_same(first, unit.first_pts, unit.first_crc):
        yield from _checked(chain([first], frames), unit, skip)
        return
    with open_video(source, config) as again:
        yield from _checked(again.frames(report=ignore, skip=unit.entry), unit, skip)


def frame_crc(frame: Frame) -> int:
    """A number that tells the samples of a frame, and how long it is shown, from others."""
    found = crc32(str(frame.duration).encode())
    for plane in frame.planes:
        found = crc32(np.ascontiguousarray(plane).data, found)
    return found


def _checked(frames: Iterator[Frame], unit: Unit, skip: int) -> Iterator[Frame]:
    """The frames of a unit, if these are they."""
    index = unit.entry - 1
    is_same = True
    for index, frame in enumerate(islice(frames, unit.stop - unit.entry), unit.entry):
        if index == unit.entry:
            is_same = _is_same(frame, unit.first_pts, unit.first_crc)
        if index == unit.stop - 1:
            is_same &= _is_same(frame, unit.last_pts, unit.last_crc)
        if not is_same:
            break
        if index >= skip:
            yield frame
    if not is_same or index != unit.stop - 1:
        raise VerificationError(
            f"the source does not give the frames {unit.entry} to {unit.stop - 1} a second time",
            why=f"at frame {index} it is not what the scan has read",
            hint="check the disk, or leave `--workers` and `--shard` out: it is read once then",
        )


def _is_same(frame: Frame, pts: int, crc: int) -> bool:
    return frame.pts == pts and frame_crc(frame) == crc
