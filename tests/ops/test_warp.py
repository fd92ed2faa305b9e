"""Warping along flow: what is looked up, what is splatted, what can be trusted."""

import pytest
import torch
from torch import Tensor

from vsr_cli.ops.warp import (
    _splat_fixed,
    _splat_float,
    backward_warp,
    resize_flow,
    visibility,
    warp_adjoint,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def constant_flow(right: float, down: float, size: tuple[int, int]) -> Tensor:
    """(1, 2, h, w) that points the same way everywhere."""
    return torch.tensor([right, down]).reshape(1, 2, 1, 1).expand(1, 2, *size).clone()


def random_flow(n: int, size: tuple[int, int], *, speed: float, seed: int = 0) -> Tensor:
    return speed * torch.randn(n, 2, *size, generator=seeded(seed))


def test_no_flow_changes_nothing() -> None:
    x = torch.rand(2, 3, 7, 9, generator=seeded(0))
    torch.testing.assert_close(backward_warp(x, torch.zeros(2, 2, 7, 9)), x)


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, 2), (-3, 1)])
def test_whole_pixels_are_looked_up_where_the_flow_points(right: int, down: int) -> None:
    x = torch.rand(1, 2, 12, 16, generator=seeded(0))
    warped = backward_warp(x, constant_flow(right, down, (12, 16)))
    rows = (torch.arange(12) + down).clamp(0, 11)  # the border is repeated
    columns = (torch.arange(16) + right).clamp(0, 15)
    torch.testing.assert_close(warped, x[:, :, rows][..., columns], atol=1e-5, rtol=0)


def test_half_pixels_are_the_mean_of_two() -> None:
    x = torch.rand(1, 1, 4, 6, generator=seeded(0))
    warped = backward_warp(x, constant_flow(0.5, 0, (4, 6)))
    expected = (x[..., :-1] + x[..., 1:]) / 2
    torch.testing.assert_close(warped[..., :-1], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 1)])
def test_single_rows_and_columns_can_be_warped(size: tuple[int, int]) -> None:
    x = torch.rand(1, 2, *size, generator=seeded(0))
    assert backward_warp(x, random_flow(1, size, speed=2.0)).isfinite().all()
    torch.testing.assert_close(backward_warp(x, torch.zeros(1, 2, *size)), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_looked_up_at_full_precision(dtype: torch.dtype) -> None:
    x = torch.rand(1, 2, 8, 300, generator=seeded(0)).to(dtype)
    flow = random_flow(1, (8, 300), speed=3.0)
    warped = backward_warp(x, flow)
    assert warped.dtype == dtype
    assert torch.equal(warped, backward_warp(x.float(), flow).to(dtype))


@pytest.mark.parametrize("speed", [0.0, 0.7, 5.0, 100.0])
@pytest.mark.parametrize("size", [(7, 11), (1, 5), (16, 16)])
def test_adjoint_is_the_transpose_of_the_warp(size: tuple[int, int], speed: float) -> None:
    x, y = torch.randn(2, 3, 4, *size, generator=seeded(1), dtype=torch.float64)
    flow = random_flow(3, size, speed=speed).double()
    warped_then = (backward_warp(x, flow) * y).sum()
    splatted_then = (x * warp_adjoint(y, flow)).sum()
    torch.testing.assert_close(warped_then, splatted_then, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("speed", [0.0, 0.7, 5.0, 100.0])
def test_with_zeros_outside_the_adjoint_is_the_transpose_as_well(speed: float) -> None:
    x, y = torch.randn(2, 3, 4, 7, 11, generator=seeded(1), dtype=torch.float64)
    flow = random_flow(3, (7, 11), speed=speed).double()
    warped_then = (backward_warp(x, flow, outside="zeros") * y).sum()
    splatted_then = (x * warp_adjoint(y, flow, outside="zeros")).sum()
    torch.testing.assert_close(warped_then, splatted_then, atol=1e-9, rtol=1e-9)


def test_flow_that_leaves_the_frame_finds_zeros_if_asked() -> None:
    x, far = torch.ones(1, 1, 4, 6), constant_flow(3.0, 0.0, (4, 6))
    assert backward_warp(x, far).eq(1).all()
    assert backward_warp(x, far, outside="zeros")[0, 0, 0].tolist() == [1, 1, 1, 0, 0, 0]


def test_adjoint_keeps_the_total() -> None:
    y = torch.rand(2, 3, 9, 9, generator=seeded(0))
    splatted = warp_adjoint(y, random_flow(2, (9, 9), speed=4.0))
    torch.testing.assert_close(splatted.sum((2, 3)), y.sum((2, 3)), atol=1e-4, rtol=1e-5)


def test_fixed_point_sums_equal_float_sums_and_ignore_order() -> None:
    y = 50 * torch.randn(1, 2, 300, generator=seeded(0))
    index = torch.randint(0, 20, (1, 300), generator=seeded(1))
    weight = torch.rand(1, 300, generator=seeded(2))
    fixed = _splat_fixed(y, [index], [weight])
    torch.testing.assert_close(fixed, _splat_float(y, [index], [weight]), atol=1e-3, rtol=1e-5)
    order = torch.randperm(300, generator=seeded(3))
    shuffled = _splat_fixed(y[..., order], [index[:, order]], [weight[:, order]])
    assert torch.equal(fixed, shuffled)
    assert torch.equal(_splat_fixed(y * 0, [index], [weight]), torch.zeros_like(y))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 4\) and \(1, 2, 4, 5\)"):
        backward_warp(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 5))
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 4\) and \(2, 2, 4, 4\)"):
        warp_adjoint(torch.zeros(1, 3, 4, 4), torch.zeros(2, 2, 4, 4))


