"""Transparency that a format promises or hides, and that only a closer look tells."""

from contextlib import suppress
from pathlib import Path

import av
import numpy as np
from av.codec import CodecContext
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsr_cli.config import InputConfig
from vsr_cli.media.memory import PICTURE_OPTIONS, sensible_memory
from vsr_cli.media.open import demux, open_container

# Decoders that know of the second picture in which WebM keeps transparency; FFmpeg's own do not.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_WEBP_ANIMATION = 0x02  # a flag of the `VP8X` chunk


def has_hidden_alpha(stream: VideoStream) -> bool:
    """Whether a stream of WebM says that transparency comes with its pictures."""
    return any(k.lower() == "alpha_mode" and v == "1" for k, v in stream.metadata.items())


def make_alpha_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """A decoder of a stream with transparency, where the usual one would drop it."""
    name = _WITH_ALPHA.get(stream.codec_context.codec.canonical_name)
    if name is None or not has_hidden_alpha(stream):
        return None
    with suppress(ValueError, av.FFmpegError):
        decoder = CodecContext.create(name, "r")
        if isinstance(decoder, VideoCodecContext):
            decoder.options = PICTURE_OPTIONS
            decoder.extradata = stream.codec_context.extradata
            return decoder
    return None


def is_opaque_gif(container: InputContainer, source: Path, config: InputConfig) -> bool:
    """Whether no picture of a GIF is transparent; FFmpeg decodes all as if they might be.

    Every picture is looked at, up to the first that is.
    """
    if container.format.name != "gif" or config.alpha != "auto":
        return False
    with (
        suppress(av.FFmpegError),
        open_container(source, config) as again,
        sensible_memory(again.name),
    ):
        stream = again.streams.video[0]
        pictures = (p for packet in demux(again, stream) for p in stream.decode(packet))
        return not any(_is_transparent(picture) for picture in pictures)
    return False


def _is_transparent(picture: VideoFrame) -> bool:
    if picture.format.name != "bgra":
        return False
    samples = np.frombuffer(memoryview(picture.planes[0]), np.uint8)
    pixels = samples.reshape(picture.height, -1)[:, : 4 * picture.width]
    return bool((pixels[:, 3::4] < np.iinfo(np.uint8).max).any())


def with_palette_alpha(picture: VideoFrame) -> VideoFrame:
    """A picture whose palette makes pixels transparent, in RGBA; every other as it is.

    FFmpeg's conversion takes all colours of a palette for opaque.
    """
    if picture.format.name != "pal8":
        return picture
    indices, palette = picture.to_ndarray()  # (H, W), and (256, 4) of A, R, G, B
    is_used = np.bincount(indices.ravel(), minlength=len(palette)) > 0
    if (palette[is_used, 0] == np.iinfo(np.uint8).max).all():
        return picture
    shown = VideoFrame.from_ndarray(palette[:, [1, 2, 3, 0]][indices], format="rgba")
    shown.pts, shown.time_base = picture.pts, picture.time_base
    if picture.duration:
        shown.duration = picture.duration
    return shown


def is_animated_webp(source: Path) -> bool:
    """Whether a file is a WebP with more than one picture."""
    with suppress(OSError), source.open("rb") as file:
        head = file.read(21)
        is_extended = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X"
        return is_extended and len(head) == 21 and bool(head[20] & _WEBP_ANIMATION)
    return False
