"""Two frames and the first packets of every copied stream, written as the target will be.

Much of what encoders and containers refuse they refuse late: when they are opened, with the first
packet of a stream, or with the index at the end. A rehearsal meets it before hours of computing.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
from av.packet import Packet
from av.stream import Stream

from vsr_cli.config import InputConfig
from vsr_cli.events import Report
from vsr_cli.media.containers import PICTURE_ONLY
from vsr_cli.media.frame import Frame
from vsr_cli.media.open import open_container
from vsr_cli.media.side_streams import SideStreams
from vsr_cli.media.writing.chunks import ChunkWriter
from vsr_cli.media.writing.destination import output_errors
from vsr_cli.media.writing.metadata import report_lost_tags
from vsr_cli.media.writing.output_plan import OutputPlan
from vsr_cli.media.writing.writer import VideoWriter, join_chunks

NUM_FRAMES = 2
PACKETS_OF_STREAM = 4
MOST_PACKETS = 2000  # of all streams; a stream that has not come by then starts late

Packets = Callable[[Sequence[Stream]], "Iterator[Packet[Stream] | None]"]


def rehearse(
    plan: OutputPlan, side_streams: SideStreams, *, from_chunks: bool, report: Report
) -> None:
    """Write the start of a target into a temporary folder, which is removed again.

    Args:
        plan: of the target.
        side_streams: what is copied beside the picture; of a pipe, which could not be read again,
            only what its header tells.
        from_chunks: whether the target is joined from chunks.
        report: receives `W_AUDIO_ENCODED`, `W_SUBS_CONVERTED` and `W_..._DROPPED`.

    Raises:
        OutputError: encoder or container refuse; or no temporary folder can be made.
    """
    with output_errors("the temporary folder of the system cannot be written"):
        folder = tempfile.TemporaryDirectory(prefix="vsr-", ignore_cleanup_errors=True)
    with folder as name:
        _rehearse(plan, side_streams, Path(name), from_chunks=from_chunks, report=report)


def _rehearse(
    plan: OutputPlan, side_streams: SideStreams, folder: Path, *, from_chunks: bool, report: Report
) -> None:
    target = folder / f"target{plan.target.suffix}"
    if plan.container.is_image_sequence:
        target = folder / "%d.png"
    copy = replace(
        plan,
        target=target,
        container=replace(plan.container, is_pipe=False),
        config=replace(plan.config, verify="off"),  # so short a file has no lengths to compare
    )
    packets: Packets = _no_packets if side_streams.is_live else _first_of(side_streams.packets)
    start = replace(side_streams, packets=packets)
    if not from_chunks:
        with VideoWriter(copy, start, report=report) as writer:
            for frame in _neutral_frames(plan):
                writer.write(frame)
            writer.finish()
    else:
        _join_chunk(folder / "chunk.mkv", copy, start, report)
    if plan.config.metadata and plan.container.name not in PICTURE_ONLY:
        config = InputConfig(format=_demuxer(plan))
        with open_container(target, config, is_own=True) as written:
            report_lost_tags(side_streams.container, written, report)


def _join_chunk(path: Path, copy: OutputPlan, start: SideStreams, report: Report) -> None:
    with ChunkWriter(path, copy) as chunk:
        for frame in _neutral_frames(copy):
            chunk.write(frame)
        chunk.finish()
    join_chunks([path], copy, start, report=report)


def _demuxer(plan: OutputPlan) -> str | None:
    """The format of so short a file, where it does not tell by itself."""
    return plan.container.name if plan.container.name == "mpegts" else None


def _neutral_frames(plan: OutputPlan) -> Iterator[Frame]:
    """Frames of one colour at the start of the video."""
    coding = plan.coding
    dtype = np.uint8 if coding.layout.depth == 8 else np.uint16
    shapes = coding.layout.plane_shapes(*coding.size)
    planes = tuple(np.full(shape, 2 ** (coding.layout.depth - 1), dtype) for shape in shapes)
    step = max(1, round(1 / (coding.rate * coding.time_base)))
    first = ceil(plan.info.origin / coding.time_base)
    for index in range(NUM_FRAMES):
        yield Frame(
            planes=planes,
            layout=coding.layout,
            color=coding.color,
            pts=first + index * step,
            duration=step,
            time_base=coding.time_base,
            interlaced=False,
        )


def _no_packets(streams: Sequence[Stream]) -> "Iterator[Packet[Stream] | None]":
    return iter(())


def _first_of(packets: Packets) -> Packets:
    """The first packets of each stream, as far as they come early."""

    def first(streams: Sequence[Stream]) -> "Iterator[Packet[Stream] | None]":
        seen: Counter[int] = Counter()
        for count, packet in enumerate(packets(streams)):
            missing = sum(seen[stream.index] < PACKETS_OF_STREAM for stream in streams)
            if count == MOST_PACKETS or not missing:
                return
            if packet is not None:
                seen[packet.stream_index] += 1
                yield packet

    return first
