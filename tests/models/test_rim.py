"""Holes closed from their rim, in samples as coarse as they are stored."""

import pytest
import torch
from torch import Tensor

from vsr_cli.models.rim import fill_from_rim


def picture(size: tuple[int, int] = (40, 60)) -> Tensor:
    """Three channels that rise along x, the last two in cells of 2 x 2."""
    x = torch.linspace(0.2, 0.8, size[1] + 1)[: size[1]].expand(1, 3, *size).clone()
    coarse = x[:, 1:, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)
    x[:, 1:] = coarse[..., : size[0], : size[1]]
    return x


def hole(rows: slice, columns: slice, size: tuple[int, int] = (40, 60)) -> Tensor:
    mask = torch.zeros(1, 1, *size)
    mask[..., rows, columns] = 1
    return mask


@pytest.mark.parametrize("method", ["telea", "ns"])
@pytest.mark.parametrize(
    "place",
    [(slice(11, 20), slice(21, 30)), (slice(0, 9), slice(0, 7)), (slice(33, 41), slice(50, 61))],
)
def test_coarse_samples_are_filled_as_fine_ones_are(
    method: str, place: tuple[slice, slice]
) -> None:
    size = (41, 61)
    x, mask = picture(size), hole(*place, size)
    spoilt = torch.where(mask > 0, 0.0, x)
    fine = fill_from_rim(spoilt, mask, method=method)  # type: ignore[arg-type]
    coarse = fill_from_rim(spoilt, mask, method=method, cell=(2, 2))  # type: ignore[arg-type]
    assert torch.equal(fine[:, :1], coarse[:, :1])
    assert torch.equal(torch.where(mask > 0, x, coarse), x)  # nothing else is touched
    assert float((coarse - fine).abs().max()) < 0.08


def test_a_sample_that_a_hole_touches_is_no_part_of_its_rim() -> None:
    """What is hidden has coloured the whole sample, not only the pixels of the mask."""
    x, mask = picture(), hole(slice(11, 20), slice(21, 30))
    touched = torch.zeros_like(mask)
    touched[..., 10:20, 20:30] = 1
    spoilt = torch.where((touched > 0) & (torch.arange(3) > 0)[:, None, None], 1.0, x)
    assert float((fill_from_rim(spoilt, mask, cell=(2, 2)) - x)[:, 1:, 11:20, 21:30].max()) < 0.05
    assert float((fill_from_rim(spoilt, mask) - x)[:, 1:, 11:20, 21:30].max()) > 0.1


def test_far_away_nothing_is_looked_at() -> None:
    x, mask = picture(), hole(slice(18, 22), slice(28, 34))
    other = x.clone()
    other[..., :8, :] = 1
    other[..., -8:, :] = 1
    for method in ("telea", "ns"):
        found, same = (fill_from_rim(y, mask, method=method) for y in (x, other))
        assert torch.equal(found[..., 18:22, 28:34], same[..., 18:22, 28:34])


def test_no_hole_changes_nothing() -> None:
    x = picture()
    assert torch.equal(fill_from_rim(x, torch.zeros(1, 1, 40, 60)), x)
