"""One target file: the picture's packets from wherever they come, and the rest of the source."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vsr_cli.counting import counted
from vsr_cli.errors import InputError, OutputError, VerificationError
from vsr_cli.events import Note, Report
from vsr_cli.media.containers import WITHOUT_LENGTHS, muxer_options
from vsr_cli.media.open import reason
from vsr_cli.media.resources import ResourceOwner
from vsr_cli.media.side_streams import SideStreams
from vsr_cli.media.writing.destination import (
    Destination,
    FileDestination,
    PipeDestination,
    is_refusal,
    output_errors,
)
from vsr_cli.media.writing.metadata import (
    copy_stream_metadata,
    keeps_any_tag,
    set_timecode,
)
from vsr_cli.media.writing.output_plan import OutputPlan
from vsr_cli.media.writing.stream_copy import StreamCopier
from vsr_cli.media.writing.verify import ExpectedFile, TimestampSummary, check_file, check_size

AddVideoStream = Callable[[OutputContainer], VideoStream]


class TrailerError(OutputError):
    """The container does not take what it was given, and says so only at its end."""


class Muxer(ResourceOwner):
    """Writes a container beside its target, checks it, and gives it its name.

    The other streams of the source are copied in step with the picture. Leaving the `with` block
    without `finish` removes what was written.
    """

    def __init__(
        self,
        plan: OutputPlan,
        add_video_stream: AddVideoStream,
        side_streams: SideStreams,
        *,
        report: Report,
        temp: Path | None = None,
    ) -> None:
        """Open the container and write its header.

        Args:
            plan: of the target.
            add_video_stream: adds the stream whose packets `mux` will get.
            side_streams: where everything but the picture is copied from.
            report: receives `W_..._DROPPED`, and at the end
                `W_STREAM_CUT`, `W_AUDIO_DAMAGED` and `W_SUBS_ENDLESS`.
            temp: where it grows; see `FileDestination`.

        Raises:
            ConfigError: a choice does not fit.
            OutputError: encoder or container refuse.
        """
        self._plan, self._target, self._report = plan, plan.target, report
        container, info, config = plan.container, plan.info, plan.config
        self._destination: Destination = (
            PipeDestination(plan.target)
            if container.is_pipe
            else FileDestination(plan.target, overwrite=config.overwrite, temp=temp)
        )
        self._times = TimestampSummary()
        self._num_bytes = 0  # of the picture
        super().__init__()
        try:
            with output_errors(f"`{plan.target}` cannot be written"):
                clock = plan.coding.time_base.denominator
                options = muxer_options(container, info, clock, low_delay=config.low_delay)
                if container.is_mp4 and config.metadata and keeps_any_tag(side_streams.container):
                    options["movflags"] += "+use_metadata_tags"
                self._output = self._destination.open(container.name, options)
                self._resources.callback(self._destination.discard)
                self._resources.callback(self._close)
                self._stream = add_video_stream(self._output)
            self._copier = StreamCopier(side_streams, self._output, container, info)
            self._copier.add_streams(config, report)
            picture = side_streams.container.streams[info.stream_index]
            copy_stream_metadata(picture, self._stream, self._output, metadata=config.metadata)
            set_timecode(self._stream, info, self._output)
            with output_errors(f"{container.display_name} does not take these streams"):
                self._output.start_encoding()
            self._copier.start()
        except BaseException:
            self._resources.close()
            raise

    def mux(self, packet: "Packet[VideoStream]") -> None:
        """Write a packet of the picture; packets come in the order of decoding.

        Raises:
            OutputError: the disk is full, or the container does not take it.
        """
        if packet.pts is not None:
            tick = packet.time_base
            self._times.add(packet.pts * tick, (packet.duration or 0) * tick)
        with output_errors(f"`{self._target}` cannot be written"):
            self._destination.release_header()
            if packet.dts is not None:
                self._copier.copy_until(packet.dts * packet.time_base)
            packet.stream = self._stream
            self._num_bytes += packet.size
            try:
                self._output.mux(packet)
            except MemoryError:
                raise
            except av.FFmpegError as error:
                # The packet itself is queued; what was refused is one that waited before it.
                if not self._copier.leave_out(error):
                    raise

    def finish(self, *, on_complete: Callable[[Path], None] | None = None) -> tuple[str, ...]:
        """Add the rest of the other streams, check, and rename.

        Args:
            on_complete: called with the complete file before it gets its name.

        Returns:
            What kind each stream beside the picture is of, as FFmpeg names it.

        Raises:
            TrailerError: the container refuses at its end; another stream may be the reason.
            OutputError: nothing was written, the disk is full, or the target has appeared.
            VerificationError: what is on disk is not what was written; it is kept as `.failed`.
        """
        if self._times.num_frames == 0:
            raise OutputError("no frame was written", hint="check the source with a player")
        with output_errors(f"`{self._target}` cannot be written"):
            self._copier.copy_until(None)
            self._write_trailer()
        self._copier.report_losses(self._report)
        self._report_last_length()
        if self._destination.path_to_verify and self._plan.config.verify != "off":
            self._verify(self._destination.path_to_verify)
        if self._destination.path_to_verify and on_complete is not None:
            on_complete(self._destination.path_to_verify)
        self._destination.commit()
        return tuple(stream.kind for stream in self._copier.copied().values() if stream.num_packets)

    def _write_trailer(self) -> None:
        try:
            self._output.close()
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, MemoryError) or not is_refusal(error):
                raise
            raise TrailerError(
                f"`{self._target}` cannot be written",
                why=f"{self._plan.container.display_name} refuses at its end: {reason(error)}",
                hint="write to `.mkv`, which takes most",
            ) from error

    def _report_last_length(self) -> None:
        """Say if the last frame is shown for longer than the container can tell."""
        container, length = self._plan.container, self._times.end - self._times.last
        if container.name in WITHOUT_LENGTHS and length > 2 / self._plan.coding.rate:
            text = (
                f"the last frame is shown for {float(length):.3f} s, which "
                f"{container.display_name} cannot tell: players end with it sooner"
            )
            self._report(Note(code="W_LAST_FRAME", text=text))

    def _close(self) -> None:
        """Close the container; whatever it still complains about, the file goes anyway."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self._output.close()

    def _keep_as_failed(self) -> str:
        """Keep the file under another name; says which, and what to do."""
        with output_errors(f"`{self._target}` cannot be written"):  # it may be gone altogether
            name = self._destination.keep_as_failed().name
        return f"it is kept as `{name}`; try `.mkv`, or another `--vcodec`"

    def _verify(self, path: Path) -> None:
        container, config = self._plan.container, self._plan.config
        expected = ExpectedFile(
            picture=self._stream.index,
            step=1 / self._plan.coding.rate,
            times=self._times,
            side_streams=self._copier.copied(),
            has_lengths=container.name not in WITHOUT_LENGTHS,
        )
        try:
            if container.name == "rawvideo":  # has nothing that could be read
                found = check_size(path, self._num_bytes)
            else:
                format_ = container.name if container.name == "mpegts" else None
                found = check_file(path, expected, format_=format_, decode=config.verify == "full")
        except MemoryError:
            raise
        except (InputError, av.FFmpegError) as error:
            hint = self._keep_as_failed()
            raise VerificationError(
                "the finished file cannot be read back", why=str(error), hint=hint
            ) from error
        if found.problem:
            hint = self._keep_as_failed()
            times = self._times
            raise VerificationError(
                f"the finished file is not what was written: {found.problem}",
                why=f"expected {counted(times.num_frames, 'frame')} "
                f"in {float(times.end - times.first):.3f} s",
                hint=hint,
            )
        self._copier.report_missing(found.missing, self._report)
