"""Convolutions in 8-bit integers, of which many CPUs multiply two to four for each float."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr_cli.ops.flops import FUSED_CONVOLUTIONS, INT8_CONVOLUTIONS

_LEVELS = 2**8  # of inputs
_MOST_WEIGHT = 2**7 - 1  # weights have a sign, and zero in the middle
_SMOOTHING = 0.75  # how far channels of the input are brought to one size, at the cost of weights
_FUSED, _ = FUSED_CONVOLUTIONS
_PACK, _CONVOLVE = INT8_CONVOLUTIONS


@dataclass(frozen=True)
class Int8Filters:
    """Filters of a convolution, rounded and in the order that the CPU reads them in.

    packed: the filters, (C_out, C_in, k, k) in 8 bits.
    scales: what one step of them is worth, (C_out,).
    bias: (C_out,), float32.
    to_steps: what input channels are multiplied by before they are rounded, (C_in, 1, 1, 1).
    input_zero: the step that stands for 0.
    how: stride, padding, dilation and groups.
    """

    packed: Tensor
    scales: Tensor
    bias: Tensor
    to_steps: Tensor
    input_zero: int
    how: tuple[list[int], list[int], list[int], int]


@cache
def agrees_with_floats() -> bool:
    """Whether a small convolution comes to what it comes to in floats, but for rounding.

    The operators are torch's own, and not promised to stay: where they are missing, take other
    arguments or overflow, 8-bit integers are not for use.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 32, 8, 8, generator=generator).to(memory_format=torch.channels_last)
    weight = torch.rand(32, 32, 3, 3, generator=generator)
    bias = torch.rand(32, generator=generator)
    other = torch.rand(x.shape, generator=generator)
    wanted = other + F.conv2d(x, weight, bias, padding=1)
    try:
        filters = round_filters(weight, bias, torch.zeros(32), torch.ones(32), padding=1)
        found = convolve_add_int8(filters, x, other.clone(memory_format=torch.channels_last))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return bool((found - wanted).abs().max() < 0.02 * wanted.abs().max())


def round_filters(
    weight: Tensor, bias: Tensor, low: Tensor, high: Tensor, *, stride: int = 1, padding: int = 0
) -> Int8Filters:
    """Round filters to 8 bits, with a scale for each of them (arXiv 1712.05877).

    Channels of the input may differ in size by a hundred times, and share one step. So they are
    brought nearer to each other, and the filters take up what that changes (arXiv 2211.10438).

    Args:
        weight: (C_out, C_in, k, k), float32, on the CPU.
        bias: (C_out,).
        low: least value of each channel of the input, <= 0, (C_in,); what is beyond is clamped.
        high: the greatest, >= 0.
        stride: of the convolution.
        padding: zeros on each side.
    """
    size = torch.maximum(-low, high).clamp_min(1e-3)
    weight_size = weight.abs().amax(dim=(0, 2, 3)).clamp_min(1e-5)
    channel_scale = size**_SMOOTHING / weight_size ** (1 - _SMOOTHING)
    least, most = (low / channel_scale).min(), (high / channel_scale).max()
    step = ((most - least) / (_LEVELS - 1)).clamp_min(1e-12)
    # Exact in every number format that the input may have.
    to_steps = (1 / (channel_scale * step)).bfloat16().float()
    input_zero = round(float(-least / step))
    weight = weight / to_steps[:, None, None]
    scales = weight.abs().amax(dim=(1, 2, 3)).clamp_min(1e-12) / _MOST_WEIGHT
    rounded = (weight / scales[:, None, None, None]).round().to(torch.int8)
    how = ([stride, stride], [padding, padding], [1, 1], 1)
    packed = _PACK(rounded, scales, 1.0, input_zero, *how, None)
    to_steps = to_steps[:, None, None, None]
    return Int8Filters(packed, scales, bias.contiguous(), to_steps, input_zero, how)


def convolve_int8(filters: Int8Filters, x: Tensor) -> Tensor:
    """Convolve with rounded filters what is itself rounded to 256 even steps; sums are exact.

    Shape: (N, C_in, H, W) of floats -> (N, C_out, H', W') in the same number format, both with
    channels last in memory.
    """
    result: Tensor = _CONVOLVE(
        *(*_operands(filters, x), filters.bias, *filters.how),
        *(1.0, 0, x.dtype, "none", [], ""),
    )
    return result


def convolve_add_int8(filters: Int8Filters, x: Tensor, other: Tensor) -> Tensor:
    """Write the sum of `other` and `convolve_int8` over `other`, of the number format of x."""
    result: Tensor = _CONVOLVE.binary(
        *(*_operands(filters, x), other, filters.bias, *filters.how),
        *(1.0, 0, x.dtype, 1.0, 0, "sum", 1.0, "none", [], ""),
    )
    return result


def _operands(f: Int8Filters, x: Tensor) -> tuple[Tensor, float, int, Tensor, Tensor, Tensor]:
    """Input and filters, each with what a step is worth and which step is zero."""
    channels, half = x.shape[1], _LEVELS // 2
    offset = x.new_full((channels,), f.input_zero - half)
    how = ([0, 0], [1, 1], [1, 1], channels)
    bounds = ("hardtanh", [-half, half - 1], "")
    steps = _FUSED(x, f.to_steps.to(x.dtype), offset, *how, *bounds).round_()
    # A conversion to unsigned bytes takes several times as long as turning the bit of the sign.
    rounded = steps.to(torch.int8).view(torch.uint8).bitwise_xor_(half)
    zeros = torch.zeros_like(f.scales, dtype=torch.int64)
    return rounded, 1.0, f.input_zero, f.packed, f.scales, zeros
