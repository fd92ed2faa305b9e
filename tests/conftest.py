"""Small videos for every test that needs one; nothing here uses the code under test."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from hypothesis import settings
from numpy.typing import NDArray

SAMPLE_RATE = 48_000  # Hz

# The first call of torch takes a second, and machines that run tests may be busy.
settings.register_profile("vsr", deadline=None)
settings.load_profile("vsr")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests begin, so that at the end no process is left alone with one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests leave nothing in the user's folders and read nothing there, nor do their processes."""
    os.environ["VSR_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """One process computes what its workers do: with other numbers of threads, torch rounds anew.

    Beside other tests a second thread would only be in their way, too.
    """
    import torch

    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


class MakeClip(Protocol):
    """What the fixture `make_clip` gives: a function that writes a video and returns its path."""

    def __call__(
        self,
        path: Path,
        *,
        num_frames: int = 6,
        size: tuple[int, int] = (48, 64),
        rate: Fraction = Fraction(25),
        pts: Sequence[int] | None = None,
        time_base: Fraction | None = None,
        audio: Sequence[str] = (),
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        colorspace: int = 2,
        color_range: int = 0,
        rotation: int = 0,
        sample_aspect_ratio: Fraction | None = None,
        metadata: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Path: ...


@pytest.fixture
def make_clip() -> MakeClip:
    """Writes a moving picture of `num_frames`, with one sound track per name of a codec.

    `size` is (height, width); `options` are the encoder's; `pts` are in `time_base` and may be
    irregular; track n of the sound has a tone of its own, and the language "eng" or, after the
    first, "deu".
    """
    return write_clip


def write_clip(
    path: Path,
    *,
    num_frames: int = 6,
    size: tuple[int, int] = (48, 64),
    rate: Fraction = Fraction(25),
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    audio: Sequence[str] = (),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    colorspace: int = 2,
    color_range: int = 0,
    rotation: int = 0,
    sample_aspect_ratio: Fraction | None = None,
    metadata: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> Path:
    time_base = time_base or 1 / rate
    step = round(1 / (rate * time_base))
    times = list(pts) if pts is not None else [step * n for n in range(num_frames)]
    # A start that is no whole millisecond needs a finer clock than an MP4 has by default.
    clock = {"movie_timescale": str(lcm(time_base.denominator, SAMPLE_RATE))}
    is_mp4 = path.suffix in (".mp4", ".mov")
    with av.open(f"file:{path}", "w", container_options=clock if is_mp4 else {}) as output:
        stream = output.add_stream(codec, rate=rate, options={**_options(codec), **(options or {})})
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.height, context.width = size
        context.pix_fmt, context.time_base = pix_fmt, time_base
        context.flags |= Flags.frame_duration
        context.colorspace, context.color_range = colorspace, color_range
        if sample_aspect_ratio:
            context.sample_aspect_ratio = sample_aspect_ratio
        if rotation:
            stream.set_display_rotation(rotation)
        output.metadata.update(metadata or {})
        seconds = float((times[-1] + step) * time_base)
        tracks = [_add_track(output, name, n) for n, name in enumerate(audio)]
        for index, (time, picture) in enumerate(zip(times, _pictures(times, size), strict=True)):
            frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = time, time_base
            frame.duration = times[index + 1] - time if index + 1 < len(times) else step
            frame.colorspace, frame.color_range = colorspace, color_range
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        for n, track in enumerate(tracks):
            _write_tone(output, track, pitch=220 * (n + 1), seconds=seconds)
    return path


@pytest.fixture
def make_sound() -> "MakeSound":
    """Writes a file that holds sound only."""
    return write_sound


class MakeSound(Protocol):
    def __call__(self, path: Path, *, codec: str = "aac", seconds: float = 0.2) -> Path: ...


def write_sound(path: Path, *, codec: str = "aac", seconds: float = 0.2) -> Path:
    with av.open(f"file:{path}", "w") as output:
        _write_tone(output, _add_track(output, codec, 0), pitch=220, seconds=seconds)
    return path


@pytest.fixture
def read_contents() -> Callable[[Path], "Contents"]:
    """Reads a finished file with PyAV alone."""
    return read_file


@dataclass(frozen=True)
class Contents:
    """What a file holds, read by PyAV alone."""

    times: list[Fraction]  # seconds, of each frame
    end: Fraction  # seconds, of the last frame
    sounds: list[list[bytes]]  # packets of each track
    sound_times: list[list[Fraction]]  # seconds
    languages: list[str | None]


def read_file(path: Path) -> Contents:
    with av.open(f"file:{path}") as container:
        frames = [
            ((frame.pts or 0) * (frame.time_base or 0), frame.duration * (frame.time_base or 0))
            for frame in container.decode(video=0)
        ]
    sounds: dict[int, list[bytes]] = {}
    sound_times: dict[int, list[Fraction]] = {}
    with av.open(f"file:{path}") as container:
        languages = [track.metadata.get("language") for track in container.streams.audio]
        for packet in container.demux():
            if packet.stream.type == "audio" and packet.size:
                sounds.setdefault(packet.stream_index, []).append(bytes(packet))
                time = (packet.pts or 0) * packet.time_base
                sound_times.setdefault(packet.stream_index, []).append(time)
    return Contents(
        times=[Fraction(time) for time, _ in frames],
        end=Fraction(frames[-1][0] + frames[-1][1]),
        sounds=list(sounds.values()),
        sound_times=list(sound_times.values()),
        languages=languages,
    )


def _options(codec: str) -> dict[str, str]:
    return {"preset": "ultrafast", "crf": "10"} if codec == "libx264" else {}


def _pictures(times: Sequence[int], size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Coloured waves that move from frame to frame."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    pictures = []
    for index in range(len(times)):
        waves = [np.sin((x + 2 * index) / (5 + c) + y / (9 - c)) for c in range(3)]
        pictures.append((127.5 + 100 * np.stack(waves, axis=-1)).astype(np.uint8))
    return pictures


def _add_track(output: OutputContainer, codec: str, index: int) -> AudioStream:
    stream = output.add_stream(codec, rate=SAMPLE_RATE)
    assert isinstance(stream, AudioStream)
    stream.codec_context.layout = "mono"
    stream.metadata["language"] = "eng" if index == 0 else "deu"
    return stream


def _write_tone(
    output: OutputContainer, stream: AudioStream, *, pitch: int, seconds: float
) -> None:
    if not stream.codec_context.is_open:
        stream.codec_context.open()
    size = stream.codec_context.frame_size or 1024
    for start in range(0, max(size, int(seconds * SAMPLE_RATE)), size):
        wave = np.sin(2 * np.pi * pitch * np.arange(start, start + size) / SAMPLE_RATE) / 4
        frame = AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, start
        frame.time_base = Fraction(1, SAMPLE_RATE)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
