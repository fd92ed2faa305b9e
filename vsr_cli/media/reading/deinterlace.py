"""Interlaced pictures made whole: what two fields show at two times, as frames."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.filter import Graph
from av.video.frame import VideoFrame

from vsr_cli.config import Deinterlace
from vsr_cli.events import Note, Report
from vsr_cli.media.frame import plain_format


class TimedFrame(NamedTuple):
    """A decoded picture at its place in time, in ticks of one and the same clock."""

    picture: VideoFrame
    pts: int
    duration: int  # 0 if unknown
    is_damaged: bool = False  # see `Frame`


def deinterlace(
    pictures: Iterator[TimedFrame], mode: Deinterlace, report: Report
) -> Iterator[TimedFrame]:
    """Fill in the lines that each field lacks, by motion (FFmpeg's `bwdif`).

    Args:
        pictures: of one size, in order of presentation.
        mode: `auto` treats pictures that say they are interlaced, from the first of them on;
            `frame` treats all; `field` treats all and makes a frame of each field; `off` none.
        report: receives `W_DEINTERLACED`.

    Yields:
        As many pictures as come in, at the same times; twice as many with `field`, the second of
        each two halfway to the next picture.
    """
    if mode == "off":
        yield from pictures
        return
    bwdif = _Bwdif(mode) if mode != "auto" else None
    if bwdif:
        _report_deinterlacing(report, "as asked for", mode)
    for timed in pictures:
        if bwdif is None and timed.picture.interlaced_frame:
            bwdif = _Bwdif(mode)
            _report_deinterlacing(report, "the source is interlaced", mode)
        if bwdif is None:
            yield timed
        else:
            yield from bwdif.push(timed)
    if bwdif is not None:
        yield from bwdif.push(None)


def _report_deinterlacing(report: Report, why: str, mode: Deinterlace) -> None:
    made = "each field becomes a frame" if mode == "field" else "each two fields become a frame"
    text = f"deinterlaced, because {why}" if mode == "auto" else f"deinterlaced {why}"
    report(Note(code="W_DEINTERLACED", text=f"{text}: {made}"))


class _Bwdif:
    """The filter, and the times of what is in it; it looks one picture ahead."""

    def __init__(self, mode: Deinterlace) -> None:
        self._options = {
            "mode": "send_field" if mode == "field" else "send_frame",
            "deint": "interlaced" if mode == "auto" else "all",
        }
        self._fields = 2 if mode == "field" else 1  # frames made of each picture
        self._graph: Graph | None = None
        self._format = ""  # of the pictures that it takes
        self._waiting: deque[tuple[int, int, bool]] = deque()  # all that `TimedFrame` has beside

    def push(self, timed: TimedFrame | None) -> Iterator[TimedFrame]:
        """Put in a picture, or None for the end; take out what is ready."""
        if timed is not None and timed.picture.format.name != self._format:
            if self._graph is not None:  # its pictures are of another format
                yield from self.push(None)
            self._graph, self._format = self._build(timed.picture), timed.picture.format.name
        if timed is not None:
            self._waiting.append((timed.pts, timed.duration, timed.is_damaged))
            # The filter multiplies times, and needs nothing but their order.
            timed.picture.pts, timed.picture.time_base = timed.pts, Fraction(1, 1000)
        if self._graph is None:
            return
        self._graph.vpush(timed.picture if timed else None)
        made = []
        while (picture := self._pull(self._graph)) is not None:
            made.append(picture)
            if len(made) == self._fields:
                yield from self._place(made)
                made = []

    def _place(self, made: list[VideoFrame]) -> Iterator[TimedFrame]:
        pts, duration, is_damaged = self._waiting.popleft()
        step = self._waiting[0][0] - pts if self._waiting else duration
        length = duration // self._fields
        for index, picture in enumerate(made):
            yield TimedFrame(picture, pts + index * step // self._fields, length, is_damaged)

    def _build(self, picture: VideoFrame) -> Graph:
        graph = Graph()
        source = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=Fraction(1, 1000),
        )
        plain = graph.add("format", f"pix_fmts={plain_format(picture.format.name)}")
        bwdif = graph.add("bwdif", **self._options)
        graph.link_nodes(source, plain, bwdif, graph.add("buffersink")).configure()
        return graph

    def _pull(self, graph: Graph) -> VideoFrame | None:
        try:
            return graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return None
