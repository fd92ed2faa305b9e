"""Writing videos in tests: flat frames at the times of a source."""

from pathlib import Path

import numpy as np

from tests.media.writers import open_writer, write_planes
from vsr_cli.config import OutputConfig
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.frame import Plane
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.cfr import to_constant_rate
from vsr_cli.pixels import PixelLayout

FAST = OutputConfig(preset="ultrafast")


def flat_planes(layout: PixelLayout, size: tuple[int, int], level: int) -> tuple[Plane, ...]:
    dtype = np.uint8 if layout.depth == 8 else np.uint16
    unit = 1 << (layout.depth - 8)
    shapes = layout.plane_shapes(*size)
    levels = (level * unit, 128 * unit, 128 * unit)
    return tuple(np.full(shape, n, dtype) for shape, n in zip(shapes, levels, strict=False))


def rewrite(
    source: Path,
    target: Path,
    config: OutputConfig = FAST,
    *,
    size: tuple[int, int] | None = None,
) -> list[Note]:
    """Write flat frames at the times of the source, with its sound; return what was said."""
    events: list[Event] = []
    info = probe(source)
    size = size or (info.height, info.width)
    with open_writer(target, info, size, config, source=source, report=events.append) as writer:
        frames = to_constant_rate(
            read_frames(source, report=ignore), writer.plan.coding, info, events.append
        )
        for index, frame in enumerate(frames):
            planes = flat_planes(writer.plan.coding.layout, size, 40 + index)
            write_planes(writer, frame, planes)
        writer.finish()
    return [event for event in events if isinstance(event, Note)]
