"""Convolutions together with what follows them.

Every function is what its formula says, and trains, exports and compiles as such. On a CPU without
gradients each convolution and what follows are one pass over memory (post-operations of oneDNN):
networks as narrow as these otherwise spend more time on reading and writing features than on
multiplying them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.models.small.int8 import Int8Conv2d
from vsr_cli.ops.flops import FUSED_CONVOLUTIONS

LEAK = 0.1

Conv = nn.Conv2d | Int8Conv2d

_FUSED, _FUSED_IN_PLACE = FUSED_CONVOLUTIONS


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU, which writes over its input: what is given must be needed by nobody else.

    On a CPU it costs a fifth of SiLU, which would be a quarter of a narrow network's time.
    """
    return F.leaky_relu(x, LEAK, inplace=True)


def convolve(conv: Conv, x: Tensor) -> Tensor:
    """conv(x), bit by bit the same whatever the number of threads.

    On a CPU torch's own 1x1 convolutions in float32 add up in an order that depends on it, and
    workers have other numbers of threads than a process that is alone.
    """
    if isinstance(conv, Int8Conv2d) or not can_fuse(x, conv.weight):
        alone: Tensor = conv(x)
        return alone
    how = (conv.padding, conv.stride, conv.dilation, conv.groups)
    result: Tensor = _FUSED(x, conv.weight, conv.bias, *how, "none", [], "")
    return result


def conv_activate(conv: Conv, x: Tensor) -> Tensor:
    """Leaky ReLU of conv(x)."""
    if isinstance(conv, Int8Conv2d) or not can_fuse(x, conv.weight):
        return activate(conv(x))
    how = (conv.padding, conv.stride, conv.dilation, conv.groups)
    result: Tensor = _FUSED(x, conv.weight, conv.bias, *how, "leaky_relu", [LEAK], "")
    return result


def conv_add(conv: Conv, x: Tensor, other: Tensor, *, may_overwrite: bool = False) -> Tensor:
    """The sum of `other` and conv(x); `may_overwrite`: nobody needs `other` after it."""
    if isinstance(conv, Int8Conv2d):
        layout = torch.channels_last
        if may_overwrite:
            return conv.add(x, other.contiguous(memory_format=layout))
        return conv.add(x, other.clone(memory_format=layout))
    if not can_fuse(x, conv.weight) or other.dtype != x.dtype:
        return other + conv(x)
    how = (conv.padding, conv.stride, conv.dilation, conv.groups)
    result: Tensor = _FUSED.binary(x, other, conv.weight, conv.bias, *how, "add", 1, *_NOTHING)
    return result


