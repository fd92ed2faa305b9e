"""Convolutions in 8-bit integers against the same in floats."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vsr_cli.ops import int8
from vsr_cli.ops.flops import FLOP_FORMULAS
from vsr_cli.ops.int8 import (
    Int8Filters,
    agrees_with_floats,
    convolve_add_int8,
    convolve_int8,
    round_filters,
)
from vsr_cli.ops.precision import has_int8

pytestmark = pytest.mark.skipif(not has_int8(), reason="this CPU has no instructions for it")

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT = 0.1 * torch.randn(24, 32, 3, 3, generator=GENERATOR)
BIAS = torch.randn(24, generator=GENERATOR)
X = torch.randn(2, 32, 9, 14, generator=GENERATOR).to(memory_format=torch.channels_last)


def ranges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.amin(dim=(0, 2, 3)).clamp_max(0), x.amax(dim=(0, 2, 3)).clamp_min(0)


def rounded(x: Tensor, *, stride: int = 1, padding: int = 0) -> Int8Filters:
    return round_filters(WEIGHT, BIAS, *ranges(x), stride=stride, padding=padding)


def relative_error(found: Tensor, wanted: Tensor) -> float:
    return float((found.float() - wanted).norm() / (wanted - BIAS[:, None, None]).norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stride", [1, 2])
def test_it_is_a_convolution_but_for_a_hundredth(dtype: torch.dtype, stride: int) -> None:
    found = convolve_int8(rounded(X, stride=stride, padding=1), X.to(dtype))
    wanted = F.conv2d(X, WEIGHT, BIAS, stride=stride, padding=1)
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert 0 < relative_error(found, wanted) < 0.02


def test_channels_of_very_different_size_are_all_seen() -> None:
    sizes = torch.logspace(-1, 1, 32)[:, None, None]
    x = (X * sizes).contiguous(memory_format=torch.channels_last)
    weight = WEIGHT / sizes
    found = convolve_int8(round_filters(weight, BIAS, *ranges(x)), x)
    # With one range for all, the smallest channels would be rounded away: the error is 0.15.
    assert relative_error(found, F.conv2d(x, weight, BIAS)) < 0.03


def test_what_lies_outside_the_range_is_clamped() -> None:
    filters = rounded(X)
    assert relative_error(convolve_int8(filters, 3 * X), F.conv2d(3 * X, WEIGHT, BIAS)) > 0.1
    assert torch.equal(convolve_int8(filters, 1e6 * X), convolve_int8(filters, 1e7 * X))


def test_the_sum_is_written_over_the_other() -> None:
    other = torch.randn(2, 24, 7, 12, generator=GENERATOR).to(memory_format=torch.channels_last)
    wanted = other + convolve_int8(rounded(X), X)
    found = convolve_add_int8(rounded(X), X, other)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(other, wanted)


def test_a_part_gives_what_the_whole_gives() -> None:
    filters = rounded(X)
    part = convolve_int8(filters, X[:1, :, 2:, 3:])
    assert torch.equal(part, convolve_int8(filters, X)[:1, :, 2:, 3:])


def test_products_are_counted_as_those_of_floats() -> None:
    filters = rounded(X)
    with FlopCounterMode(display=False, custom_mapping={**FLOP_FORMULAS}) as counter:
        result = convolve_int8(filters, X)
    # Scaling before rounding is a product for each input.
    assert counter.get_total_flops() == 2 * (9 * 32 * result.numel() + X.numel())


class Strange:
    """An operator of another version of torch."""

    def __init__(self, result: Tensor | Exception) -> None:
        self.result = result

    def binary(self, *_: object) -> Tensor:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.mark.parametrize(
    "operator",
    [
        pytest.param(None, id="absent"),
        pytest.param(Strange(RuntimeError("expected at most 7 arguments")), id="other arguments"),
        pytest.param(Strange(torch.zeros(1, 32, 8, 8)), id="other results"),
    ],
)
def test_operators_that_are_not_what_they_were_are_not_used(
    monkeypatch: pytest.MonkeyPatch, operator: object
) -> None:
    assert agrees_with_floats()
    agrees_with_floats.cache_clear()
    monkeypatch.setattr(int8, "_CONVOLVE", operator)
    assert not agrees_with_floats()
    agrees_with_floats.cache_clear()
