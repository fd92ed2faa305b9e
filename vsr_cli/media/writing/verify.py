"""Reading a finished file back, and comparing it with what was written."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vsr_cli.config import InputConfig
from vsr_cli.counting import counted
from vsr_cli.media.mp4_boxes import read_track
from vsr_cli.media.open import demux, open_container


@dataclass
class TimestampSummary:
    """Where pictures lie in time; sums instead of lists, because videos may be long."""

    num_frames: int = 0
    first: Fraction = Fraction(0)  # seconds, as all below
    last: Fraction = Fraction(0)  # when the last picture is shown
    end: Fraction = Fraction(0)
    total: Fraction = Fraction(0)

    def add(self, time: Fraction, duration: Fraction) -> None:
        self.first = min(self.first, time) if self.num_frames else time
        self.last = max(self.last, time) if self.num_frames else time
        self.end = max(self.end, time + duration) if self.num_frames else time + duration
        self.total += time
        self.num_frames += 1

    @property
    def mean_delay(self) -> Fraction:
        """How much later than the first a picture comes on average."""
        return self.total / self.num_frames - self.first


@dataclass(frozen=True)
class CopiedStream:
    """What was written of a stream that is not the picture."""

    kind: str  # audio or subtitle
    num_packets: int
    num_bytes: int

    def is_whole(self, num_packets: int, num_bytes: int) -> bool:
        """Whether so much, found in the finished file, is all of it."""
        if self.kind == "subtitle":  # containers fill the time between them
            return num_packets >= self.num_packets
        # Containers cut PCM into packets of their own, and take off headers that they do without.
        return num_packets == self.num_packets or num_bytes == self.num_bytes


@dataclass(frozen=True, kw_only=True)
class ExpectedFile:
    """What a finished file should hold."""

    picture: int  # index of its stream
    step: Fraction  # seconds a frame lasts if nobody says
    times: TimestampSummary
    side_streams: Mapping[int, CopiedStream]  # by the index of the stream
    has_lengths: bool = True  # whether the container tells how long the last frame is shown


@dataclass(frozen=True)
class Findings:
    """What is wrong with a finished file."""

    problem: str | None = None  # that makes it another than was written; None: the picture is whole
    missing: Mapping[int, int] = field(default_factory=dict)  # packets of a side stream, by index


def check_file(
    path: Path, expected: ExpectedFile, *, format_: str | None, decode: bool
) -> Findings:
    """Read a finished file, and find what is wrong with it.

    Sound and subtitles of a damaged source may go to where a container does not give them back:
    the picture is worth keeping without them.

    Args:
        path: the file.
        expected: what it should hold.
        format_: FFmpeg's name of the container, where a short file does not tell.
        decode: decode every picture as well; without, every packet is only read.

    Raises:
        InputError: it cannot be read at all.
        av.FFmpegError: nor further than somewhere in it.
    """
    config = InputConfig(format=format_)
    found = TimestampSummary()
    num_packets, num_bytes = Counter[int](), Counter[int]()
    tick = Fraction(0)
    with open_container(path, config, is_own=True) as container:
        for packet in demux(container):
            if not packet.size or packet.pts is None:
                continue
            if packet.stream_index == expected.picture:
                tick = packet.time_base
                found.add(packet.pts * tick, (packet.duration or 0) * tick)
            else:
                num_packets[packet.stream_index] += 1
                num_bytes[packet.stream_index] += packet.size
        if "mov" in container.format.name:
            # Packets of an MP4 last from one decoding to the next; its edit list tells the end.
            track = read_track(container, container.streams[expected.picture])
            found.end = track.end if track is not None and track.end is not None else found.end
    problem = _compare_times(found, expected, tick)
    if decode and problem is None:
        with open_container(path, config, is_own=True) as container:
            problem = _find_damage(container, expected)
    missing = {
        index: max(copied.num_packets - num_packets[index], 0)
        for index, copied in expected.side_streams.items()
        if not copied.is_whole(num_packets[index], num_bytes[index])
    }
    return Findings(problem, missing)


def _compare_times(found: TimestampSummary, expected: ExpectedFile, tick: Fraction) -> str | None:
    """What is wrong with when pictures are shown; None: nothing."""
    times = expected.times
    if found.num_frames != times.num_frames:
        return f"{counted(found.num_frames, 'frame')} instead of {times.num_frames}"
    if abs(found.mean_delay - times.mean_delay) > tick:
        return "frames have moved in time"
    length, wanted = (
        (summary.end if expected.has_lengths else summary.last) - summary.first
        for summary in (found, times)
    )
    if abs(length - wanted) > 2 * expected.step + tick:
        return f"{float(length):.3f} s long"
    return None


def check_size(path: Path, num_bytes: int) -> Findings:
    """Find what is wrong with a file that holds nothing but samples."""
    found = path.stat().st_size
    return Findings(
        None if found == num_bytes else f"{counted(found, 'byte')} instead of {num_bytes}"
    )


def _find_damage(container: InputContainer, expected: ExpectedFile) -> str | None:
    """What decoding every picture brings to light."""
    stream = container.streams[expected.picture]
    if not isinstance(stream, VideoStream):
        return "the picture is not where it was put"
    stream.thread_type = "AUTO"
    num_frames = num_damaged = 0
    try:
        for packet in demux(container, stream):
            for picture in stream.decode(packet):
                num_frames += 1
                num_damaged += picture.is_corrupt
    except MemoryError:
        raise
    except av.FFmpegError as error:
        return f"frame {num_frames} does not decode ({error.strerror or error})"
    if num_damaged:
        return f"{counted(num_damaged, 'frame decodes', 'frames decode')} with holes"
    if num_frames != expected.times.num_frames:
        found = counted(num_frames, "frame decodes", "frames decode")
        return f"{found} instead of {expected.times.num_frames}"
    return None
