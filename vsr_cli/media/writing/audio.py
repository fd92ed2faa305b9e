"""Sound that is encoded again, because a container cannot hold it or because it was asked for."""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec import Codec, CodecContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr_cli.media.memory import sensible_memory

_BITS = {"aac": 128_000, "libopus": 96_000, "libmp3lame": 96_000}  # per second and channel
_OPUS_RATE = 48_000  # Hz
_ROUNDING = Fraction(2, 1000)  # seconds, of clocks that count milliseconds
# What so many channels usually are, and where a layout goes that an encoder lacks, all of it heard.
_USUAL_LAYOUTS = {
    **{1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"},
    16: "hexadecagonal",
}
_WIDER_LAYOUTS = {"2.1": "5.1", "3.0": "5.0", "4.0": "6.1", "3.1": "5.1", "4.1": "6.1"}


class AudioEncoder:
    """Packets of one track in, packets of another codec out, at the same times."""

    def __init__(self, output: OutputContainer, track: AudioStream, codec: str) -> None:
        """Add a stream to `output` and open its encoder.

        Raises:
            ValueError, av.FFmpegError: the encoder or the container does not take the sound.
        """
        old, kind = track.codec_context, Codec(codec, "w")
        if not old.sample_rate or not old.layout.nb_channels or old.format is None:
            raise ValueError("it does not say how it sounds: no rate or no channels")
        if old.is_open:
            old.flush_buffers()  # a rehearsal has decoded the start, and then ended it
        rate = old.sample_rate
        if kind.audio_rates and rate not in kind.audio_rates:
            rate = _nearest_rate(rate, kind.audio_rates)
        name_channels(old)
        format_ = _sample_format(old.format.name, kind)
        layout = _choose_layout(old, codec, rate, format_)
        stream = output.add_stream(codec, rate=rate)
        if not isinstance(stream, AudioStream):
            raise ValueError(f"{codec} made a stream of {stream.type}")
        context = stream.codec_context
        _set_up(context, codec, layout, rate, format_)
        context.open()
        self.stream = stream
        self.num_damaged = 0  # packets that do not decode
        self.is_mixed_down = context.layout.nb_channels < old.layout.nb_channels
        self._track, self._rate = track, rate
        self._kind: tuple[str, str, int] | None = None  # of the frames that the resampler takes
        self._next_pts: int | None = None  # where the next frame is expected
        self._resampler = self._make_resampler()

    def encode(self, packet: "Packet[Stream]", origin: Fraction) -> "list[Packet[Stream]]":
        """Packets that are ready after this one; damage is left out and counted.

        Args:
            packet: of the source.
            origin: seconds to take off every time.
        """
        try:
            with sensible_memory(f"stream {packet.stream_index}"):
                frames = self._track.decode(packet)
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError):
            self.num_damaged += 1
            return []
        return list(self._encode(frames, origin))

    def flush(self, origin: Fraction) -> "list[Packet[Stream]]":
        """The packets that decoder, resampler and encoder still held."""
        try:
            with sensible_memory(f"stream {self._track.index}"):
                frames = self._track.decode(None)
        except MemoryError:
            raise
        except (av.FFmpegError, EOFError):
            frames = []
        packets = list(self._encode(frames, origin))
        for frame in self._resampler.resample(None):
            packets += self.stream.encode(frame)
        return packets + self.stream.encode(None)

    def _encode(self, frames: list[AudioFrame], origin: Fraction) -> "Iterator[Packet[Stream]]":
        for frame in frames:
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if kind != self._kind and self._kind is not None:  # rate or channels have changed
                for ready in self._resampler.resample(None):
                    yield from self.stream.encode(ready)
                self._resampler = self._make_resampler()
            self._kind = kind
            self._place(frame, origin)
            for ready in self._resampler.resample(frame):
                yield from self.stream.encode(ready)

    def _place(self, frame: AudioFrame, origin: Fraction) -> None:
        """Give a frame its time; sound without a gap stays so, however coarse its clock."""
        pts = self._next_pts
        if frame.pts is not None and frame.time_base:
            told = round((frame.pts * frame.time_base - origin) * self._rate)
            if pts is None or abs(told - pts) > _ROUNDING * self._rate:
                pts = told
        frame.pts, frame.time_base = pts, Fraction(1, self._rate)
        if pts is not None:
            self._next_pts = pts + round(Fraction(frame.samples * self._rate, frame.sample_rate))

    def _make_resampler(self) -> AudioResampler:
        context = self.stream.codec_context
        return AudioResampler(
            context.format, context.layout, self._rate, frame_size=context.frame_size or None
        )


def name_channels(context: AudioCodecContext) -> None:
    """Say which channels there are where a track only says how many.

    Muxers and encoders need to know; two are left and right, six are 5.1, as everywhere.

    Args:
        context: of a stream, not open.
    """
    layout = context.layout
    if layout.name.endswith("channels") and layout.nb_channels in _USUAL_LAYOUTS:
        context.layout = _USUAL_LAYOUTS[layout.nb_channels]


def _set_up(context: AudioCodecContext, codec: str, layout: str, rate: int, format_: str) -> None:
    context.layout, context.format = layout, format_
    context.sample_rate, context.time_base = rate, Fraction(1, rate)
    if codec in _BITS:
        context.bit_rate = _BITS[codec] * context.layout.nb_channels


def _choose_layout(old: AudioCodecContext, codec: str, rate: int, format_: str) -> str:
    """The first layout that the encoder opens with; fewer channels come last.

    Raises:
        ValueError: none.
    """
    count, name = old.layout.nb_channels, old.layout.name
    wanted = [name, name.replace("(side)", ""), _WIDER_LAYOUTS.get(name, name)]
    wanted += [layout for layout, least in (("7.1", 8), ("5.1", 6), ("stereo", 2)) if count > least]
    why = "no layout"
    for layout in dict.fromkeys((*wanted, "stereo" if count > 1 else "mono")):
        try:
            trial = CodecContext.create(codec, "w")
            if not isinstance(trial, AudioCodecContext):
                raise ValueError(f"{codec} encodes no sound")
            _set_up(trial, codec, layout, rate, format_)
            with sensible_memory(codec):
                trial.open()
        except MemoryError:
            raise
        except (ValueError, av.FFmpegError) as error:
            why = str(error)
        else:
            return layout
    raise ValueError(why)


def _nearest_rate(rate: int, rates: tuple[int, ...] | list[int]) -> int:
    """The lowest of the rates that loses nothing; else the usual one, or the highest."""
    enough = [own for own in rates if own >= rate]
    return min(enough, default=_OPUS_RATE if _OPUS_RATE in rates else max(rates))


def _sample_format(name: str, codec: Codec) -> str:
    """The encoder's format that loses least of the samples of a source."""
    formats = [fmt.name for fmt in codec.audio_formats or ()]
    plain = name.removesuffix("p")
    same = [fmt for fmt in formats if fmt.removesuffix("p") == plain]
    if same:
        return same[0]
    deep = [fmt for fmt in formats if fmt.removesuffix("p") in ("s32", "flt", "dbl")]
    return (deep or formats)[0]
