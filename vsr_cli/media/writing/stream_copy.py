"""Everything in a file that is not the picture, copied in step with it."""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import OutputContainer
from av.packet import Packet
from av.rational import AVRational
from av.stream import Stream

from vsr_cli.config import OutputConfig
from vsr_cli.events import Report
from vsr_cli.media.containers import WITH_CHAPTERS, Container
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.side_streams import SideStreams
from vsr_cli.media.writing.metadata import copyable_metadata, trimmed_chapters
from vsr_cli.media.writing.stream_plan import PlannedStream, StreamPlanner
from vsr_cli.media.writing.verify import CopiedStream


class StreamCopier:
    """Writes sound, subtitles and what else there is into a container, in step with the picture.

    Packets are taken only as far as the picture has come, so that memory does not grow with the
    length of the video. Of a cut source, those of the part that is read are taken: sound is cut
    between packets, subtitles that reach into the part begin or end with it.
    """

    def __init__(
        self,
        side_streams: SideStreams,
        output: OutputContainer,
        container: Container,
        info: VideoInfo,
    ) -> None:
        """Take both ends, which stay the caller's to close.

        Args:
            side_streams: nothing read from it yet.
            output: its header not yet written.
            container: what `output` is.
            info: of the source.
        """
        self._side_streams, self._output, self._info = side_streams, output, info
        self._container = container
        self._planned: dict[int, PlannedStream] = {}
        self._covers: list[tuple[Stream, bytes]] = []
        self._packets: Iterator[Packet[Stream] | None] = iter(())
        self._next: Packet[Stream] | None = None

    def add_streams(self, config: OutputConfig, report: Report) -> None:
        """Add every stream that the output can hold, chapters and the tags of the whole file.

        Args:
            config: what the user wants of it.
            report: receives `W_..._DROPPED`, `W_AUDIO_ENCODED` and `W_SUBS_CONVERTED`.

        Raises:
            OutputError: see `StreamPlanner`.
        """
        planner = StreamPlanner(
            self._side_streams, self._output, self._container, self._info, config
        )
        self._planned = {planned.source.index: planned for planned in planner.add_all(report)}
        self._packets = self._side_streams.packets(
            [planned.source for planned in self._planned.values()]
        )
        self._covers = planner.covers
        source = self._side_streams.container
        if config.metadata:
            self._output.metadata.update(copyable_metadata(source.metadata))
        if config.chapters and self._container.name in WITH_CHAPTERS:
            chapters = trimmed_chapters(source, self._info)
            if not config.metadata:
                chapters = [{**chapter, "metadata": {}} for chapter in chapters]
            if chapters:
                self._output.set_chapters(chapters)

    def start(self) -> None:
        """Write what comes first; the header is written by now."""
        for stream, picture in self._covers:
            packet: Packet[Stream] = Packet(picture)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
            packet.time_base = stream.time_base or Fraction(1, av.time_base)
            self._output.mux(packet)

    def copy_until(self, time: Fraction | None) -> None:
        """Copy what is due before `time`, in seconds of the output; None: all that is left."""
        origin = self._info.origin
        while (packet := self._take()) is not None:
            if packet.size and packet.dts is not None:
                if time is not None and packet.dts * packet.time_base - origin > time:
                    self._next = packet
                    return
                planned = self._planned[packet.stream_index]
                if self._trim(packet, planned):
                    self._write(planned, planned.convert(packet, origin))
        if time is None:
            for planned in self._planned.values():
                self._write(planned, planned.flush(origin))

    def copied(self) -> dict[int, CopiedStream]:
        """What has been written, by the index of the stream in the output."""
        return {
            planned.output.index: CopiedStream(
                planned.source.type, planned.num_packets, planned.num_bytes
            )
            for planned in self._planned.values()
        }

    def _take(self) -> "Packet[Stream] | None":
        """The next packet; None if there is none, or none yet."""
        packet, self._next = self._next, None
        if packet is not None:
            return packet
        try:
            return next(self._packets, None)
        except av.FFmpegError:  # cut off here; the reader of the picture says so
            self._packets = iter(())
            return None

    def _trim(self, packet: "Packet[Stream]", planned: PlannedStream) -> bool:
        """Whether any of a packet lies in the part that is read; shortens a subtitle to it."""
        start, stop = self._info.start, self._info.stop
        tick = packet.time_base
        first = (packet.dts if packet.pts is None else packet.pts) or 0
        last = first + (packet.duration or 0)
        if stop is not None and first * tick >= stop:
            return False
        if start is not None and first * tick < start:
            if planned.source.type != "subtitle":
                # The packet that holds the start is the first, so that no sound is missing.
                return last * tick > start
            if last * tick <= start:
                return False
            first = round(start / tick)
            packet.pts = packet.dts = first
            packet.duration = last - first
        if stop is not None and planned.source.type == "subtitle" and last * tick > stop:
            packet.duration = round(stop / tick) - first
        return True

    def _write(self, planned: PlannedStream, packets: "list[Packet[Stream]]") -> None:
        for packet in packets:
            if not packet.size:
                continue  # silence between two texts of an MP4, which other containers do without
            # In the ticks of the target, where two times that differ may be one.
            packet.rescale_ts(AVRational(planned.output.time_base or packet.time_base))
            dts = packet.dts or 0
            # Damaged broadcasts step back in time, which no container accepts.
            step = 0 if planned.source.type == "subtitle" else 1
            earliest = dts if planned.last_dts is None else planned.last_dts + step
            if dts < earliest:
                packet.dts = earliest
                packet.pts = max(packet.pts or earliest, earliest)
            planned.last_dts = packet.dts
            planned.num_packets += 1
            planned.num_bytes += packet.size
            packet.stream = planned.output
            self._output.mux(packet)
