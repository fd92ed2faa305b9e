"""Colour matching: colours of the input, detail of the network, no seams and no pumping."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_cli.ops.color import luma, match_mean_std, match_wavelet, wavelet
from vsr_cli.ops.resize import resize

Match = Callable[[Tensor, Tensor], Tensor]
both = pytest.mark.parametrize("match", [match_wavelet, match_mean_std])


def lr_frames(num_frames: int = 2, size: tuple[int, int] = (24, 32)) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, num_frames, 3, *size, generator=generator) - 0.5


def enlarged(frames: Tensor) -> Tensor:
    return frames.repeat_interleave(4, -2).repeat_interleave(4, -1)


def detail(frames: Tensor) -> Tensor:
    """What an enlargement may add: a checkerboard that vanishes at LR size."""
    rows, columns = torch.arange(frames.shape[-2]), torch.arange(frames.shape[-1])
    return 0.2 * (-1.0) ** (rows[:, None] + columns)


@both
def test_frames_that_already_match_are_left_alone(match: Match) -> None:
    lr = lr_frames()
    sr = enlarged(lr) + detail(enlarged(lr))
    torch.testing.assert_close(match(sr, lr), sr, atol=1e-4, rtol=0)


@both
def test_a_colour_cast_is_removed_and_detail_is_kept(match: Match) -> None:
    lr = lr_frames()
    clean = enlarged(lr) + detail(enlarged(lr))
    cast = torch.tensor([0.2, -0.1, 0.05])[:, None, None]
    torch.testing.assert_close(match(clean + cast, lr), clean, atol=1e-4, rtol=0)


def test_mean_and_contrast_become_those_of_the_input() -> None:
    lr = lr_frames()
    matched = match_mean_std(enlarged(lr) * 0.5 + 0.2, lr)
    small = F.avg_pool2d(matched.flatten(0, 1), 4)
    torch.testing.assert_close(small.mean((2, 3)), lr.flatten(0, 1).mean((2, 3)))
    std = small.std((2, 3)) / lr.flatten(0, 1).std((2, 3))
    torch.testing.assert_close(std, torch.ones_like(std), atol=0.03, rtol=0)


def test_a_flat_frame_stays_finite() -> None:
    matched = match_mean_std(torch.zeros(1, 3, 16, 16), torch.full((1, 3, 4, 4), 0.5))
    torch.testing.assert_close(matched, torch.full((1, 3, 16, 16), 0.5))


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_luma_is_that_of_bt601(channel: int) -> None:
    frames = torch.zeros(2, 3, 4, 4)
    frames[:, channel] = 1
    expected = torch.full((2, 1, 4, 4), (0.299, 0.587, 0.114)[channel])
    torch.testing.assert_close(luma(frames), expected)


def test_detail_on_a_flat_frame_keeps_its_strength() -> None:
    flat = torch.full((1, 1, 3, 16, 20), 0.3)
    sr = enlarged(flat) + detail(enlarged(flat))
    torch.testing.assert_close(match_mean_std(sr, flat), sr, atol=1e-5, rtol=0)


def spread(frames: Tensor) -> float:
    """Standard deviation, in pixels, of what one bright spot has become along a row."""
    row = frames[0, 0, 0].double().sum(0) if frames.ndim == 5 else frames[0, 0].double().sum(0)
    places = torch.arange(len(row))
    mean = (places * row).sum() / row.sum()
    return float(((places - mean).square() * row).sum().div(row.sum()).sqrt())


def test_the_cheap_wavelet_is_as_wide_as_the_five_levels_it_stands_for() -> None:
    spot = torch.zeros(1, 1, 3, 64, 64)
    spot[..., 32, 32] = 1
    cheap = match_wavelet(torch.zeros(1, 1, 3, 256, 256), spot)
    large = torch.zeros(1, 3, 256, 256)
    large[..., 128, 128] = 1
    published = wavelet(torch.zeros_like(large), large)
    # Level k has the variance 4^k / 2, and variances add up.
    assert spread(published) == pytest.approx(math.sqrt(sum(4**k / 2 for k in range(5))))
    assert spread(cheap) == pytest.approx(spread(published), rel=0.03)


def test_wavelet_removes_a_slow_gradient_of_colour() -> None:
    lr = lr_frames(1, (40, 40))
    drift = torch.linspace(-0.3, 0.3, 160).expand(160, 160)
    matched = match_wavelet(enlarged(lr) + drift, lr)
    inner = slice(48, -48)
    gap = (matched - enlarged(lr))[..., inner, inner]
    torch.testing.assert_close(gap, torch.zeros_like(gap), atol=1e-2, rtol=0)


def test_wavelet_of_a_tile_is_the_tile_of_the_wavelet() -> None:
    lr = lr_frames(1, (60, 64))
    sr = resize(lr, (240, 256)) * 0.7 + 0.1
    whole = match_wavelet(sr, lr)
    tile = match_wavelet(sr[..., 160:], lr[..., 40:])
    reach = 4 * 12  # of the blur, at the output size
    torch.testing.assert_close(tile[..., reach:], whole[..., 160 + reach :], atol=1e-5, rtol=0)


@both
def test_a_frame_does_not_depend_on_the_clip_around_it(match: Match) -> None:
    lr = lr_frames(3)
    sr = enlarged(lr) * 0.8
    torch.testing.assert_close(match(sr[:, 1:2], lr[:, 1:2]), match(sr, lr)[:, 1:2])


@both
@pytest.mark.parametrize("size", [(96, 128), (48, 64), (101, 77)])
def test_any_size_and_type_come_back(match: Match, size: tuple[int, int]) -> None:
    sr = torch.zeros(1, 2, 3, *size, dtype=torch.bfloat16)
    matched = match(sr, lr_frames())
    assert matched.shape == sr.shape
    assert matched.dtype == torch.bfloat16


@both
def test_clips_of_other_lengths_are_refused(match: Match) -> None:
    with pytest.raises(ValueError, match="equal leading dimensions"):
        match(torch.zeros(1, 2, 3, 8, 8), torch.zeros(1, 3, 3, 2, 2))
