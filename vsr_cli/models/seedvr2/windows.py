"""Where the denoiser's windows lie, and how places within one are told apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import torch
from torch import Tensor

from vsr_cli.ops.windows import Window

Cell = tuple[Window, Window, Window]  # of frames, rows and columns

_LONGEST = 30  # latent frames that are spread over windows in time; beyond, there are more windows
_NUM_WINDOWS = (4, 3, 3)
_TRAINED_AREA = 45 * 80  # tokens of a frame that windows are counted for
_ROTARY_BASE = 10_000.0


def window_size(size: tuple[int, int, int]) -> tuple[int, int, int]:
    """Tokens along each side of a window, on a grid of (frames, height, width) tokens.

    A frame of 720p has three by three windows; larger ones have more windows of that size, and
    their shape follows that of the frame (arXiv 2506.05301, section 3.2).
    """
    frames, height, width = size
    scale = math.sqrt(_TRAINED_AREA / (height * width))
    lengths = min(frames, _LONGEST), round(height * scale), round(width * scale)
    sides = (math.ceil(a / b) for a, b in zip(lengths, _NUM_WINDOWS, strict=True))
    t, h, w = (max(side, 1) for side in sides)
    return t, h, w


def plan_cells(size: tuple[int, int, int], *, is_shifted: bool) -> list[Cell]:
    """Cover a grid of tokens with windows that do not overlap; those at its ends may be smaller.

    Args:
        size: (frames, height, width) of the grid.
        is_shifted: by half a window, on axes that have more than one.
    """
    spans = _shifted_spans if is_shifted else _plain_spans
    t, h, w = (spans(n, side) for n, side in zip(size, window_size(size), strict=True))
    return list(product(t, h, w))


def _plain_spans(length: int, size: int) -> list[Window]:
    return [Window(start, min(start + size, length)) for start in range(0, length, size)]


def _shifted_spans(length: int, size: int) -> list[Window]:
    if size >= length:
        return [Window(0, length)]
    borders = [int((index - 0.5) * size) for index in range(1, math.ceil(length / size) + 2)]
    edges = [0, *(border for border in borders if 0 < border < length), length]
    return [Window(start, stop) for start, stop in pairwise(edges)]


@dataclass(frozen=True)
class EqualWindows:
    """Windows of one shape, worked on together.

    shape: (frames, height, width) of each, in tokens.
    rows: indices of their tokens on the flat grid, (windows, tokens) int64.
    """

    shape: tuple[int, int, int]
    rows: Tensor


def group_cells(
    cells: Sequence[Cell], size: tuple[int, int, int], *, device: torch.device
) -> list[EqualWindows]:
    """Bring windows of the same shape together.

    Args:
        cells: which cover the grid.
        size: (frames, height, width) of the grid.
        device: where the indices will lie.
    """
    _, height, width = size
    by_shape: dict[tuple[int, int, int], list[Tensor]] = {}
    for t, y, x in cells:
        frames, rows, columns = (torch.arange(axis.start, axis.stop) for axis in (t, y, x))
        flat = (frames[:, None] * height + rows)[..., None] * width + columns  # (t, h, w)
        by_shape.setdefault((t.size, y.size, x.size), []).append(flat.flatten())
    return [EqualWindows(shape, torch.stack(rows).to(device)) for shape, rows in by_shape.items()]


def place_angles(shape: tuple[int, int, int], *, first_time: int, channels: int) -> Tensor:
    """What queries and keys of a window's tokens are rotated by (arXiv 2104.09864, eq. 34).

    Positions count from the window's own corner, in time from `first_time`: after the words.

    Args:
        shape: (frames, height, width) of the window, in tokens.
        first_time: position of its first frame.
        channels: that are rotated for each axis, an even number.

    Returns:
        (tokens, 3 * channels / 2) float32, an angle for each pair of channels: time, rows, columns.
    """
    t, h, w = (torch.arange(n) for n in shape)
    axes = torch.meshgrid(t + first_time, h, w, indexing="ij")
    return _angles(torch.stack([axis.flatten() for axis in axes], dim=-1), channels)


def word_angles(num_words: int, channels: int) -> Tensor:
    """The same for words, whose place on all three axes is their number in the prompt."""
    return _angles(torch.arange(num_words)[:, None].expand(-1, 3), channels)


def rotary_frequencies(channels: int) -> Tensor:
    """10000^(-2k/n) of pair k of n channels, (channels / 2,) float32."""
    return _ROTARY_BASE ** -(torch.arange(0, channels, 2, dtype=torch.float32) / channels)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotate neighbouring pairs of channels; those beyond the angles stay as they are.

    Args:
        x: (..., tokens, heads, channels) float32.
        angles: (tokens, pairs).
    """
    num_rotated = 2 * angles.shape[-1]
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]  # (tokens, 1, pairs)
    first, second = x[..., 0:num_rotated:2], x[..., 1:num_rotated:2]
    turned = torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return torch.cat((turned.flatten(-2), x[..., num_rotated:]), dim=-1)


def _angles(positions: Tensor, channels: int) -> Tensor:
    """Positions (tokens, 3) -> angles (tokens, 3 * channels / 2)."""
    return (positions[..., None].float() * rotary_frequencies(channels)).flatten(-2)
