"""Sound that is encoded again, because a container cannot hold it or because it was asked for."""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec import Codec
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

_BITS = {"aac": 128_000, "libopus": 96_000, "libmp3lame": 96_000}  # per second and channel
_OPUS_RATE = 48_000  # Hz
_MP3_CHANNELS = 2


class AudioEncoder:
    """Packets of one track in, packets of another codec out, at the same times."""

    def __init__(self, output: OutputContainer, track: AudioStream, codec: str) -> None:
        """Add a stream to `output` and open its encoder.

        Raises:
            ValueError, av.FFmpegError: the encoder or the container does not take the sound.
        """
        old, kind = track.codec_context, Codec(codec, "w")
        rate = old.sample_rate
        if kind.audio_rates and rate not in kind.audio_rates:
            rate = _OPUS_RATE
        layout = old.layout.name.replace("(side)", "")
        if codec == "libmp3lame" and old.layout.nb_channels > _MP3_CHANNELS:
            layout = "stereo"
        stream = output.add_stream(codec, rate=rate)
        if not isinstance(stream, AudioStream):
            raise ValueError(f"{codec} made a stream of {stream.type}")
        context = stream.codec_context
        context.layout, context.format = layout, _sample_format(old.format.name, kind)
        context.time_base = Fraction(1, rate)
        if codec in _BITS:
            context.bit_rate = _BITS[codec] * context.layout.nb_channels
        context.open()
        self.stream = stream
        self._track, self._rate = track, rate
        self._resampler = AudioResampler(
            context.format, context.layout, rate, frame_size=context.frame_size or None
        )

    def encode(self, packet: "Packet[Stream]", origin: Fraction) -> "list[Packet[Stream]]":
        """Packets that are ready after this one; damage is left out.

        Args:
            packet: of the source.
            origin: seconds to take off every time.
        """
        try:
            frames = self._track.decode(packet)
        except (av.FFmpegError, EOFError):
            return []
        return list(self._encode(frames, origin))

    def flush(self, origin: Fraction) -> "list[Packet[Stream]]":
        """The packets that decoder, resampler and encoder still held."""
        try:
            frames = self._track.decode(None)
        except (av.FFmpegError, EOFError):
            frames = []
        packets = list(self._encode(frames, origin))
        for frame in self._resampler.resample(None):
            packets += self.stream.encode(frame)
        return packets + self.stream.encode(None)

    def _encode(self, frames: list[AudioFrame], origin: Fraction) -> "Iterator[Packet[Stream]]":
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                frame.pts = round((frame.pts * frame.time_base - origin) * self._rate)
                frame.time_base = Fraction(1, self._rate)
            for ready in self._resampler.resample(frame):
                yield from self.stream.encode(ready)


def _sample_format(name: str, codec: Codec) -> str:
    """The encoder's format that loses least of the samples of a source."""
    formats = [fmt.name for fmt in codec.audio_formats or ()]
    plain = name.removesuffix("p")
    same = [fmt for fmt in formats if fmt.removesuffix("p") == plain]
    if same:
        return same[0]
    deep = [fmt for fmt in formats if fmt.removesuffix("p") in ("s32", "flt", "dbl")]
    return (deep or formats)[0]
