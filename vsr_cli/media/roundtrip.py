"""Frames through a codec in memory, and files to plain RGB: for degrading and for training."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vsr_cli.errors import InputError
from vsr_cli.media.memory import sensible_memory
from vsr_cli.media.writing.encoder_options import reproducible_options

Codec = Literal["h264", "mpeg4"]


@dataclass(frozen=True)
class Crf:
    """A constant rate factor of x264, 0 to 51: as many bits as that quality takes."""

    value: int


_ENCODERS: dict[Codec, Literal["libx264", "mpeg4"]] = {"h264": "libx264", "mpeg4": "mpeg4"}
_LEAST_SIDE = 16  # pixels, one macroblock
_BUFFER = 0.2  # seconds of bits the first frame may use up


def encode_decode(
    frames: NDArray[np.uint8],
    codec: Codec,
    bit_rate: int | Crf,
    *,
    rate: Fraction = Fraction(25),
) -> NDArray[np.uint8]:
    """Encode frames at a bit rate, or of a quality, and decode them again.

    One thread, no file, no container; the same input gives the same output.

    Args:
        frames: (T, H, W, 3) RGB; odd sizes are padded for the encoder and cropped again.
        codec: which encoder.
        bit_rate: bits per second, for frames that follow each other at `rate`; or the quality,
            which h264 alone has.
        rate: frames per second.

    Returns:
        (T, H, W, 3) RGB.

    Raises:
        ValueError: if `frames` has another shape or type, the codec has no such quality, or it
            gave back another number of frames.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"expected uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}")
    num_frames, height, width, _ = frames.shape
    pad_y = max(_LEAST_SIDE, height + height % 2) - height  # even, for 4:2:0
    pad_x = max(_LEAST_SIDE, width + width % 2) - width
    padded = np.pad(frames, ((0, 0), (0, pad_y), (0, pad_x), (0, 0)), mode="edge")

    encoder = VideoCodecContext.create(_ENCODERS[codec], "w")
    encoder.width, encoder.height = padded.shape[2], padded.shape[1]
    encoder.pix_fmt = "yuv420p"
    encoder.framerate, encoder.time_base = rate, 1 / rate
    if not isinstance(bit_rate, Crf):
        encoder.bit_rate = bit_rate
    encoder.thread_count = 1
    encoder.options = _options(codec, bit_rate)
    decoder = VideoCodecContext.create(codec, "r")
    decoder.thread_count = 1

    packets = []
    for index, picture in enumerate(padded):
        frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = index, 1 / rate
        packets += encoder.encode(frame)
    packets += encoder.encode(None)

    decoded: list[VideoFrame] = []
    for packet in packets:
        decoded += decoder.decode(packet)
    decoded += decoder.decode(None)
    if len(decoded) != num_frames:
        raise ValueError(f"expected {num_frames} frames back from {codec}, got {len(decoded)}")
    pictures = [frame.to_ndarray(format="rgb24")[:height, :width] for frame in decoded]
    return np.stack(pictures)


def _options(codec: Codec, bit_rate: int | Crf) -> dict[str, str]:
    """What makes rate control act within a few frames.

    mpeg4 waits for a buffer to run full; x264 plans ahead, and gives up where the buffer is small.
    """
    if codec == "h264":
        crf = {"crf": str(bit_rate.value)} if isinstance(bit_rate, Crf) else {}
        return {"preset": "veryfast", **crf, **reproducible_options()}
    if isinstance(bit_rate, Crf):
        raise ValueError(f"expected a bit rate for {codec}, got {bit_rate}")
    return {"maxrate": str(bit_rate), "bufsize": str(round(bit_rate * _BUFFER))}


def decode_rgb(source: Path) -> Iterator[NDArray[np.uint8]]:
    """Decode every frame of a video, or the one of an image, as RGB.

    Times, sound and rotation are ignored; colours follow the tags of the file.

    Yields:
        (H, W, 3) each.

    Raises:
        InputError: if nothing can be decoded.
    """
    try:
        with (
            sensible_memory(str(source)),
            av.open(f"file:{source}", options={"protocol_whitelist": "file"}) as container,
        ):
            for frame in container.decode(container.streams.video[0]):
                yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    except (av.FFmpegError, IndexError) as error:
        raise InputError(
            f"`{source.name}` cannot be decoded", why=str(error), hint="leave it out"
        ) from error
