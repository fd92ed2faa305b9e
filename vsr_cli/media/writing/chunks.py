"""Finished chunks of the video stream on disk, and how they become one stream again.

A chunk is a Matroska file. That format counts milliseconds only, so a chunk's clock lies: one of
its milliseconds is one tick of the picture's time base, and times stay exact.
"""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from fractions import Fraction
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vsr_cli.atomic import move_into_place, part_of
from vsr_cli.errors import InputError, OutputError
from vsr_cli.media.frame import Frame
from vsr_cli.media.open import demux, open_container
from vsr_cli.media.resources import ResourceOwner
from vsr_cli.media.writing.destination import output_errors
from vsr_cli.media.writing.encoder import (
    VideoEncoder,
    decoding_time,
    describe_stream,
    reorder_delay,
)
from vsr_cli.media.writing.output_plan import OutputPlan

_TICK = Fraction(1, 1000)  # what Matroska takes each tick of the source for


class ChunkWriter(ResourceOwner):
    """Encodes a chunk of the video stream, and nothing else, into a file of its own.

    It grows under its name and `.part`; only `finish` gives it its name. Every frame starts from
    nothing that another chunk holds. Leaving the `with` block without `finish` removes it.
    """

    def __init__(self, path: Path, plan: OutputPlan) -> None:
        """Open the encoder.

        Args:
            path: the final name; a file that has it is replaced.
            plan: of the target, the same for all its chunks.

        Raises:
            OutputError: the encoder refuses, or the folder cannot be written to.
        """
        self._path = path
        self._part = part_of(path)
        super().__init__()
        self._resources.callback(self._part.unlink, missing_ok=True)
        options = {"avoid_negative_ts": "disabled"}  # or every time would move
        try:
            with self._errors():
                self._output = av.open(
                    f"file:{self._part}", "w", format="matroska", container_options=options
                )
                self._resources.callback(self._close)
                self._encoder = VideoEncoder(self._output, plan.coding, plan.info)
                self._output.start_encoding()
        except BaseException:
            self._resources.close()
            raise
        self.num_frames = 0

    def write(self, frame: Frame) -> None:
        """Encode one frame; frames come in order of presentation, in layout and colour of the plan.

        Raises:
            OutputError: the encoder fails, or the disk is full.
        """
        with self._errors():
            self._mux(self._encoder.encode(frame))
        self.num_frames += 1

    def finish(self) -> None:
        """Write what the encoder still holds, and give the file its name.

        Raises:
            OutputError: nothing was written, or the disk is full.
            VerificationError: the encoder has lost frames.
        """
        if self.num_frames == 0:
            raise OutputError("no frame was written", hint="check the source with a player")
        with self._errors():
            self._mux(self._encoder.flush())
            self._output.close()
            move_into_place(self._part, self._path)  # whoever notes that it is done may rely on it

    def _mux(self, packets: "list[Packet[VideoStream]]") -> None:
        for packet in packets:
            packet.time_base = _TICK
            self._output.mux(packet)

    def _close(self) -> None:
        with suppress(av.FFmpegError, OSError, ValueError):
            self._output.close()

    def _errors(self) -> AbstractContextManager[None]:
        return output_errors(f"`{self._path}` cannot be written")


class JoinedChunks:
    """The packets of several chunks as those of one stream.

    Each chunk's encoder counts decoding times for itself, and Matroska does not keep them; they
    are made anew. Memory is 8 bytes for each frame.
    """

    def __init__(self, paths: Sequence[Path], plan: OutputPlan) -> None:
        """Read the times of all packets, no pictures.

        Raises:
            InputError: a chunk cannot be read.
            OutputError: the chunks were coded differently, or overlap in time.
        """
        self._paths, self._plan = paths, plan
        self._times = array("q")  # in order of presentation
        self._delay = 0
        self._filter: str | None = None  # that gives packets the form of the container
        for path in paths:
            with open_container(path, is_own=True) as container:
                self._read_timestamps(
                    path, [p.pts for p in _packets(container) if p.pts is not None]
                )
        self.num_frames = len(self._times)
        if not self._times:
            raise InputError("there are no finished chunks", hint="start the job anew")

    def add_video_stream(self, output: OutputContainer) -> VideoStream:
        """Add a stream to `output` that takes the packets."""
        with open_container(self._paths[0], is_own=True) as container:
            template = container.streams.video[0]
            self._header = template.codec_context.extradata
            stream = output.add_stream_from_template(template, opaque=True)
            codec = template.codec_context.codec.canonical_name
        if output.format.name == "avi" and codec == "h264":
            # AVI has H.264 as it is broadcast: with start codes, and the parameters before every
            # key frame instead of in the header.
            self._filter = "h264_mp4toannexb"
            stream.codec_context.extradata = None
        stream.time_base = self._plan.coding.time_base
        # A chunk's clock lies, so its rate does; time codes and default durations follow from it.
        stream.codec_context.framerate = self._plan.coding.rate
        describe_stream(stream, self._plan.coding, self._plan.info)
        return stream

    def packets(self) -> "Iterator[Packet[VideoStream]]":
        """Every packet in the order of decoding, with its times."""
        index = 0
        for path in self._paths:
            with open_container(path, is_own=True) as container:
                if container.streams.video[0].codec_context.extradata != self._header:
                    raise OutputError(
                        f"`{path.name}` does not go on from the chunks before it",
                        why="its encoder was set or built differently",
                        hint="start the job anew",
                    )
                for packet in self._filtered(container):
                    packet.dts = decoding_time(index, self._times, self._delay)
                    packet.time_base = self._plan.coding.time_base
                    index += 1
                    yield packet

    def _filtered(self, container: InputContainer) -> "Iterator[Packet[VideoStream]]":
        if self._filter is None:
            yield from _packets(container)
            return
        bitstream = BitStreamFilterContext(self._filter, container.streams.video[0])
        for packet in _packets(container):
            yield from bitstream.filter(packet)

    def _read_timestamps(self, path: Path, times: list[int]) -> None:
        """Take in the times of one chunk, in the order of decoding."""
        if not times:
            raise InputError(f"`{path}` holds no picture", hint="start the job anew")
        if self._times and min(times) <= self._times[-1]:
            raise OutputError(
                f"`{path.name}` does not go on from the chunks before it",
                why="it starts before they end",
                hint="start the job anew",
            )
        self._delay = max(self._delay, reorder_delay(times))
        self._times.extend(sorted(times))


def _packets(container: InputContainer) -> "Iterator[Packet[VideoStream]]":
    stream = container.streams.video[0]
    return (packet for packet in demux(container, stream) if packet.size)
