"""Videos out: encoded, muxed with what else the source holds, checked, and named when complete."""

from collections.abc import Sequence
from pathlib import Path

from av.container import OutputContainer
from av.video.stream import VideoStream

from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
from vsr_cli.events import Report
from vsr_cli.media.containers import IMAGES, TRANSPORT, Container, container_of
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.resources import ResourceOwner
from vsr_cli.media.side_streams import SideStreams
from vsr_cli.media.writing.chunks import JoinedChunks
from vsr_cli.media.writing.destination import check_target, output_errors
from vsr_cli.media.writing.encoder import VideoEncoder
from vsr_cli.media.writing.encoder_plan import EncoderPlan, find_encoder, plan_encoder
from vsr_cli.media.writing.image_sequence import ImageSequenceWriter
from vsr_cli.media.writing.muxer import Muxer


class VideoWriter(ResourceOwner):
    """Writes one video with everything but the picture taken from its source.

    Encoder and container are opened at once, so that whatever they refuse is known before any
    frame is computed. Frames go to a hidden file in the folder of the target; only `finish` gives
    it the target's name. Leaving the `with` block without `finish` removes it.
    """

    def __init__(
        self,
        target: Path,
        info: VideoInfo,
        size: tuple[int, int],
        config: OutputConfig,
        *,
        source: Path | SideStreams,
        report: Report,
        temp: Path | None = None,
    ) -> None:
        """Open the encoder.

        Args:
            target: the final name; see `check_target`.
            info: of the source, whose times the output gets.
            size: (height, width) of the output.
            config: the user's choices.
            source: where sound and metadata are copied from.
            report: receives `W_PIX_FMT`, `W_AUDIO_ENCODED`, `W_SUBS_CONVERTED`, `W_..._DROPPED`.
            temp: where a file grows; see `FileDestination`.

        Raises:
            ConfigError: a choice does not exist or does not fit the others.
            OutputError: encoder or container refuse.
        """
        self.plan = plan_output(target, info, size, config, source=source, report=report)
        self._target = target
        container = container_of(target, config)

        def add_video_stream(output: OutputContainer) -> VideoStream:
            _require_codec(output, self.plan, container)
            self._encoder = VideoEncoder(output, self.plan, info)
            return self._encoder.stream

        self._muxer: Muxer | ImageSequenceWriter
        if container.name == IMAGES:
            self._muxer = ImageSequenceWriter(
                target, info, config, add_video_stream, source=source, report=report
            )
        else:
            self._muxer = Muxer(
                target,
                self.plan,
                info,
                config,
                add_video_stream,
                source=source,
                report=report,
                temp=temp,
            )
        super().__init__()
        self._resources.enter_context(self._muxer)

    def write(self, frame: Frame) -> None:
        """Encode one frame, at its own time; frames come in order of presentation.

        Args:
            frame: with layout, colour and size of `plan`, and the times of the source.

        Raises:
            OutputError: the encoder fails, or the disk is full.
        """
        with output_errors(f"`{self._target}` cannot be written"):
            packets = self._encoder.encode(frame)
        for packet in packets:
            self._muxer.mux(packet)

    def finish(self) -> None:
        """Write what is still held, add the rest of the sound, check, and rename.

        Raises:
            OutputError: nothing was written, the disk is full, or the target has appeared.
            VerificationError: what is on disk is not what was written; it is kept as `.failed`.
        """
        with output_errors(f"`{self._target}` cannot be written"):
            packets = self._encoder.flush()
        for packet in packets:
            self._muxer.mux(packet)
        self._muxer.finish()


def plan_output(
    target: Path,
    info: VideoInfo,
    size: tuple[int, int],
    config: OutputConfig,
    *,
    source: Path | SideStreams,
    report: Report,
) -> EncoderPlan:
    """Check the target's name and decide how its picture is coded.

    Says `W_PIX_FMT` and `W_HDR_DROPPED`.

    Raises:
        ConfigError: a choice does not exist or does not fit the others.
        OutputError: the target cannot be written.
    """
    check_target(target, source if isinstance(source, Path) else Path("-"), config)
    plan = plan_encoder(container_of(target, config), info, size, config)
    for note in plan.notes:
        report(note)
    return plan


def join_chunks(
    chunks: Sequence[Path],
    target: Path,
    plan: EncoderPlan,
    info: VideoInfo,
    config: OutputConfig,
    *,
    source: Path | SideStreams,
    report: Report,
    temp: Path | None = None,
) -> int:
    """Write a target from finished chunks, without coding anything again.

    The pictures and their times are exactly those that a `VideoWriter` would have written.

    Args:
        chunks: files of `ChunkWriter`, in the order of their frames; they stay.
        target: the final name.
        plan: the one the chunks were written with.
        info: of the source.
        config: the user's choices.
        source: where sound and metadata are copied from.
        report: receives `W_..._DROPPED`.
        temp: where the file grows; see `FileDestination`.

    Returns:
        The number of frames.

    Raises:
        InputError: a chunk cannot be read.
        OutputError: chunks were coded differently, or the target cannot be written.
        VerificationError: what is on disk is not what was written; it is kept as `.failed`.
    """
    check_target(target, source if isinstance(source, Path) else Path("-"), config)
    joined = JoinedChunks(chunks, plan, info)
    container = container_of(target, config)

    def add_video_stream(output: OutputContainer) -> VideoStream:
        _require_codec(output, plan, container)
        return joined.add_video_stream(output)

    with Muxer(
        target, plan, info, config, add_video_stream, source=source, report=report, temp=temp
    ) as muxer:
        for packet in joined.packets():
            muxer.mux(packet)
        muxer.finish()
    return joined.num_frames


def _require_codec(output: OutputContainer, plan: EncoderPlan, container: Container) -> None:
    codec = find_encoder(plan.codec).canonical_name
    held = TRANSPORT if container.name == "mpegts" else output.supported_codecs
    if container.name != IMAGES and codec not in held:
        raise OutputError(
            f"{container.display_name} cannot hold `{codec}`",
            hint="write to `.mkv`, or choose another `--vcodec`",
        )
