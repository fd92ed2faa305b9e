"""Videos out: encoded, muxed with what else the source holds, checked, and named when complete."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from vsr_cli.events import Note, Report
from vsr_cli.media.frame import Frame
from vsr_cli.media.resources import ResourceOwner
from vsr_cli.media.side_streams import SideStreams
from vsr_cli.media.writing.chunks import JoinedChunks
from vsr_cli.media.writing.destination import output_errors
from vsr_cli.media.writing.encoder import VideoEncoder
from vsr_cli.media.writing.image_sequence import ImageSequenceWriter
from vsr_cli.media.writing.muxer import Muxer, TrailerError
from vsr_cli.media.writing.output_plan import OutputPlan
from vsr_cli.media.writing.stream_plan import name_stream

_LOSSES = {"audio": 2, "subtitle": 1}  # how much a stream would be missed, others less


class VideoWriter(ResourceOwner):
    """Writes one video with everything but the picture taken from its source.

    Encoder and container are opened at once, so that whatever they refuse is known before any
    frame is computed. Frames go to a hidden file in the folder of the target; only `finish` gives
    it the target's name. Leaving the `with` block without `finish` removes it.
    """

    def __init__(
        self,
        plan: OutputPlan,
        side_streams: SideStreams,
        *,
        report: Report,
        temp: Path | None = None,
    ) -> None:
        """Open the encoder.

        Args:
            plan: of the target.
            side_streams: what is copied beside the picture.
            report: receives `W_AUDIO_ENCODED`, `W_SUBS_CONVERTED` and `W_..._DROPPED`.
            temp: where a file grows; see `FileDestination`.

        Raises:
            OutputError: encoder or container refuse.
        """
        self.plan = plan

        def add_video_stream(output: OutputContainer) -> VideoStream:
            self._encoder = VideoEncoder(output, plan.coding, plan.info)
            return self._encoder.stream

        self._muxer: Muxer | ImageSequenceWriter
        if plan.container.is_image_sequence:
            self._muxer = ImageSequenceWriter(plan, add_video_stream, side_streams, report=report)
        else:
            self._muxer = Muxer(plan, add_video_stream, side_streams, report=report, temp=temp)
        super().__init__()
        self._resources.enter_context(self._muxer)

    def write(self, frame: Frame) -> None:
        """Encode one frame, at its own time; frames come in order of presentation.

        Args:
            frame: with layout, colour and size of `plan`, and the times of the source.

        Raises:
            OutputError: the encoder fails, or the disk is full.
        """
        with output_errors(f"`{self.plan.target}` cannot be written"):
            packets = self._encoder.encode(frame)
        for packet in packets:
            self._muxer.mux(packet)

    @property
    def num_frames(self) -> int:
        """How many the target has so far; at a constant rate those that are repeats count, too."""
        return self._encoder.num_pictures

    def finish(self) -> tuple[str, ...]:
        """Write what is still held, add the rest of the sound, check, and rename.

        Returns:
            What kind each stream beside the picture is of, as FFmpeg names it.

        Raises:
            OutputError: nothing was written, the disk is full, or the target has appeared.
            VerificationError: what is on disk is not what was written; it is kept as `.failed`.
        """
        with output_errors(f"`{self.plan.target}` cannot be written"):
            packets = self._encoder.flush()
        for packet in packets:
            self._muxer.mux(packet)
        return self._muxer.finish()


def join_chunks(
    chunks: Sequence[Path],
    plan: OutputPlan,
    side_streams: SideStreams,
    *,
    report: Report,
    temp: Path | None = None,
    on_complete: Callable[[Path], None] | None = None,
) -> tuple[int, tuple[str, ...]]:
    """Write a target from finished chunks, without coding anything again.

    The pictures and their times are exactly those that a `VideoWriter` would have written.

    Args:
        chunks: files of `ChunkWriter`, in the order of their frames; they stay.
        plan: the one the chunks were written with.
        side_streams: what is copied beside the picture.
        report: receives `W_..._DROPPED`, and `W_STREAM_CUT` of a stream that cannot be written.
        temp: where the file grows; see `FileDestination`.
        on_complete: called with the complete file before it gets its name.

    Returns:
        The number of frames, and what kind each stream beside the picture is of.

    Raises:
        InputError: a chunk cannot be read.
        OutputError: chunks were coded differently, or the target cannot be written.
        VerificationError: what is on disk is not what was written; it is kept as `.failed`.
    """
    joined = JoinedChunks(chunks, plan)
    attempts = _attempts(side_streams, plan)
    for left_out in attempts:
        without = side_streams.without | {stream.index for stream in left_out}
        fewer = replace(side_streams, without=without)
        try:
            with Muxer(plan, joined.add_video_stream, fewer, report=report, temp=temp) as muxer:
                for packet in joined.packets():
                    muxer.mux(packet)
                streams = muxer.finish(on_complete=on_complete)
        except TrailerError:
            if left_out is attempts[-1]:
                raise
            continue
        for stream in left_out:
            text = f"{name_stream(stream)} is missing: {plan.container.display_name} takes "
            report(Note(code="W_STREAM_CUT", text=f"{text}none of it, and says so only at its end"))
        break
    return joined.num_frames, streams


def _attempts(side_streams: SideStreams, plan: OutputPlan) -> list[list[Stream]]:
    """What to leave out: nothing; where the container then refuses, one stream or all of them."""
    streams = side_streams.beside(plan.info.stream_index)
    if side_streams.is_live or not streams:
        return [[]]
    by_loss = sorted(streams, key=lambda stream: (_LOSSES.get(stream.type, 0), -stream.index))
    some = [[stream] for stream in by_loss]
    return [[], *some, streams] if len(streams) > 1 else [[], *some]
