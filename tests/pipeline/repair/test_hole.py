"""What other frames show counts as far as it is believed; the rim of the hole tells the rest."""

import pytest
import torch
from torch import Tensor

from vsr_cli.models.rim import fill_from_rim
from vsr_cli.pipeline.repair.hole import close_holes
from vsr_cli.pipeline.repair.part import Motion, View

SIZE = (24, 32)
BORNE = 0.05
WEIGHTS = torch.ones(1, 1, 1, 1)


def slope() -> Tensor:
    return (0.2 + 0.5 * torch.arange(32) / 31).expand(1, 1, *SIZE).contiguous()


def hole() -> Tensor:
    mask = torch.zeros(1, 1, *SIZE, dtype=torch.bool)
    mask[..., 8:14, 10:20] = True
    return mask


def closed(error: float) -> Tensor:
    """The first of two frames that stand still, of which the other is off by a checkerboard."""
    y, x = torch.arange(SIZE[0])[:, None], torch.arange(SIZE[1])
    board = slope() + error * ((y + x) % 2 * 2 - 1)
    borne = torch.full((1, 1, *SIZE), BORNE)
    views = {
        0: View(torch.where(hole(), 0.0, slope()), hole(), borne),
        1: View(board, torch.zeros_like(hole()), borne),
    }
    still, seen = torch.zeros(1, 2, *SIZE), torch.ones(1, 1, *SIZE, dtype=torch.bool)
    motions = {0: Motion(still, still, seen, seen)}
    (found,) = close_holes(views, motions, range(1), None, WEIGHTS, "smooth")
    assert found.is_guess.max() == 0
    inside: Tensor = (found.picture - slope())[..., 10:12, 13:17].abs().mean() / max(error, 1e-6)
    return inside


def test_what_agrees_with_the_ring_is_taken_as_it_is() -> None:
    assert closed(0.002) == pytest.approx(1, abs=0.02)


def test_what_agrees_less_is_mixed_with_the_rim() -> None:
    """The rim tells the slope itself, so that less of the error is left."""
    assert closed(0.8 * BORNE) < closed(0.5 * BORNE) < 1
    assert closed(0.95 * BORNE) < 0.93


def test_what_no_frame_shows_is_the_mean_of_two_fills() -> None:
    borne = torch.full((1, 1, *SIZE), BORNE)
    bent = slope() ** 2
    views = {0: View(torch.where(hole(), 0.0, bent), hole(), borne)}
    (found,) = close_holes(views, {}, range(1), None, WEIGHTS, "smooth")
    mask = hole().float()
    telea, ns = (fill_from_rim(bent, mask, method=name) for name in ("telea", "ns"))
    assert not torch.equal(telea, ns)
    torch.testing.assert_close(found.picture, (telea + ns) / 2)
    assert torch.equal(found.is_guess, mask)
