"""Clips in memory: the first frames of videos, and small clips written without loss."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.config import OutputConfig
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError, InputError
from vsr_cli.events import Report, ignore
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.roundtrip import decode_rgb
from vsr_cli.media.side_streams import open_side_streams
from vsr_cli.media.writing.output_plan import plan_output
from vsr_cli.media.writing.writer import VideoWriter
from vsr_cli.ops.yuv import to_planes, to_rgb

LOSSLESS_SUFFIX = ".mkv"


@dataclass(frozen=True)
class Footage:
    """The first frames of a video.

    headers: the frames as read, without their pixels.
    frames: (T, 3, H, W) in [-1, 1].
    is_whole: whether the video ends with them.
    """

    source: Path
    info: VideoInfo
    headers: tuple[Frame, ...]
    frames: Tensor
    is_whole: bool


def read_footage(source: Path, num_frames: int, *, report: Report = ignore) -> Footage:
    """Read the first `num_frames` of a video, or as many as there are.

    Raises:
        InputError: if it cannot be read.
    """
    info = probe(source)
    headers: list[Frame] = []
    frames: list[Tensor] = []
    for frame in islice(read_frames(source, report=report), num_frames + 1):
        headers.append(replace(frame, planes=()))
        if len(headers) <= num_frames:
            frames.append(_rgb(frame))
    is_whole = len(headers) <= num_frames
    return Footage(source, info, tuple(headers[:num_frames]), torch.stack(frames), is_whole)


def _rgb(frame: Frame) -> Tensor:
    planes = [torch.from_numpy(plane) for plane in frame.planes]
    return to_rgb(planes, frame.layout, frame.color)


def count_frames(source: Path, most: int) -> int:
    """How many frames a video has, as far as `most`.

    Raises:
        InputError: if it cannot be read.
    """
    return sum(1 for _ in islice(read_frames(source, report=ignore), most))


@contextmanager
def open_lossless(
    target: Path, source: Path, info: VideoInfo, size: tuple[int, int], *, overwrite: bool = False
) -> Iterator[VideoWriter]:
    """Open a writer of FFV1 in RGB, without sound, with the times of `source`.

    Raises:
        ConfigError: if the container does not take FFV1.
        OutputError: if the target exists or cannot be written.
    """
    if target.suffix.lower() != LOSSLESS_SUFFIX:
        raise ConfigError(
            f"`{target.name}` cannot be written without loss",
            why="frames are kept exactly, as FFV1 in RGB, and only Matroska takes that",
            hint=f"use a name that ends in `{LOSSLESS_SUFFIX}`",
        )
    config = OutputConfig(video_codec="ffv1", pix_fmt="bgr0", audio="none", overwrite=overwrite)
    plan = plan_output(target, source, info, size, config, report=ignore)
    with (
        open_side_streams(source, info) as side_streams,
        VideoWriter(plan, side_streams, report=ignore) as writer,
    ):
        yield writer


def write_all(writer: VideoWriter, headers: Sequence[Frame], frames: Tensor) -> None:
    """Write frames (T, 3, H, W) at the times of `headers`, and give the file its name."""
    for header, frame in zip(headers, frames, strict=True):
        coding = writer.plan.coding
        planes = tuple(plane.numpy() for plane in to_planes(frame, coding.layout, coding.color))
        writer.write(header.with_planes(planes, coding.layout, coding.color))
    writer.finish()


def to_codes(frames: Tensor) -> Tensor:
    """Clip to [-1, 1] and round as 8-bit video does."""
    return ((frames.float().cpu().clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


class Pictures:
    """A video, or a folder of numbered PNG files: RGB frames in order.

    Raises:
        InputError: if the folder has no PNG files, or one without a number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = _in_order(path) if path.is_dir() else []

    def __iter__(self) -> Iterator[Tensor]:
        """Frames (3, H, W) in [-1, 1]."""
        if not self.files:
            for frame in read_frames(self.path, report=ignore):
                yield _rgb(frame)
        for file in self.files:
            for codes in decode_rgb(file):
                yield torch.from_numpy(codes).permute(2, 0, 1).float() / 127.5 - 1

    def read(self, num_frames: int, size: tuple[int, int]) -> Tensor:
        """The first frames, (T, 3, H, W).

        Raises:
            InputError: if there are fewer, or one has another size than (height, width).
        """
        frames: list[Tensor] = []
        for frame in islice(self, num_frames):
            height, width = frame.shape[-2:]
            if (height, width) != size:
                raise InputError(
                    f"`{self.path}` is {width}x{height}, not {size[1]}x{size[0]}",
                    why="a result must be as large as the truth, cut to a multiple of the scale",
                    hint="enlarge the same input, by the `--scale` of this evaluation",
                )
            frames.append(frame)
        if len(frames) < num_frames:
            raise InputError(
                f"`{self.path}` has {counted(len(frames), 'frame')}, not {num_frames}",
                hint="give a result of the whole clip, or use a smaller `--frames`",
            )
        return torch.stack(frames)


def _in_order(folder: Path) -> list[Path]:
    """The PNG files of a folder, by the last number in their names."""
    numbered: list[tuple[int, Path]] = []
    for path in folder.iterdir():
        if path.suffix.lower() != ".png":
            continue
        numbers = re.findall(r"\d+", path.stem)
        if not numbers:
            raise InputError(f"`{path}` has no number", hint="number the frames in their order")
        numbered.append((int(numbers[-1]), path))
    if not numbered:
        raise InputError(f"`{folder}` holds no PNG files", hint="put the frames there")
    return [path for _, path in sorted(numbered)]
