"""What operators cost that torch's own count leaves out."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

# Convolutions with what follows them, and the same written over their second operand: torch's own
# compiler calls them. Not all builds have them.
FUSED_CONVOLUTIONS: tuple[Any, Any] = (
    getattr(torch.ops.mkldnn, "_convolution_pointwise", None),
    getattr(torch.ops.mkldnn, "_convolution_pointwise_", None),
)
# The same in 8-bit integers: what packs weights, and what convolves.
INT8_CONVOLUTIONS: tuple[Any, Any] = (
    getattr(torch.ops.onednn, "qconv_prepack", None),
    getattr(torch.ops.onednn, "qconv2d_pointwise", None),
)


def _count_convolution(*shapes: Sequence[int], out_shape: Sequence[int], **_: object) -> int:
    """What torch counts for a convolution, two for each product, from the operators' arguments."""
    weight = shapes[2] if len(shapes[2] or ()) == 4 else shapes[1]
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def _count_int8_convolution(
    x: Sequence[int],
    input_scale: float,
    input_zero: int,
    filters: Sequence[int],
    *_: object,
    out_shape: Sequence[int],
    **__: object,
) -> int:
    """The same, of filters (C_out, C_in, k, k), whatever the order that they are packed in."""
    return 2 * math.prod(out_shape) * math.prod(filters[1:])


# `custom_mapping` of `torch.utils.flop_counter.FlopCounterMode`.
FLOP_FORMULAS: Mapping[Any, Callable[..., int]] = {
    operator: count
    for operators, count in (
        (FUSED_CONVOLUTIONS, _count_convolution),
        (INT8_CONVOLUTIONS[1:], _count_int8_convolution),
    )
    for operator in operators
    if operator is not None
}
