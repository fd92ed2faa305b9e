"""Videos out: encoded beside the target, checked, and given its name when complete."""

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vsr_cli.config import OutputConfig
from vsr_cli.errors import ConfigError, InputError, OutputError, VerificationError
from vsr_cli.events import Notice, Report
from vsr_cli.media.encoder import PACKED, EncoderPlan, find_encoder, plan_encoder
from vsr_cli.media.frame import Frame, Plane, VideoInfo, fill_planes
from vsr_cli.media.reader import open_source
from vsr_cli.media.streams import StreamCopier, copy_metadata, live_metadata, report_dropped
from vsr_cli.pixels import ColorTags, PixelLayout

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
MIN_CLOCK, MAX_CLOCK = 10_000, 2**24  # ticks per second


def check_target(target: Path, source: Path, config: OutputConfig) -> None:
    """Refuse, before any work, a target that could not be written at the end.

    Raises:
        OutputError: the name is taken, the folder cannot be written to, or the container is
            unknown.
        ConfigError: the encoder asked for does not exist.
    """
    if target.suffix.lower() not in CONTAINERS:
        raise OutputError(
            f"`{target.name}` does not name a known container",
            why=f"its extension is `{target.suffix}`" if target.suffix else "it has no extension",
            hint="use " + ", ".join(f"`{suffix}`" for suffix in CONTAINERS),
        )
    try:
        _check_place(target, source, config)
    except OSError as error:  # a name too long, a folder that may not be entered
        raise OutputError(
            f"`{target}` cannot be written", why=error.strerror, hint="choose another name"
        ) from error
    if config.video_codec is not None:
        find_encoder(config.video_codec)


def _check_place(target: Path, source: Path, config: OutputConfig) -> None:
    """The part of `check_target` that asks the file system."""
    if target.is_dir():
        raise OutputError(f"`{target}` is a folder", hint="name a file in it")
    if target.exists():
        if source.exists() and target.samefile(source):
            raise OutputError(
                f"`{target}` is the source itself", hint="choose another name; it is never replaced"
            )
        if not target.is_file():
            raise OutputError(f"`{target}` is not a regular file", hint="choose another name")
        if not config.overwrite:
            raise OutputError(
                f"`{target}` exists", hint="use `--overwrite`, or choose another name"
            )
    folder = target.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"`{target.parent}` is not a folder that exists", hint="create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"`{target.parent}` cannot be written to", hint="choose a folder of your own"
        )


@dataclass
class _Times:
    """Where pictures lie in time; sums instead of lists, because videos may be long."""

    num_frames: int = 0
    first: Fraction = Fraction(0)  # seconds, as all below
    end: Fraction = Fraction(0)
    total: Fraction = Fraction(0)

    def add(self, time: Fraction, duration: Fraction) -> None:
        self.first = min(self.first, time) if self.num_frames else time
        self.end = max(self.end, time + duration) if self.num_frames else time + duration
        self.total += time
        self.num_frames += 1

    @property
    def mean_delay(self) -> Fraction:
        """How much later than the first a picture comes on average."""
        return self.total / self.num_frames - self.first


