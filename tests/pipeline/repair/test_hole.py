"""What other frames show counts as far as it is believed; the rim of the hole tells the rest."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from vsr_cli.models.rim import fill_from_rim
from vsr_cli.pipeline.repair.hole import close_holes
from vsr_cli.pipeline.repair.part import Motion, View

SIZE = (24, 32)
BORNE = 0.05
WEIGHTS = torch.ones(1, 1, 1, 1)


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def slope() -> Tensor:
    return (0.2 + 0.5 * torch.arange(32) / 31).expand(1, 1, *SIZE).contiguous()


def hole() -> Tensor:
    mask = torch.zeros(1, 1, *SIZE, dtype=torch.bool)
    mask[..., 8:14, 10:20] = True
    return mask


def seen(picture: Tensor) -> View:
    """A view of a picture whose hole is roughly filled, as `make_view` leaves it."""
    return View(fill_from_rim(picture, hole()), hole(), torch.full((1, 1, *SIZE), BORNE))


def closed(error: float, pool: Executor) -> Tensor:
    """The first of two frames that stand still, of which the other is off by a checkerboard."""
    y, x = torch.arange(SIZE[0])[:, None], torch.arange(SIZE[1])
    board = slope() + error * ((y + x) % 2 * 2 - 1)
    whole = View(board, torch.zeros_like(hole()), torch.full((1, 1, *SIZE), BORNE))
    views = {0: seen(slope()), 1: whole}
    still, visible = torch.zeros(1, 2, *SIZE), torch.ones(1, 1, *SIZE, dtype=torch.bool)
    motions = {0: Motion(still, still, visible, visible)}
    (found,) = close_holes(views, motions, range(1), None, WEIGHTS, "smooth", pool)
    assert found.is_guess.max() == 0
    inside: Tensor = (found.picture - slope())[..., 10:12, 13:17].abs().mean() / max(error, 1e-6)
    return inside


def test_what_agrees_with_the_ring_is_taken_as_it_is(pool: Executor) -> None:
    assert closed(0.002, pool) == pytest.approx(1, abs=0.02)


def test_what_agrees_less_is_mixed_with_the_rim(pool: Executor) -> None:
    """The rim tells the slope itself, so that less of the error is left."""
    assert closed(0.8 * BORNE, pool) < closed(0.5 * BORNE, pool) < 1
    assert closed(0.95 * BORNE, pool) < 0.93


def test_what_no_frame_shows_is_the_mean_of_two_fills(pool: Executor) -> None:
    bent = slope() ** 2
    views = {0: seen(bent)}
    (found,) = close_holes(views, {}, range(1), None, WEIGHTS, "smooth", pool)
    mask = hole().float()
    telea, ns = (fill_from_rim(bent, mask, method=name) for name in ("telea", "ns"))
    assert not torch.equal(telea, ns)
    torch.testing.assert_close(found.picture, (telea + ns) / 2)
    assert torch.equal(found.is_guess, mask)
