"""Clips of several shots, and what is asked of them here."""

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsr_cli.config import ClipConfig, JobConfig, OutputConfig, SamplerConfig, UpscaleConfig
from vsr_cli.ops.resize import resize

SIZE = (48, 64)  # (height, width)


def write_shots(
    path: Path,
    lengths: Sequence[int],
    *,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Write shots of so many frames, each a still picture that is moved; `times` in 1/25 s."""
    settings = {"preset": "ultrafast", "crf": "8"} if codec == "libx264" else {}
    with av.open(f"file:{path}", "w") as output:
        stream = output.add_stream(codec, rate=25, options={**settings, **(options or {})})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = size
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 25)
        sound = output.add_stream("pcm_s16le", rate=8000) if path.suffix != ".mp4" else None
        index = 0
        for shot, length in enumerate(lengths):
            picture = _scene(shot, (size[0] + 16, size[1] + 16))
            for step in range(length):
                x = abs(step % 30 - 15)  # to and fro, a line a frame
                view = np.ascontiguousarray(picture[x : x + size[0], : size[1]])
                frame = VideoFrame.from_ndarray(view, format="rgb24")
                frame.pts = index if times is None else times[index]
                frame.time_base = Fraction(1, 25)
                output.mux(stream.encode(frame))
                index += 1
        output.mux(stream.encode(None))
        if isinstance(sound, AudioStream):
            _write_silence(output, sound, index / 25)
    return path


def _write_silence(output: av.container.OutputContainer, sound: AudioStream, length: float) -> None:
    frame = av.AudioFrame.from_ndarray(
        np.zeros((1, int(length * 8000)), np.int16), format="s16", layout="mono"
    )
    frame.sample_rate, frame.pts = 8000, 0
    output.mux(sound.encode(frame))
    output.mux(sound.encode(None))


def _scene(seed: int, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture (H, W, 3) with structure from coarse to fine."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        resize(torch.randn(3, size[0] // cell, size[1] // cell, generator=generator), size)
        for cell in (4, 8, 16)
    ]
    rgb = (0.35 * sum(layers[1:], layers[0])).clamp(-1, 1)
    found: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = (
        ((rgb + 1) * 127.5).byte().permute(1, 2, 0).numpy()
    )
    return found


def tiny_config(model: Path, *, video_codec: str = "libx264", **job: object) -> UpscaleConfig:
    """A job that takes milliseconds a frame."""
    return UpscaleConfig(
        model=model,
        device="cpu",
        dtype="float32",
        scale=Fraction(2),
        output=OutputConfig(video_codec=video_codec),
        clip=ClipConfig(length=8),
        sampler=SamplerConfig(steps=1),
        job=JobConfig(**job),  # type: ignore[arg-type]
    )


def digest(path: Path) -> str:
    """Of a whole file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def packets(path: Path) -> list[tuple[int | None, bytes]]:
    """The coded picture, and when it is shown."""
    with av.open(f"file:{path}") as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(video=0) if packet.size]