@pytest.mark.parametrize("size", [(6, 10), (24, 20), (13, 7)])
def test_resizing_a_flow_scales_each_direction_by_its_own_side(size: tuple[int, int]) -> None:
    flow = constant_flow(3.0, -2.0, (12, 20))
    resized = resize_flow(flow[None].bfloat16(), size)
    assert resized.shape == (1, 1, 2, *size)
    expected = constant_flow(3.0 * size[1] / 20, -2.0 * size[0] / 12, size)
    torch.testing.assert_close(resized[0], expected)


def test_a_uniform_shift_is_visible_until_it_leaves_the_frame() -> None:
    flow = constant_flow(3.0, -1.0, (8, 12))
    visible_forward, visible_backward = visibility(flow, -flow)
    expected = torch.zeros(1, 1, 8, 12)
    expected[..., 1:, :-3] = 1
    assert torch.equal(visible_forward, expected)
    assert torch.equal(visible_backward, expected.flip(2, 3))


@pytest.mark.parametrize(
    ("gap", "is_visible"), [(0.0, True), (0.693, True), (0.694, False), (1.0, False), (5.0, False)]
)
@pytest.mark.parametrize("direction", [0, 1])
def test_there_and_back_may_miss_by_half_a_pixel_and_a_hundredth_of_the_way(
    direction: int, gap: float, is_visible: bool
) -> None:
    # 10 pixels there and 10 - gap back: at a gap of 0.6931 the miss is 0.01 (20 - gap) + 0.5.
    there, back = torch.zeros(2, 1, 2, 40, 40)
    there[:, direction], back[:, direction] = 10.0, gap - 10.0
    visible, _ = visibility(there, back)
    assert (visible[0, 0, 5, 5] == 1) == is_visible


def test_what_an_object_covers_is_invisible_and_the_rest_is_not() -> None:
    flow_forward, flow_backward = torch.zeros(2, 1, 2, 8, 32)
    flow_forward[:, 0, :, 8:14] = 6.0  # an object from columns 8-13 to 14-19, all else rests
    flow_backward[:, 0, :, 14:20] = -6.0
    visible_forward, visible_backward = visibility(flow_forward, flow_backward)
    covered, uncovered = torch.ones(2, 1, 1, 8, 32)
    covered[..., 14:20] = 0
    uncovered[..., 8:14] = 0
    assert torch.equal(visible_forward, covered)
    assert torch.equal(visible_backward, uncovered)


def test_visibility_keeps_batch_and_time() -> None:
    flow = torch.zeros(2, 3, 2, 4, 5)
    for visible in visibility(flow, flow):
        assert visible.shape == (2, 3, 1, 4, 5)
        assert visible.dtype == torch.float32
    with pytest.raises(ValueError, match="differ in shape"):
        visibility(flow, flow[:1])


@pytest.mark.gpu
def test_adjoint_on_the_gpu_is_that_of_the_cpu_and_repeats_bit_for_bit() -> None:
    y = torch.randn(2, 3, 40, 50, generator=seeded(0))
    flow = random_flow(2, (40, 50), speed=5.0)
    first, second = (warp_adjoint(y.cuda(), flow.cuda()).cpu() for _ in range(2))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, warp_adjoint(y, flow), atol=1e-4, rtol=1e-4)
