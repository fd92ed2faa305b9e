"""Windows of one axis: they cover it, and merging them loses nothing."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vsr_cli.ops.windows import (
    Grid,
    TileSum,
    Window,
    fade_weights,
    gaussian_weights,
    plan_windows,
    step_windows,
)


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, int, int]:
    """(length, size, overlap), all that `plan_windows` accepts."""
    size = draw(st.integers(1, 40))
    return draw(st.integers(1, 200)), size, draw(st.integers(0, size - 1))


@given(plans())
def test_windows_cover_the_axis_with_the_overlap_asked_for(plan: tuple[int, int, int]) -> None:
    length, size, overlap = plan
    windows = plan_windows(length, size, overlap)
    assert windows[0].start == 0
    assert windows[-1].stop == length
    assert all(window.size == min(size, length) for window in windows)
    assert all(left.stop - right.start >= overlap for left, right in pairwise(windows))
    assert all(left.start < right.start for left, right in pairwise(windows))


@given(plans())
def test_no_fewer_windows_would_do(plan: tuple[int, int, int]) -> None:
    length, size, overlap = plan
    num_fewer = len(plan_windows(*plan)) - 1
    assert num_fewer == 0 or num_fewer * (size - overlap) + overlap < length


@given(plans())
def test_weights_are_positive_and_sum_to_one_everywhere(plan: tuple[int, int, int]) -> None:
    windows = plan_windows(*plan)
    total = torch.zeros(plan[0])
    for window, weight in zip(windows, fade_weights(windows), strict=True):
        assert weight.dtype == torch.float32
        assert (weight > 0).all()
        total[window.start : window.stop] += weight
    torch.testing.assert_close(total, torch.ones_like(total))


@given(plans())
def test_cutting_then_merging_is_the_identity(plan: tuple[int, int, int]) -> None:
    x = torch.rand(2, plan[0], 3, generator=torch.Generator().manual_seed(0))
    grid = row_of(plan_windows(*plan), 3)
    torch.testing.assert_close(grid.merge(grid.cut(x)), x)


def row_of(windows: list[Window], width: int) -> Grid:
    """Tiles one below the other."""
    return Grid(tuple(windows), (Window(0, width),))


def test_tiles_are_windows_in_y_times_windows_in_x() -> None:
    x = torch.rand(1, 4, 30, 50, generator=torch.Generator().manual_seed(0))
    rows, columns = plan_windows(30, 12, 4), plan_windows(50, 16, 5)
    pieces = [column.cut(row.cut(x, dim=-2), dim=-1) for row in rows for column in columns]
    torch.testing.assert_close(Grid(tuple(rows), tuple(columns)).merge(iter(pieces)), x)


def test_pieces_that_disagree_fade_into_each_other() -> None:
    windows = plan_windows(14, 8, 2)
    merged = row_of(windows, 1).merge([torch.zeros(8, 1), torch.ones(8, 1)])
    assert merged[:, 0].tolist() == [0] * 6 + [0.25, 0.75] + [1] * 6


def test_a_short_axis_is_one_window() -> None:
    assert plan_windows(5, 8, 3) == [Window(0, 5)]


def test_half_precision_is_merged_in_full_precision() -> None:
    windows = plan_windows(100, 10, 9)
    merged = row_of(windows, 1).merge([torch.full((10, 1), 0.3).half()] * len(windows))
    assert merged.dtype == torch.float16
    torch.testing.assert_close(merged, torch.full((100, 1), 0.3).half(), atol=0, rtol=1e-3)


@pytest.mark.parametrize(("length", "size", "overlap"), [(0, 4, 1), (9, 4, 4), (9, 4, -1)])
def test_impossible_plans_are_refused(length: int, size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=f"got {length}, {overlap} and {size}"):
        plan_windows(length, size, overlap)


def test_pieces_that_do_not_fit_their_window_are_refused() -> None:
    grid = row_of(plan_windows(10, 6, 2), 2)
    with pytest.raises(ValueError, match=r"expected a tile of \(6, 2\)"):
        grid.merge([torch.zeros(5, 2), torch.zeros(6, 2)])
    with pytest.raises(ValueError, match="expected 2 tiles, got 1"):
        grid.merge([torch.zeros(6, 2)])
    with pytest.raises(ValueError, match="expected 2 tiles, got 0"):
        TileSum(grid).whole()
    with pytest.raises(ValueError, match="start < stop"):
        Window(3, 3)


@pytest.mark.parametrize(
    ("length", "size", "stride", "starts"),
    [
        (28, 16, 8, [0, 8, 12]),
        (32, 16, 8, [0, 8, 16]),
        (16, 16, 8, [0]),
        (9, 16, 8, [0]),
        (1710, 960, 750, [0, 750]),
        (1711, 960, 750, [0, 750, 751]),
        (2000, 960, 750, [0, 750, 1040]),
    ],
)
def test_stepped_windows_begin_every_stride_and_end_flush(
    length: int, size: int, stride: int, starts: list[int]
) -> None:
    windows = step_windows(length, size, stride)
    assert [window.start for window in windows] == starts
    assert windows[-1].stop == length
    assert {window.size for window in windows} == {min(size, length)}


def test_a_stride_that_leaves_gaps_is_refused() -> None:
    with pytest.raises(ValueError, match="1 <= stride <= size"):
        step_windows(30, 8, 9)


def test_the_bell_of_published_tiles_is_a_tenth_of_a_tile_wide() -> None:
    bell = gaussian_weights(100, 50)
    assert bell[50].item() == pytest.approx(1 / math.sqrt(2 * math.pi * 0.01))
    assert (bell[40] / bell[50]).item() == pytest.approx(math.exp(-1 / 2))
    assert torch.equal(bell[30:50], bell[51:71].flip(0))


def test_a_finer_grid_has_the_same_tiles_and_ends_where_the_plane_does() -> None:
    grid = Grid.plan((10, 7), 6, 2)
    finer = grid.scaled(4, within=(37, 28))
    assert finer.rows == (Window(0, 24), Window(16, 37))
    assert finer.columns == (Window(0, 24), Window(4, 28))
    assert grid.scaled(4).rows[-1] == Window(16, 40)


def test_blended_tiles_give_the_plane_back_whatever_the_weight() -> None:
    plane = torch.rand(2, 3, 21, 30, generator=torch.Generator().manual_seed(0))
    grid = Grid.step((21, 30), 8, 5)
    weight = torch.outer(gaussian_weights(8, 4), gaussian_weights(8, 3.5))
    torch.testing.assert_close(grid.blend(grid.cut(plane), weight), plane)
    halves = [tile * (index % 2) for index, tile in enumerate(grid.cut(plane))]
    blended = grid.blend(halves, weight)
    assert (blended <= plane + 1e-6).all()
    assert 0.2 < (blended / plane).mean() < 0.8
