"""Pictures in, coded packets out, each with the time of its frame."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vsr_cli.errors import ConfigError, OutputError, VerificationError
from vsr_cli.media.encoder import PACKED, EncoderPlan, find_encoder
from vsr_cli.media.frame import Frame, Plane, VideoInfo, fill_planes


class PictureEncoder:
    """Encodes frames for one stream of a container, which may be a target or a chunk.

    The encoder is opened at once, so that whatever it refuses is known before any frame is
    computed. Its packets have exact times: those of the frames, less `info.origin`.
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
        self._step = max(1, round(1 / (info.rate * info.time_base)))  # if a frame does not say
        self.stream = _open_encoder(output, plan, info)

    def encode(self, frame: Frame) -> "list[Packet[VideoStream]]":
        """Packets that are ready after this frame; frames come in order of presentation.

        Args:
            frame: with layout, colour and size of the plan, and the times of the source.
        """
        plan = self._plan
        if frame.size != plan.size or frame.layout != plan.layout:
            raise ValueError(f"expected {plan.size} {plan.layout}, got {frame.size} {frame.layout}")
        time_base = self._info.time_base
        pts = round((frame.pts * frame.time_base - self._info.origin) / time_base)
        duration = round(frame.duration * frame.time_base / time_base) or self._step
        picture = VideoFrame(plan.size[1], plan.size[0], PACKED.get(plan.pix_fmt, plan.pix_fmt))
        fill_planes(picture, frame)
        if plan.pix_fmt in PACKED:
            picture = self._packer.reformat(picture, format=plan.pix_fmt)
        picture.pts, picture.time_base, picture.duration = pts, time_base, duration
        picture.colorspace, picture.color_range = plan.color.matrix, plan.color.range
        picture.color_primaries, picture.color_trc = plan.color.primaries, plan.color.transfer
        self._durations[pts] = duration
        packets = list(self._take(self.stream.encode(picture)))
        self._has_begun = self._has_begun or bool(packets)
        return packets

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
            for place, packet in enumerate(packets):
                packet.dts = decoding_time(place, in_order, delay)
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


def frame_like(plan: EncoderPlan, source_frame: Frame, planes: tuple[Plane, ...]) -> Frame:
    """New samples, in the layout and colour of the output, at the time of a source frame."""
    return replace(source_frame, planes=planes, layout=plan.layout, color=plan.color)


def reorder_delay(times: Sequence[int]) -> int:
    """How many places a picture comes later in decoding than in presentation, at most.

    Args:
        times: of presentation, in the order of decoding.
    """
    places = {time: place for place, time in enumerate(sorted(times))}
    return max(place - places[time] for place, time in enumerate(times))


def decoding_time(place: int, times: Sequence[int], delay: int) -> int:
    """When the packet at a place in decoding is decoded: in order, and never after it is shown.

    With times p_0 < p_1 < ..., that is p_{i-D} for packet i; the first D are decoded before any
    is shown, at p_i - (p_D - p_0).

    Args:
        place: i.
        times: p, of all pictures, in order.
        delay: D, see `reorder_delay`.
    """
    if place < delay:
        return times[place] - (times[delay] - times[0])
    return times[place - delay]


def describe_picture(stream: VideoStream, plan: EncoderPlan, info: VideoInfo) -> None:
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
    codec = find_encoder(plan.codec)
    if plan.codec == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only; there is no option for it
    stream = output.add_stream(plan.codec, rate=info.rate, options=dict(plan.options))
    if not isinstance(stream, VideoStream):
        raise ValueError(f"{plan.codec} made a stream of {stream.type}")
    context = stream.codec_context
    context.height, context.width = plan.size
    context.pix_fmt, context.time_base = plan.pix_fmt, info.time_base
    context.flags |= Flags.frame_duration  # or the last frame lasts nothing
    describe_picture(stream, plan, info)
    try:
        context.open()
    except (av.FFmpegError, ValueError) as error:
        raise OutputError(
            f"the encoder `{plan.codec}` does not open",
            why=f"{error} ({plan.size[1]}x{plan.size[0]} `{plan.pix_fmt}`)",
            hint="choose another `--vcodec`, or leave it out",
        ) from error
    if unknown := sorted(context.options):
        raise ConfigError(f"`{codec.name}` does not know `{unknown[0]}`", hint="leave it out")
    return stream


def _scaled_matrix(matrix: tuple[int, ...], size: tuple[int, int], info: VideoInfo) -> list[int]:
    """Enlarge the shift in a display matrix; it is in pixels, the rest has no unit."""
    scale = Fraction(size[0], info.height)
    return [round(n * scale) if i in (6, 7) else n for i, n in enumerate(matrix)]