def merge_frames(x: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (B T, C, H, W), still with channels last in memory if it was.

    Of a single frame `flatten` would leave open how it lies in memory, and operators that see
    that move every value.
    """
    if len(x) == 1:
        return x[0]
    return x.permute(0, 1, 3, 4, 2).flatten(0, 1).permute(0, 3, 1, 2)


def split_frames(x: Tensor, batch: int) -> Tensor:
    """(B T, C, H, W) -> (B, T, C, H, W), the inverse of `merge_frames`."""
    return x[None] if batch == 1 else x.unflatten(0, (batch, -1))


def cat_channels(*parts: Tensor) -> Tensor:
    """One after the other along the channels, (N, C, H, W) each, with channels last in memory.

    `torch.cat` decides on an order of its own when one of them has another, and convolutions would
    then move every value again.
    """
    return torch.cat([x.permute(0, 2, 3, 1) for x in parts], dim=-1).permute(0, 3, 1, 2)


def cat_frames(*parts: Tensor) -> Tensor:
    """One after the other in time, (B, T, C, H, W) each, likewise with channels last in memory."""
    return torch.cat([x.permute(0, 1, 3, 4, 2) for x in parts], dim=1).permute(0, 1, 4, 2, 3)


def temporal_conv_add(conv: nn.Conv2d, seen: Tensor, other: Tensor) -> Tensor:
    """The sum of `other` and a convolution along time, from each frame seen back to the past.

    Args:
        conv: a 1x1 convolution of (taps C) channels, those of the earliest frame first.
        seen: (B, taps - 1 + T, C, H, W).
        other: (B T, C, H, W).

    Returns:
        (B T, C, H, W).
    """
    count = conv.in_channels // seen.shape[2]
    num_frames = seen.shape[1] - count + 1
    taps = [merge_frames(seen[:, k : k + num_frames]) for k in range(count)]
    if other.dtype != seen.dtype or not can_fuse(seen, conv.weight):
        return other + conv(cat_channels(*taps))
    how = ([0, 0], [1, 1], [1, 1], 1)
    *earlier, last = (w.contiguous() for w in conv.weight.chunk(count, dim=1))
    result: Tensor = _FUSED.binary(taps[-1], other, last, conv.bias, *how, "add", 1, *_NOTHING)
    for tap, weight in zip(taps, earlier, strict=False):
        _FUSED_IN_PLACE.binary(result, tap, weight, None, *how, "add", 1, *_NOTHING)
    return result


def unshuffle_conv(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A 1x1 convolution of space to depth, x (N, C, 2H, 2W) -> (N, C_out, H, W).

    It is one of 2x2 pixels, two apart: nothing needs to be moved.
    """
    weight = conv.weight.reshape(conv.out_channels, conv.in_channels // 4, 2, 2)
    return F.conv2d(x, weight, conv.bias, stride=2)


def conv_shuffle(conv: Conv, x: Tensor, *, is_activated: bool = False) -> Tensor:
    """Depth to space of conv(x), (N, C_in, H, W) -> (N, C, 2H, 2W), activated where asked for."""
    count = conv.out_channels // 4
    if isinstance(conv, Int8Conv2d):
        y = conv_activate(conv, x) if is_activated else conv(x)
        return _shuffle_pixels(y, count)
    if not can_fuse(x, conv.weight):
        y = activate(conv(x)) if is_activated else conv(x)
        return F.pixel_shuffle(y, 2)
    # The four pixels that a pixel becomes come one after the other, not channel by channel: what
    # is then moved are whole pixels.
    weight = conv.weight.unflatten(0, (count, 4)).transpose(0, 1).flatten(0, 1)
    bias = None if conv.bias is None else conv.bias.view(count, 4).t().flatten()
    how = (conv.padding, conv.stride, conv.dilation, conv.groups)
    after = ("leaky_relu", [LEAK], "") if is_activated else ("none", [], "")
    return _shuffle_pixels(_FUSED(x, weight, bias, *how, *after), count)


def _shuffle_pixels(y: Tensor, count: int) -> Tensor:
    """(N, 4 C, H, W), C = `count`, of four pixels one after the other -> (N, C, 2H, 2W)."""
    y = y.permute(0, 2, 3, 1)
    y = y.unflatten(-1, (2, 2, count)).transpose(2, 3)  # (N, H, 2, W, 2, C)
    shuffled: Tensor = y.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
    return shuffled


def film_activate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Leaky ReLU of x (1 + scale) + shift, with one scale and shift for each channel (FiLM).

    Shape: x (N, C, H, W), scale and shift (N or 1, C) -> (N, C, H, W).
    """
    if len(scale) > 1 or not can_fuse(x, scale):
        scale, shift = scale[..., None, None], shift[..., None, None]
        return activate(torch.addcmul(x + shift, x, scale))
    count = x.shape[1]
    weight, how = (1 + scale).view(count, 1, 1, 1), ([0, 0], [1, 1], [1, 1], count)
    result: Tensor = _FUSED(x, weight, shift.reshape(count), *how, "leaky_relu", [LEAK], "")
    return result


def modulate(affine: nn.Conv2d, seen: Tensor, h: Tensor, weight: float | Tensor = 1.0) -> Tensor:
    """The sum h + w (gamma h + beta), with gamma and beta from a 1x1 convolution of what is seen.

    Shape: seen (N, K, H, W), h (N, C, H, W), w a number or (N, 1, 1, 1) -> (N, C, H, W).
    """
    if isinstance(weight, Tensor) or h.dtype != seen.dtype or not can_fuse(seen, affine.weight):
        gamma, beta = affine(seen).chunk(2, dim=1)
        return h + weight * torch.addcmul(beta, gamma, h)
    weights, biases = affine.weight, affine.bias
    assert biases is not None
    if weight != 1:
        weights, biases = weights * weight, biases * weight
    (to_gamma, to_beta), (gamma_bias, beta_bias) = weights.chunk(2), biases.chunk(2)
    how = ([0, 0], [1, 1], [1, 1], 1)
    # One is not added to gamma's bias: in half precision it would keep but seven bits of it.
    change: Tensor = _FUSED.binary(seen, h, to_gamma, gamma_bias, *how, "mul", None, *_NOTHING)
    _FUSED_IN_PLACE.binary(change, seen, to_beta, beta_bias, *how, "add", 1, *_NOTHING)
    return change.add_(h)


_NOTHING: tuple[None, list[float], None] = (None, [], None)  # follows a second operand


def runs_on_cpu(x: Tensor) -> bool:
    """Whether a network that is given this runs on the CPU as it is written, and learns nothing."""
    return (
        x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.compiler.is_exporting()
    )


def can_fuse(x: Tensor, weight: Tensor) -> bool:
    """Whether the operators may be used on this input of a network, as it runs just now."""
    return (
        _FUSED is not None
        and _FUSED_IN_PLACE is not None
        and runs_on_cpu(x)
        and x.dtype == weight.dtype
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and (x.dtype == torch.float32 or _has_fast_bfloat16(x.dtype))
    )


def _has_fast_bfloat16(dtype: torch.dtype) -> bool:
    return dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
