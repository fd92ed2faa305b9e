"""Frames as programs have them, arrays of bytes, through the pipeline without files."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Report
from vsr_cli.ops.resize import resize
from vsr_cli.pipeline.clips import RgbFrame
from vsr_cli.pipeline.convert import SourceMix
from vsr_cli.pipeline.frames import restore_frames
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.run import memory_errors

Array = TypeVar("Array", NDArray[np.uint8], Tensor)


def restore_arrays(
    model: ModelFile, config: UpscaleConfig, frames: Iterable[Array], report: Report
) -> Iterator[Array]:
    """Restore frames (H, W, 3) uint8, all of one size; each comes out as what it went in.

    Raises:
        ConfigError: a frame has another shape, type or size.
    """
    if config.fps is not None:
        raise ConfigError(
            "`fps` means nothing to frames in memory",
            why="they have no times, and one comes out for each",
            hint="leave it out, or use files",
        )
    remaining = iter(frames)
    first = next(remaining)
    size = _size_of(first, None)
    config = model.resolve(config.for_source(*size))
    restorer = model.restorer(config, model.plan(config, size), report)
    rgb = (_to_rgb(frame, size) for frame in chain([first], remaining))
    sources, target_size = SourceMix(config.strength), config.target_size(*size)
    with (
        memory_errors(),
        closing(restore_frames(sources.kept(rgb), restorer, scene_cut=config.scene_cut)) as clips,
    ):
        for clip in clips:
            for frame in clip.frames:
                codes = _to_codes(resize(sources.mixed(frame, target_size), target_size))
                yield codes.numpy() if isinstance(first, np.ndarray) else codes


def _size_of(
    frame: NDArray[np.uint8] | Tensor, expected: tuple[int, int] | None
) -> tuple[int, int]:
    """(height, width) of a frame.

    Raises:
        ConfigError: it is no frame, or one of another size than `expected`.
    """
    is_bytes = frame.dtype in (np.uint8, torch.uint8)
    if not is_bytes or frame.ndim != 3 or frame.shape[-1] != 3:
        raise ConfigError(
            f"a frame of {frame.dtype}, {tuple(frame.shape)}, cannot be upscaled",
            hint="give RGB as uint8, (height, width, 3)",
        )
    size = (int(frame.shape[0]), int(frame.shape[1]))
    if expected is not None and size != expected:
        raise ConfigError(
            f"a frame is {size[1]}x{size[0]}, those before it {expected[1]}x{expected[0]}",
            hint="give frames of one size to each call",
        )
    return size


def _to_rgb(frame: NDArray[np.uint8] | Tensor, size: tuple[int, int]) -> RgbFrame:
    _size_of(frame, size)
    codes = torch.from_numpy(frame) if isinstance(frame, np.ndarray) else frame.cpu()
    return RgbFrame(codes.permute(2, 0, 1).float() / 127.5 - 1)


def _to_codes(rgb: Tensor) -> Tensor:
    """(3, H, W) in [-1, 1] -> (H, W, 3) uint8."""
    codes = (rgb.float().clamp(-1, 1) + 1) * 127.5
    return codes.round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu()
