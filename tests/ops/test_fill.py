import pytest
import torch

from vsr_cli.ops.fill import complete, grow, spread


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_what_is_known_stays_and_a_constant_spreads_everywhere() -> None:
    known = (torch.rand(1, 1, 37, 51, generator=seeded(0)) > 0.95).float()
    x = torch.rand(1, 2, 37, 51, generator=seeded(1))
    found = spread(x, known)
    assert torch.allclose(found[known.expand_as(x) > 0], x[known.expand_as(x) > 0])
    flat = spread(torch.full_like(x, 0.3), known)
    assert torch.allclose(flat, torch.full_like(x, 0.3), atol=1e-5)


def test_unknown_values_have_no_say() -> None:
    known = torch.ones(1, 1, 16, 16)
    known[..., 4:12, 4:12] = 0
    x = torch.rand(1, 1, 16, 16, generator=seeded(0))
    other = torch.where(known > 0, x, 1e6)
    assert torch.allclose(spread(x, known), spread(other, known))
    assert torch.equal(spread(x, torch.zeros_like(known)), torch.zeros_like(x))


@pytest.mark.parametrize("place", [(10, 10), (0, 0), (22, 30)])
def test_a_slope_is_completed_as_a_slope(place: tuple[int, int]) -> None:
    """A linear function solves Laplace's equation; where the hole meets an edge it levels off."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    slope = (0.5 * x - 0.25 * y)[None, None]
    hole = torch.zeros(1, 1, 32, 40)
    hole[..., place[0] : place[0] + 10, place[1] : place[1] + 10] = 1
    found = complete(torch.where(hole > 0, -99.0, slope), hole)
    assert torch.equal(found[hole == 0], slope[hole == 0])
    assert slope.min() <= found.min() <= found.max() <= slope.max()
    if place == (10, 10):
        assert float((found - slope).abs().max()) < 0.3


def test_a_mask_grows_by_a_square() -> None:
    mask = torch.zeros(1, 1, 20, 20)
    mask[..., 9, 12] = 1
    expected = torch.zeros_like(mask)
    expected[..., 6:13, 9:16] = 1
    assert torch.equal(grow(mask, 3), expected)
    assert torch.equal(grow(mask, 0), mask)
