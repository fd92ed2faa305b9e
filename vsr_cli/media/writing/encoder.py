"""Pictures in, coded packets out, each with the time of its frame."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vsr_cli.errors import ConfigError, OutputError, VerificationError
from vsr_cli.media.ffmpeg_log import logged_from
from vsr_cli.media.frame import Frame, VideoInfo, fill_planes
from vsr_cli.media.writing.encoder_plan import PACKED, EncoderPlan
from vsr_cli.media.writing.scheduling import same_scheduling

_HARDWARE = ("_nvenc", "_qsv", "_amf", "_vaapi", "_videotoolbox", "_mf")
_INT32 = 2**31 - 1
_COMPLAINTS = ("Error parsing option", "Unknown option", "Invalid value for")


class VideoEncoder:
    """Encodes frames for one stream of a container, which may be a target or a chunk.

    The encoder is opened at once, so that whatever it refuses is known before any frame is
    computed. Its packets have exact times: those of the frames, less `info.origin`.

    num_pictures: that were encoded so far; at a constant rate a frame may be several.
    """

    def __init__(self, output: OutputContainer, plan: EncoderPlan, info: VideoInfo) -> None:
        """Add the picture to `output`, whose header is not yet written, and open the encoder.

        Raises:
            ConfigError: a setting does not exist.
            OutputError: encoder or container refuse.
        """
        self._plan, self._info = plan, info
        self._packer = VideoReformatter()
        self._durations: dict[int, int] = {}  # of frames inside the encoder, by their time
        self._has_begun = False  # whether a packet has come out
        self.num_pictures = 0
        self._step = max(1, round(1 / (plan.rate * plan.time_base)))  # if a frame does not say
        self.stream = _open_encoder(output, plan, info)

    def encode(self, frame: Frame) -> "list[Packet[VideoStream]]":
        """Packets that are ready after this frame; frames come in order of presentation.

        Args:
            frame: with layout, colour and size of the plan, and the times of the source.
        """
        plan = self._plan
        if frame.size != plan.size or frame.layout != plan.layout:
            raise ValueError(f"expected {plan.size} {plan.layout}, got {frame.size} {frame.layout}")
        time = (frame.pts * frame.time_base - self._info.origin) / plan.time_base
        duration = round(frame.duration * frame.time_base / plan.time_base) or self._step
        packets: list[Packet[VideoStream]] = []
        for pts, length in self._repeats(round(time), duration):
            self._durations[pts] = length
            packets += self._take(self.stream.encode(self._picture(frame, pts, length)))
            self.num_pictures += 1
        self._has_begun = self._has_begun or bool(packets)
        return packets

    def _repeats(self, pts: int, duration: int) -> Iterator[tuple[int, int]]:
        """Times and durations at which a frame is coded: more than once where it outlasts one."""
        if not self._plan.is_regular:
            yield pts, duration
            return
        for repeat in range(duration // self._step):
            yield pts + repeat * self._step, self._step

    def _picture(self, frame: Frame, pts: int, duration: int) -> VideoFrame:
        plan = self._plan
        picture = VideoFrame(plan.size[1], plan.size[0], PACKED.get(plan.pix_fmt, plan.pix_fmt))
        fill_planes(picture, frame)
        if plan.pix_fmt in PACKED:
            picture = self._packer.reformat(picture, format=plan.pix_fmt)
        picture.pts, picture.time_base, picture.duration = pts, plan.time_base, duration
        picture.colorspace, picture.color_range = plan.color.matrix, plan.color.range
        picture.color_primaries, picture.color_trc = plan.color.primaries, plan.color.transfer
        return picture

    def flush(self) -> "list[Packet[VideoStream]]":
        """The packets the encoder still held.

        Raises:
            VerificationError: it has lost frames.
        """
        packets = list(self._take(self.stream.encode(None)))
        if packets and not self._has_begun:
            # x265 leaves decoding times to chance if the whole video fits into its queue.
            times = [packet.pts or 0 for packet in packets]
            in_order, delay = sorted(times), reorder_delay(times)
            for index, packet in enumerate(packets):
                packet.dts = decoding_time(index, in_order, delay)
        if self._durations:
            raise VerificationError(
                f"the encoder `{self._plan.codec}` has lost frames",
                why=f"{len(self._durations)} went in and did not come out",
                hint="choose another `--vcodec`",
            )
        return packets

    def _take(self, packets: "list[Packet[VideoStream]]") -> "Iterator[Packet[VideoStream]]":
        """Some encoders forget how long the last frames last."""
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration or 0)
            yield packet


def reorder_delay(times: Sequence[int]) -> int:
    """How many frames a picture comes later in decoding than in presentation, at most.

    Args:
        times: of presentation, in the order of decoding.
    """
    shown = {time: index for index, time in enumerate(sorted(times))}
    return max(index - shown[time] for index, time in enumerate(times))


def decoding_time(index: int, times: Sequence[int], delay: int) -> int:
    """When a packet is decoded: in order, and never after its picture is shown.

    With times p_0 < p_1 < ..., that is p_{i-D} for packet i; the first D are decoded before any
    is shown, at p_i - (p_D - p_0).

    Args:
        index: i, of the packet in the order of decoding.
        times: p, of all pictures, in order.
        delay: D, see `reorder_delay`.
    """
    if index < delay:
        return times[index] - (times[delay] - times[0])
    return times[index - delay]


def describe_stream(stream: VideoStream, plan: EncoderPlan, info: VideoInfo) -> None:
    """Tell a stream of a container, opened or not, everything but the pictures themselves."""
    context = stream.codec_context
    context.sample_aspect_ratio = info.sample_aspect_ratio
    context.colorspace, context.color_range = plan.color.matrix, plan.color.range
    context.color_primaries, context.color_trc = plan.color.primaries, plan.color.transfer
    is_mp4 = stream.container.format.name in ("mp4", "mov")
    if is_mp4 and context.codec.canonical_name == "hevc":
        context.codec_tag = "hvc1"  # the only one that Apple's players take
    if info.display_matrix:
        stream.set_display_matrix(_scaled_matrix(info.display_matrix, plan.size, info))


def _open_encoder(output: OutputContainer, plan: EncoderPlan, info: VideoInfo) -> VideoStream:
    stream = output.add_stream(plan.codec, rate=plan.rate, options=dict(plan.options))
    if not isinstance(stream, VideoStream):
        raise ValueError(f"{plan.codec} made a stream of {stream.type}")
    context = stream.codec_context
    context.height, context.width = plan.size
    context.pix_fmt, context.time_base = plan.pix_fmt, plan.time_base
    context.flags |= Flags.frame_duration  # or the last frame lasts nothing
    describe_stream(stream, plan, info)
    with logged_from(av.logging.WARNING) as messages:
        try:
            with same_scheduling():
                context.open()
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            raise _refusal(plan, error) from error
    if unknown := sorted(context.options):
        raise ConfigError(
            f"`{plan.codec}` does not know the setting `{unknown[0]}`",
            hint=f"see `ffmpeg -h encoder={plan.codec}`",
        )
    # What is inside `x264-params` and the like is refused in the log only.
    complaints = [line for line in messages if line.startswith(_COMPLAINTS)]
    if complaints:
        raise ConfigError(
            f"`{plan.codec}` does not take a setting", why=complaints[0], hint="leave it out"
        )
    return stream


def _refusal(plan: EncoderPlan, error: Exception) -> OutputError:
    """Why an encoder does not open, and what to do."""
    said = getattr(error, "log", None)  # what FFmpeg wrote last: level, who, and what
    reason = (said and said[-1].strip()) or getattr(error, "strerror", None) or str(error)
    why = f"{reason} ({plan.size[1]}x{plan.size[0]} `{plan.pix_fmt}`)"
    if plan.codec.endswith(_HARDWARE):
        return OutputError(
            f"the encoder `{plan.codec}` does not open",
            why=f"it needs hardware that is not here or has no encoder ({reason})",
            hint="use `libx265`, or leave `--vcodec` out",
        )
    return OutputError(
        f"the encoder `{plan.codec}` does not open",
        why=why,
        hint="choose another `--vcodec`, or leave it out",
    )


def _scaled_matrix(matrix: tuple[int, ...], size: tuple[int, int], info: VideoInfo) -> list[int]:
    """Enlarge the shift in a display matrix; it is in pixels, the rest has no unit."""
    scale = Fraction(size[0], info.height)
    scaled = [round(n * scale) if i in (6, 7) else n for i, n in enumerate(matrix)]
    return [max(-_INT32 - 1, min(n, _INT32)) for n in scaled]  # that of a damaged file may be more
