"""What came out of a file, and what its header had promised."""

import re
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vsr_cli.counting import counted
from vsr_cli.events import Note, Report
from vsr_cli.media.continuous_clock import TS_DISCONT

BELIEVED_SECONDS = 30 * 3600  # missing; a header that says more is wrong itself
LOST_SECONDS = Fraction(1, 5)  # missing at the end before it is called a loss


@dataclass
class ReadStatistics:
    """Counts kept while a file is read, and times in seconds."""

    time_base: Fraction  # seconds per tick of the picture
    num_packets: int = 0  # of the picture
    num_bytes: int = 0  # of these packets
    num_damaged: int = 0  # packets that do not decode, or decode with holes
    num_frames: int = 0
    num_repeated: int = 0  # of those, in the place of frames that are lost
    num_fixed_timestamps: int = 0  # times that had to be moved
    picture_end: Fraction | None = None  # latest end of a packet of the picture
    end: Fraction | None = None  # latest end of any packet
    is_broken: bool = False  # reading stopped at an error
    stand_ins: set[int] = field(default_factory=set)  # times of repeats yet to be placed, in ticks

    def count(self, packet: "Packet[Stream]", *, is_picture: bool) -> None:
        """Count a packet; the empty one that ends a stream does not count."""
        if packet.size == 0:
            return
        if is_picture:
            self.num_packets += 1
            self.num_bytes += packet.size
        if packet.pts is None:
            return
        end = (packet.pts + (packet.duration or 0)) * packet.time_base
        self.end = end if self.end is None else max(self.end, end)
        if is_picture:
            self.picture_end = end if self.picture_end is None else max(self.picture_end, end)

    def is_stand_in(self, time: int | None) -> bool:
        """Whether the picture of this time repeats the one before, asked once in its order."""
        if time is None or time not in self.stand_ins:
            return False
        self.stand_ins.discard(time)
        return True

    def report_damage(self, report: Report, *, are_filled: bool) -> None:
        """Say, after the last frame, what was mended or damaged.

        Args:
            report: receives the notes.
            are_filled: whether others replace what stands in for lost frames, and tell of it.
        """
        if self.num_fixed_timestamps:
            text = counted(
                self.num_fixed_timestamps,
                "frame had no time and was",
                "frames had no time and were",
            )
            text += " given one"
            report(Note(code="W_TIMESTAMPS_FIXED", text=text))
        if self.num_damaged:
            text = f"{self.num_damaged} of {counted(self.num_packets, 'packet')} of the source "
            text += "is damaged" if self.num_damaged == 1 else "are damaged"
            if self.num_repeated:
                one, many = ("is", "are") if are_filled else ("repeats", "repeat")
                text += f"; {counted(self.num_repeated, f'frame {one}', f'frames {many}')}"
                text += " lost" if are_filled else " the one before"
            report(Note(code="W_INPUT_DAMAGED", text=text))

    def report_truncation(
        self, container: InputContainer, stream: VideoStream, report: Report
    ) -> None:
        """Say, at the end of the source, whether it came too early."""
        missing = self._missing_seconds(container, stream)
        if missing is not None or self.is_broken:
            text = f"the source ends after {counted(self.num_frames, 'frame')}"
            if missing:
                text += f", {float(missing):.2f} s before its header says"
            report(Note(code="W_INPUT_TRUNCATED", text=text))

    def is_cut_off(self, container: InputContainer, stream: VideoStream) -> bool:
        """Whether, at the end of the source, some of it is missing."""
        return self.is_broken or self._missing_seconds(container, stream) is not None

    def _missing_seconds(self, container: InputContainer, stream: VideoStream) -> Fraction | None:
        """How much earlier the file ended than its header says; None if it did not."""
        if self.end is None or self.picture_end is None:
            return None
        if stream.frames and "mov" in container.format.name:
            # An edit list may show less than the header counts, so only missing bytes tell.
            if self._has_all_bytes(container, stream):
                return None
            promised = ((stream.duration or 0) + (stream.start_time or 0)) * self.time_base
            return max(Fraction(0), promised - self.picture_end)
        own = tagged_duration(container, stream)
        if own is not None and own - self.picture_end > LOST_SECONDS:
            return own - self.picture_end
        if container.duration:
            # Headers count from 0; where there are none, FFmpeg counts from the first packet.
            is_absolute = not container.format.flags & TS_DISCONT
            start = 0 if is_absolute else container.start_time or 0
            missing = Fraction(start + container.duration, av.time_base) - self.end
            return missing if LOST_SECONDS < missing < BELIEVED_SECONDS else None
        return None

    def _has_all_bytes(self, container: InputContainer, stream: VideoStream) -> bool:
        """Whether what the index of an MP4 lists is there; a pipe has no size, but was read."""
        entries = stream.index_entries
        if container.size > 0:
            return all(entry.pos + entry.size <= container.size for entry in entries)
        return self.num_bytes >= sum(entry.size for entry in entries)


def tagged_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds at which the picture of a Matroska file ends, if written there.

    Other formats may have got the tag from a Matroska file that was longer.
    """
    if "matroska" not in container.format.name:
        return None
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