class VideoWriter:
    """Writes one video with the sound of its source.

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
        source: Path,
        report: Report,
    ) -> None:
        """Open the encoder.

        Args:
            target: the final name; see `check_target`.
            info: of the source, whose times the output gets.
            size: (height, width) of the output.
            config: the user's choices.
            source: where sound and metadata are copied from.
            report: hears `W_PIX_FMT` and `W_..._DROPPED`.

        Raises:
            ConfigError: a choice does not exist or does not fit the others.
            OutputError: encoder or container refuse.
        """
        check_target(target, source, config)
        container = CONTAINERS[target.suffix.lower()]
        self._plan = plan_encoder(container, info, size, config)
        self._target, self._info, self._size, self._config = target, info, size, config
        self._temp = target.absolute().with_name(f".vsr-{secrets.token_hex(6)}{target.suffix}")
        self._times = _Times()
        self._packer = VideoReformatter()
        self._step = 1 / info.rate  # seconds a frame lasts if nobody says
        self._resources = ExitStack()
        self._resources.callback(self._temp.unlink, missing_ok=True)
        if self._plan.notice:
            report(Notice(code="W_PIX_FMT", text=self._plan.notice))
        try:
            with _output_errors(f"`{target}` cannot be written"):
                self._output = self._open_container(container)
                self._resources.callback(self._close)
                self._stream = self._add_picture()
            copied = self._resources.enter_context(open_source(source))
            self._copier = StreamCopier(copied, self._output, info.origin)
            copy_metadata(copied, info, self._output)
            picture = copied.streams[info.stream_index]
            self._stream.metadata.update(live_metadata(picture.metadata))
            self._stream.disposition = picture.disposition
            if config.audio == "copy":
                self._copier.add_audio()
            report_dropped(copied, info, report)
            with _output_errors(f"`{target.suffix}` does not take these streams"):
                self._output.start_encoding()
        except BaseException:
            self._resources.close()
            raise

    @property
    def codec(self) -> str:
        """FFmpeg's name of the encoder."""
        return self._plan.codec

    @property
    def pix_fmt(self) -> str:
        """FFmpeg's name of the pixel format."""
        return self._plan.pix_fmt

    @property
    def layout(self) -> PixelLayout:
        """The layout that frames must have."""
        return self._plan.layout

    @property
    def color(self) -> ColorTags:
        """The colour that frames must have."""
        return self._plan.color

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is written so, where the user left the choice open."""
        return self._plan.reasons

    def frame_like(self, source_frame: Frame, planes: tuple[Plane, ...]) -> Frame:
        """New samples, in the layout and colour of the output, at the time of a source frame."""
        return replace(source_frame, planes=planes, layout=self.layout, color=self.color)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()

    def write(self, frame: Frame) -> None:
        """Encode one frame, at its own time; frames come in order of presentation.

        Args:
            frame: with `layout` and `color` of this writer, and the times of the source.

        Raises:
            OutputError: the encoder fails, or the disk is full.
        """
        if frame.size != self._size or frame.layout != self._plan.layout:
            raise ValueError(
                f"expected {self._size} {self._plan.layout}, got {frame.size} {frame.layout}"
            )
        time_base = self._info.time_base
        duration = frame.duration * frame.time_base or self._step
        pts = round((frame.pts * frame.time_base - self._info.origin) / time_base)
        pix_fmt = self._plan.pix_fmt
        picture = VideoFrame(self._size[1], self._size[0], PACKED.get(pix_fmt, pix_fmt))
        fill_planes(picture, frame)
        if pix_fmt in PACKED:
            picture = self._packer.reformat(picture, format=pix_fmt)
        picture.pts, picture.time_base = pts, time_base
        picture.duration = round(duration / time_base)
        _tag(picture, self._plan)
        with _output_errors(f"`{self._target}` cannot be written"):
            self._mux(self._stream.encode(picture))
        self._times.add(pts * time_base, duration)

    def finish(self) -> None:
        """Write what is still held, add the rest of the sound, check, and rename.

        Raises:
            OutputError: nothing was written, the disk is full, or the target has appeared.
            VerificationError: what is on disk is not what was written; it is kept as `.failed`.
        """
        if self._times.num_frames == 0:
            raise OutputError("no frame was written", hint="check the source with a player")
        with _output_errors(f"`{self._target}` cannot be written"):
            self._mux(self._stream.encode(None))
            self._copier.copy_until(None)
            self._output.close()
        failed = self._target.absolute().with_name(self._target.name + ".failed")
        try:
            self._verify()
        except VerificationError:
            self._temp.replace(failed)
            raise
        except (InputError, av.FFmpegError) as error:
            self._temp.replace(failed)
            raise VerificationError(
                "the finished file cannot be read back",
                why=str(error),
                hint=f"it is kept as `{failed.name}`; try `.mkv`, or another `--vcodec`",
            ) from error
        if self._target.exists() and not self._config.overwrite:
            self._temp.replace(failed)
            raise OutputError(
                f"`{self._target}` has appeared meanwhile",
                why=f"the new video is complete and kept as `{failed.name}`",
                hint="rename it",
            )
        with _output_errors(f"`{self._target}` cannot be written"):
            self._temp.replace(self._target)

    def _open_container(self, container: str) -> OutputContainer:
        options = {}
        if container in ("mp4", "mov"):
            # The index in front, so that a player can start before it has the whole file; and
            # a clock that every start can be told in, where the usual one has milliseconds.
            options = {"movflags": "faststart", "movie_timescale": str(_movie_clock(self._info))}
        return av.open(f"file:{self._temp}", "w", format=container, container_options=options)

    def _add_picture(self) -> VideoStream:
        info, plan = self._info, self._plan
        codec = find_encoder(plan.codec)
        if codec.canonical_name not in self._output.supported_codecs:
            raise OutputError(
                f"`{self._target.suffix}` cannot hold `{codec.canonical_name}`",
                hint="write to `.mkv`, or choose another `--vcodec`",
            )
        if plan.codec == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; there is no option for it
        stream = self._output.add_stream(plan.codec, rate=info.rate, options=dict(plan.options))
        if not isinstance(stream, VideoStream):
            raise ValueError(f"{plan.codec} made a stream of {stream.type}")
        context = stream.codec_context
        context.height, context.width = self._size
        context.pix_fmt, context.time_base = plan.pix_fmt, info.time_base
        context.sample_aspect_ratio = info.sample_aspect_ratio
        context.flags |= Flags.frame_duration  # or the last frame lasts nothing
        context.colorspace, context.color_range = plan.color.matrix, plan.color.range
        context.color_primaries, context.color_trc = plan.color.primaries, plan.color.transfer
        if codec.canonical_name == "hevc" and self._output.format.name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # the only one that Apple's players take
        if info.display_matrix:
            stream.set_display_matrix(self._scaled_matrix(info.display_matrix))
        try:
            context.open()
        except (av.FFmpegError, ValueError) as error:
            raise OutputError(
                f"the encoder `{plan.codec}` does not open",
                why=f"{error} ({self._size[1]}x{self._size[0]} `{plan.pix_fmt}`)",
                hint="choose another `--vcodec`, or leave it out",
            ) from error
        if unknown := sorted(context.options):
            raise ConfigError(f"`{plan.codec}` does not know `{unknown[0]}`", hint="leave it out")
        return stream

    def _scaled_matrix(self, matrix: tuple[int, ...]) -> list[int]:
        """Enlarge the shift in a display matrix; it is in pixels, the rest has no unit."""
        scale = Fraction(self._size[0], self._info.height)
        return [round(n * scale) if i in (6, 7) else n for i, n in enumerate(matrix)]

    def _mux(self, packets: "list[Packet[VideoStream]]") -> None:
        for packet in packets:
            if packet.dts is not None:
                self._copier.copy_until(packet.dts * packet.time_base)
            self._output.mux(packet)

    def _close(self) -> None:
        """Close the container; whatever it still complains about, the file goes anyway."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self._output.close()

    def _verify(self) -> None:
        """Read the file back without decoding, and compare it with what was written."""
        found = _Times()
        num_packets, num_bytes = Counter[int](), Counter[int]()
        tick = Fraction(0)
        with open_source(self._temp) as container:
            for packet in container.demux():
                if not packet.size or packet.pts is None:
                    continue
                if packet.stream_index == self._stream.index:
                    tick = packet.time_base
                    found.add(packet.pts * tick, (packet.duration or 0) * tick)
                else:
                    num_packets[packet.stream_index] += 1
                    num_bytes[packet.stream_index] += packet.size
        written = self._times
        if found.num_frames != written.num_frames:
            problem = f"{found.num_frames} frames instead of {written.num_frames}"
        elif abs(found.mean_delay - written.mean_delay) > tick:
            problem = "frames have moved in time"
        elif abs(found.end - found.first - written.end + written.first) > 2 * self._step + tick:
            problem = f"{float(found.end - found.first):.3f} s long"
        elif not self._copier.is_all_in(num_packets, num_bytes):
            problem = "sound is missing"
        else:
            return
        raise VerificationError(
            f"the finished file is not what was written: {problem}",
            why=f"expected {written.num_frames} frames in "
            f"{float(written.end - written.first):.3f} s",
            hint=f"it is kept as `{self._target.name}.failed`; try `.mkv`, or another `--vcodec`",
        )


def _movie_clock(info: VideoInfo) -> int:
    """Ticks per second that are whole multiples of those of picture and sound, where possible."""
    picture = info.time_base.denominator
    exact = lcm(picture, *(track.sample_rate or 1 for track in info.audio))
    return exact if exact <= MAX_CLOCK else picture * -(-MIN_CLOCK // picture)


def _tag(picture: VideoFrame, plan: EncoderPlan) -> None:
    picture.colorspace, picture.color_range = plan.color.matrix, plan.color.range
    picture.color_primaries, picture.color_trc = plan.color.primaries, plan.color.transfer


@contextmanager
def _output_errors(what: str) -> Iterator[None]:
    """Turn what FFmpeg or the file system say while writing into an `OutputError`."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise OutputError(
            what,
            why=error.strerror or str(error),
            hint="check the free space and the rights of the folder",
        ) from error
