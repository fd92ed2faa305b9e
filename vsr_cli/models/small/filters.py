"""Filters for a source that is finer than the grid that networks work on."""

import math

import torch
from torch import Tensor, nn

from vsr_cli.models.small.blocks import zero_init
from vsr_cli.models.small.fused import conv_add, convolve
from vsr_cli.ops.color import BT601

_SIZE = 7  # pixels of the target
_GAIN = 4.0  # at the start; brings what smoothing changes to about the size of features
_SIGMAS = (0.8, 1.5, 10.0)  # of the first filters, pixels; the last is next to a box
_ALONG, _ACROSS = 2.0, 0.5  # sigmas of those along an edge
_DIRECTIONS = 4
_CHROMA_SIGMA = 2.0


class FilterBank(nn.Module):
    """Adds the source filtered by a bank, in which each pixel has weights of its own.

    residual + conv(h f(source)): what a fine source has from pixel to pixel, noise above all, no
    features on a grid of four of them can hold and give back; but they can tell what to do with it.
    So kernels are predicted for each pixel, as combinations of a few that all share (arXiv
    1912.04421). It starts with smoothing of several widths, along edges, and of colour, because
    from random filters and a residual of zero L1 finds no way: the median of noise is zero.

    Shape: source (B, 3, H, W), features h (B, C, H, W), residual (B, 3, H, W) -> (B, 3, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bank = nn.Conv2d(3, channels, _SIZE, padding=_SIZE // 2, bias=False)
        self.output = zero_init(nn.Conv2d(channels, 3, 3, padding=1))
        kernels = _GAIN * _first_kernels()
        count = min(channels, len(kernels))
        with torch.no_grad():
            self.bank.weight[:count] = kernels[:count]

    def forward(self, source: Tensor, h: Tensor, residual: Tensor) -> Tensor:
        fine = source.to(h.dtype, memory_format=torch.channels_last)
        return conv_add(self.output, h * convolve(self.bank, fine), residual)


def _first_kernels() -> Tensor:
    """What smoothing changes, by ways of smoothing, (16, 3, 7, 7)."""
    reach = _SIZE // 2
    line = torch.arange(-reach, reach + 1, dtype=torch.float32)
    y, x = torch.meshgrid(line, line, indexing="ij")
    same = ((x == 0) & (y == 0)).float()

    def smoothing(sigma_x: float, sigma_y: float, angle: float = 0.0) -> Tensor:
        along = x * math.cos(angle) + y * math.sin(angle)
        across = y * math.cos(angle) - x * math.sin(angle)
        kernel = (-((along / sigma_x).square() + (across / sigma_y).square()) / 2).exp()
        return kernel / kernel.sum() - same

    each = torch.eye(3)[:, :, None, None]
    light = torch.tensor(BT601)[:, None, None]
    parts = [each * smoothing(sigma, sigma) for sigma in _SIGMAS]
    for turn in range(_DIRECTIONS):
        parts.append((light * smoothing(_ALONG, _ACROSS, math.pi * turn / _DIRECTIONS))[None])
    parts.append((each - light) * smoothing(_CHROMA_SIGMA, _CHROMA_SIGMA))
    return torch.cat(parts)
