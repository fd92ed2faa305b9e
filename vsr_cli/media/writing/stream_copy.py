"""Everything in a file that is not the picture, copied in step with it."""

from collections.abc import Iterator, Mapping
from fractions import Fraction

import av
from av.container import OutputContainer
from av.packet import Packet
from av.rational import AVRational
from av.stream import Stream

from vsr_cli.config import OutputConfig
from vsr_cli.counting import counted
from vsr_cli.events import Note, Report
from vsr_cli.media.containers import WITH_CHAPTERS, Container
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.memory import sensible_memory
from vsr_cli.media.open import reason
from vsr_cli.media.side_streams import SideStreams
from vsr_cli.media.writing.destination import is_refusal
from vsr_cli.media.writing.metadata import copyable_metadata, trimmed_chapters
from vsr_cli.media.writing.stream_plan import PlannedStream, StreamPlanner
from vsr_cli.media.writing.verify import CopiedStream

TS_NONSTRICT = 0x20000  # FFmpeg's flag of formats in which two packets may have one time
_ENDLESS = 3600  # seconds; what claims to be shown longer does not know its end
_A_WHILE = 5  # seconds that it is shown then, where nobody knows the end of the picture
_LONGEST_STEP = 2**31 - 2  # ticks between two packets of an MP4; FFmpeg shortens longer ones
_TEXTS = frozenset({"subrip", "text", "ass", "webvtt"})
_NO_TEXT = bytes(2)  # a text of MP4 that says nothing


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
        self._latest: PlannedStream | None = None  # whose packet the muxer was given last

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
                if planned.lost is None and self._trim(packet, planned):
                    self._end_open(planned, packet)
                    if _is_open(packet, planned):
                        planned.open = packet
                    else:
                        self._convert(planned, packet)
        if time is None:
            for planned in self._planned.values():
                if planned.lost is None:
                    self._end_open(planned, None)
                    self._convert(planned, None)

    def copied(self) -> dict[int, CopiedStream]:
        """What has been written, by the index of the stream in the output."""
        return {
            planned.output.index: CopiedStream(
                planned.source.type, planned.num_packets, planned.num_bytes
            )
            for planned in self._planned.values()
            if planned.lost is None
        }

    def leave_out(self, error: Exception) -> bool:
        """Leave out the stream that the muxer most likely means, so that the picture is not lost.

        A muxer may refuse a packet only when it writes it, after it was given others.

        Returns:
            Whether there was one.
        """
        if self._latest is None or not is_refusal(error):
            return False
        self._lose(self._latest, reason(error))
        return True

    def report_losses(self, report: Report) -> None:
        """Say, after the last packet, what could not be written or was not as it should be."""
        for planned in self._planned.values():
            what = planned.description
            if planned.lost is not None:
                end = f"ends at {float(planned.end):.3f} s" if planned.num_packets else "is missing"
                text = f"{what} {end}: {self._container.display_name} takes no more of it"
                report(Note(code="W_STREAM_CUT", text=f"{text} ({planned.lost})"))
            if planned.encoder and planned.encoder.num_damaged:
                text = counted(
                    planned.encoder.num_damaged, f"packet of {what} does", f"packets of {what} do"
                )
                text += " not decode"
                report(Note(code="W_AUDIO_DAMAGED", text=text))
            if planned.has_endless:
                text = f"what has no end in {what} ends with the picture"
                report(Note(code="W_SUBS_ENDLESS", text=text))

    def report_missing(self, missing: Mapping[int, int], report: Report) -> None:
        """Say, after the finished file was read, of which streams packets are not in it.

        Args:
            missing: how many, by the index of the stream in the output.
            report: receives `W_STREAM_CUT`.
        """
        for planned in self._planned.values():
            if planned.output.index in missing:
                number = missing[planned.output.index]
                text = (
                    f"{planned.description} is not whole: {number} of "
                    f"{counted(planned.num_packets, 'packet')} "
                    f"{'does' if number == 1 else 'do'} not come back "
                    f"from {self._container.display_name}"
                )
                report(Note(code="W_STREAM_CUT", text=text))

    def _lose(self, planned: PlannedStream, why: str) -> None:
        planned.lost = why
        active = [other for other in self._planned.values() if other.lost is None]
        self._latest = active[-1] if active else None

    def _take(self) -> "Packet[Stream] | None":
        """The next packet; None if there is none, or none yet."""
        packet, self._next = self._next, None
        if packet is not None:
            return packet
        try:
            return next(self._packets, None)
        except MemoryError:
            raise
        except av.FFmpegError:  # cut off here; the reader of the picture says so
            self._packets = iter(())
            return None

    def _trim(self, packet: "Packet[Stream]", planned: PlannedStream) -> bool:
        """Whether any of a packet lies in the part that is read; shortens a subtitle to it."""
        start, stop = self._info.start, self._info.stop
        tick = packet.time_base
        first = (packet.dts if packet.pts is None else packet.pts) or 0
        if planned.source.type == "subtitle" and (packet.duration or 0) * tick > _ENDLESS:
            packet.duration = self._until_end(first * tick, tick)
            planned.has_endless = True
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

    def _convert(self, planned: PlannedStream, packet: "Packet[Stream] | None") -> None:
        """Write what a packet becomes; None: what is left in a converter."""
        origin = self._info.origin
        try:
            with sensible_memory(planned.description):
                if packet is None:
                    packets = planned.flush(origin)
                else:
                    packets = planned.convert(packet, origin)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            self._lose(planned, reason(error))
            return
        self._write(planned, packets)

    def _write(self, planned: PlannedStream, packets: "list[Packet[Stream]]") -> None:
        for packet in packets:
            if not packet.size:
                continue  # silence between two texts of an MP4, which other containers do without
            is_late = planned.latest is not None and (packet.dts or 0) < planned.latest
            planned.latest = max(packet.dts or 0, planned.latest or 0)
            # In the ticks of the target, where two times that differ may be one.
            packet.rescale_ts(AVRational(planned.output.time_base or packet.time_base))
            dts = packet.dts or 0
            # Damaged broadcasts step back in time, which no container accepts.
            may_be_equal = self._output.format.flags & TS_NONSTRICT and not is_late
            step = 0 if may_be_equal or planned.source.type == "subtitle" else 1
            earliest = dts if planned.last_dts is None else planned.last_dts + step
            if planned.source.type == "audio" and not packet.duration:
                # MP4 does not give back a last packet that has no length.
                packet.duration = max(dts - (planned.last_dts or 0), 0)
            if dts < earliest:
                packet.dts = earliest
                packet.pts = max(packet.pts or earliest, earliest)
            if planned.last_dts is not None and self._container.is_mp4:
                self._fill(planned, planned.last_dts, packet.dts or 0)
            if planned.lost is None:
                self._mux(planned, packet)

    def _mux(self, planned: PlannedStream, packet: "Packet[Stream]") -> None:
        packet.stream = planned.output
        num_bytes, dts = packet.size, packet.dts
        end = ((packet.pts or 0) + (packet.duration or 0)) * packet.time_base
        try:
            self._output.mux(packet)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            if not is_refusal(error):
                raise
            self._lose(planned, reason(error))
            return
        planned.last_dts, self._latest = dts, planned
        planned.num_packets += 1
        planned.num_bytes += num_bytes
        planned.end = max(planned.end, end)

    def _fill(self, planned: PlannedStream, last: int, dts: int) -> None:
        """Bridge a pause that is longer than the 32 bits in which MP4 tells it."""
        if not planned.is_text:
            if dts - last > _LONGEST_STEP:
                self._lose(planned, "a pause longer than it can tell")
            return
        while dts - last > _LONGEST_STEP:
            last += _LONGEST_STEP
            silence: Packet[Stream] = Packet(_NO_TEXT)
            silence.pts = silence.dts = last
            silence.time_base = planned.output.time_base or Fraction(1)
            silence.stream = planned.output
            self._output.mux(silence)

    def _end_open(self, planned: PlannedStream, following: "Packet[Stream] | None") -> None:
        """Write a text that does not say how long it is shown: until the next, or the end."""
        packet, planned.open = planned.open, None
        if packet is None:
            return
        start = packet.pts or 0
        if following is not None and (following.pts or 0) - start > 0:
            packet.duration = (following.pts or 0) - start
        else:
            packet.duration = self._until_end(start * packet.time_base, packet.time_base)
            planned.has_endless = True
        self._convert(planned, packet)

    def _until_end(self, start: Fraction, tick: Fraction) -> int:
        """How long something lasts that is shown from `start` on and has no end, in ticks."""
        info = self._info
        end = info.stop
        if end is None and info.duration is not None and info.duration < _ENDLESS * 24:
            end = info.origin + info.duration
        return round((end - start if end is not None and end > start else _A_WHILE) / tick)


def _is_open(packet: "Packet[Stream]", planned: PlannedStream) -> bool:
    """Whether a text does not say how long it is shown; pictures of text say it themselves."""
    return planned.codec in _TEXTS and not (packet.duration or 0) > 0
