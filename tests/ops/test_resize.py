"""Resizing, padding and cropping: exact sizes, nothing lost."""

import pytest
import torch

from vsr_cli.ops.resize import crop, pad_by_reflection, pad_to_multiple, resize


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (31, 18), (9, 40)])
@pytest.mark.parametrize("leading", [(), (3,), (2, 2, 3)])
def test_resizing_gives_exactly_the_size_asked_for(
    leading: tuple[int, ...], size: tuple[int, int]
) -> None:
    x = torch.full((*leading, 9, 13), 0.3)
    resized = resize(x, size)
    assert resized.shape == (*leading, *size)
    torch.testing.assert_close(resized, torch.full_like(resized, 0.3))


def test_a_ramp_stays_a_ramp() -> None:
    ramp = torch.linspace(-1, 1, 16).expand(8, 16)
    inner = resize(ramp, (16, 32))[:, 8:-8]
    torch.testing.assert_close(inner.diff(dim=1), torch.full((16, 15), 1 / 15), atol=1e-5, rtol=0)


def test_shrinking_does_not_alias() -> None:
    stripes = torch.tensor([1.0, -1.0]).repeat(32).expand(16, 64)
    assert resize(stripes, (4, 16))[:, 2:-2].abs().max() < 0.1


def test_the_same_size_and_type_come_back() -> None:
    x = torch.rand(2, 3, 4).bfloat16()
    assert torch.equal(resize(x, (3, 4)), x)
    assert resize(x, (6, 8)).dtype == torch.bfloat16


@pytest.mark.parametrize("multiple", [1, 2, 8, 64])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 17), (180, 3)])
def test_padding_then_cropping_is_the_identity(size: tuple[int, int], multiple: int) -> None:
    x = torch.rand(1, 2, 3, *size, generator=torch.Generator().manual_seed(0))
    padded = pad_to_multiple(x, multiple)
    assert padded.shape[-2] % multiple == padded.shape[-1] % multiple == 0
    assert padded.shape[-2] - size[0] < multiple > padded.shape[-1] - size[1]
    assert torch.equal(crop(padded, size), x)


def test_padding_repeats_the_edge() -> None:
    padded = pad_to_multiple(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 3)
    assert padded.tolist() == [[1, 2, 2], [3, 4, 4], [3, 4, 4]]


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 1 or more"):
        pad_to_multiple(torch.zeros(2, 2), 0)
    with pytest.raises(ValueError, match=r"cannot crop \(2, 2\) to \(3, 2\)"):
        crop(torch.zeros(2, 2), (3, 2))


@pytest.mark.parametrize("multiple", [1, 2, 8, 64])
@pytest.mark.parametrize("size", [(1, 1), (2, 8), (9, 17), (180, 3)])
def test_mirroring_then_cropping_is_the_identity(size: tuple[int, int], multiple: int) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    padded = pad_by_reflection(x, multiple)
    assert all(side % multiple == 0 for side in padded.shape[-2:])
    assert torch.equal(crop(padded, size), x)


def test_a_border_is_mirrored_without_doubling_it() -> None:
    row = torch.tensor([[0.0, 1.0, 2.0]])
    assert pad_by_reflection(row, 8)[0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert pad_by_reflection(row[:, :1], 4)[0].tolist() == [0, 0, 0, 0]
