"""Targets written as the program does, from sources that tests have made."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vsr_cli.config import OutputConfig
from vsr_cli.events import Report, ignore
from vsr_cli.media.frame import Frame, Plane, VideoInfo
from vsr_cli.media.side_streams import SideStreams, open_side_streams
from vsr_cli.media.writing.output_plan import OutputPlan, plan_output
from vsr_cli.media.writing.writer import VideoWriter, join_chunks


@contextmanager
def open_writer(
    target: Path,
    info: VideoInfo,
    size: tuple[int, int],
    config: OutputConfig,
    *,
    source: Path | SideStreams,
    report: Report = ignore,
) -> Iterator[VideoWriter]:
    """A writer of a target with the other streams of a source."""
    path = source if isinstance(source, Path) else Path("-")
    plan = plan_output(target, path, info, size, config, report=report)
    if isinstance(source, SideStreams):
        with VideoWriter(plan, source, report=report) as writer:
            yield writer
        return
    with (
        open_side_streams(source, info) as side_streams,
        VideoWriter(plan, side_streams, report=report) as writer,
    ):
        yield writer


def join(chunks: Sequence[Path], plan: OutputPlan, source: Path, *, report: Report = ignore) -> int:
    """A target from chunks and the other streams of a source."""
    with open_side_streams(source, plan.info) as side_streams:
        num_frames, _ = join_chunks(chunks, plan, side_streams, report=report)
        return num_frames


def write_planes(writer: VideoWriter, frame: Frame, planes: tuple[Plane, ...]) -> None:
    """Write a frame of these samples, at the time of `frame`."""
    coding = writer.plan.coding
    writer.write(frame.with_planes(planes, coding.layout, coding.color))
