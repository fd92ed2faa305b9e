"""Blur, noise and JPEG."""

import math

import pytest
import torch
from torch import Tensor

from vsr_cli.ops.color import luma
from vsr_cli.quality.distortions import (
    KernelShape,
    Noise,
    add_noise,
    blur,
    gaussian_kernels,
    jpeg,
    sinc_kernels,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_frames(num_frames: int, height: int, width: int) -> Tensor:
    x, y = torch.arange(width) / 30, torch.arange(height)[:, None] / 40
    waves = [torch.sin(x + y + phase) for phase in range(3)]
    return (torch.stack(waves) * 0.3 + 0.5).expand(num_frames, -1, -1, -1).clone()


@pytest.mark.parametrize("shape", ["gaussian", "generalised", "plateau"])
@pytest.mark.parametrize("size", [7, 21])
def test_bells_sum_to_one_and_are_even(shape: KernelShape, size: int) -> None:
    sigma_x, sigma_y = torch.tensor([0.2, 3.0]), torch.tensor([0.2, 1.0])
    kernels = gaussian_kernels(
        size, sigma_x, sigma_y, torch.tensor([0.0, 0.7]), shape=shape, beta=0.7
    )
    torch.testing.assert_close(kernels.sum(dim=(1, 2)), torch.ones(2))
    torch.testing.assert_close(kernels, kernels.flip(1, 2))


def test_a_gaussian_has_the_width_it_was_asked_for() -> None:
    sigma_x, sigma_y = torch.tensor([2.0]), torch.tensor([1.0])
    kernel = gaussian_kernels(21, sigma_x, sigma_y, torch.zeros(1))[0]
    squares = (torch.arange(21.0) - 10) ** 2
    torch.testing.assert_close((kernel.sum(dim=0) * squares).sum().sqrt(), torch.tensor(2.0))
    torch.testing.assert_close(
        (kernel.sum(dim=1) * squares).sum().sqrt(), torch.tensor(1.0), atol=1e-3, rtol=0
    )


def test_a_quarter_turn_swaps_the_axes_of_a_bell() -> None:
    sigmas = torch.tensor([2.0]), torch.tensor([0.8])
    flat = gaussian_kernels(13, *sigmas, torch.zeros(1))
    turned = gaussian_kernels(13, *sigmas, torch.tensor([math.pi / 2]))
    torch.testing.assert_close(turned, flat.transpose(1, 2))


def test_sinc_kernels_sum_to_one_and_ring() -> None:
    kernels = sinc_kernels(21, torch.tensor([math.pi / 3, math.pi / 2]))
    torch.testing.assert_close(kernels.sum(dim=(1, 2)), torch.ones(2))
    assert kernels.amin(dim=(1, 2)).max() < 0
    assert (kernels.flatten(1).argmax(dim=1) == 10 * 21 + 10).all()


def test_a_sinc_stops_the_wave_above_its_cutoff_and_passes_the_one_below() -> None:
    x = torch.arange(64.0)
    low, high = torch.sin(0.4 * x), torch.sin(2.6 * x)
    frames = torch.stack([low, high])[:, None, None].expand(-1, 3, 64, -1)
    passed = blur(frames, sinc_kernels(21, torch.full((2,), 1.5)))[..., 16:-16, 16:-16]
    kept = passed.square().mean(dim=(1, 2, 3)).sqrt() / math.sqrt(0.5)
    assert kept[0] > 0.9
    assert kept[1] < 0.1


@pytest.mark.parametrize("size", [(24, 31), (5, 40)])
def test_blurring_with_a_single_point_changes_nothing(size: tuple[int, int]) -> None:
    frames = torch.rand(2, 3, *size, generator=seeded(0))
    point = torch.zeros(2, 9, 9)
    point[:, 4, 4] = 1
    torch.testing.assert_close(blur(frames, point), frames, atol=1e-5, rtol=0)


def test_each_frame_is_convolved_with_its_own_kernel() -> None:
    frames = torch.zeros(2, 3, 15, 15)
    frames[:, :, 7, 7] = 1
    kernels = torch.rand(2, 7, 7, generator=seeded(1))
    spread = blur(frames, kernels)[:, :, 4:11, 4:11]
    torch.testing.assert_close(spread, kernels[:, None].expand(-1, 3, -1, -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("is_grey", [True, False])
def test_gaussian_noise_has_the_strength_of_its_frame(is_grey: bool) -> None:
    noise = Noise(strength=torch.tensor([4.0, 20.0]), is_poisson=False, is_grey=is_grey)
    grain = add_noise(torch.full((2, 3, 96, 96), 0.5), noise, seeded(0)) - 0.5
    torch.testing.assert_close(grain.flatten(1).std(dim=1) * 255, noise.strength, rtol=0.05, atol=0)
    assert torch.equal(grain[:, 0], grain[:, 1]) == is_grey


def test_poisson_noise_grows_with_the_root_of_the_light() -> None:
    frames = torch.tensor([0.2, 0.8])[:, None, None, None].expand(2, 3, 96, 96)
    noise = Noise(strength=torch.ones(2), is_poisson=True, is_grey=False)
    grain = (add_noise(frames, noise, seeded(0)) - frames).flatten(1).std(dim=1)
    torch.testing.assert_close(grain, (frames[:, 0, 0, 0] / 255).sqrt(), rtol=0.05, atol=0)


def test_jpeg_of_the_best_quality_is_nearly_the_identity() -> None:
    frames = smooth_frames(2, 40, 56)
    assert (jpeg(frames, torch.tensor([100.0, 100.0])) - frames).abs().max() < 3.5 / 255


def test_jpeg_loses_more_as_its_quality_falls() -> None:
    frames = torch.rand(3, 3, 32, 32, generator=seeded(0))
    grey = luma(frames).expand(-1, 3, -1, -1)
    error = (jpeg(grey, torch.tensor([95.0, 60.0, 30.0])) - grey).square().mean(dim=(1, 2, 3))
    assert error[0] < error[1] < error[2]


def test_jpeg_leaves_a_flat_grey_frame_alone_whatever_its_size() -> None:
    frames = torch.full((1, 3, 21, 35), 128 / 255)
    torch.testing.assert_close(jpeg(frames, torch.tensor([10.0])), frames)


def test_jpeg_rounds_to_the_steps_of_the_standard_table() -> None:
    # At quality 50 the first luma step is 16; the DC coefficient is 8 times the mean, so flat
    # grey can only be 128 plus multiples of 2, and 131 is a tie between 130 and 132.
    grey = torch.tensor([129.0, 133.0, 136.0])[:, None, None, None].expand(3, 3, 16, 16) / 255
    codes = jpeg(grey, torch.full((3,), 50.0))[:, 0, 0, 0] * 255
    assert all(abs(code - 128) % 2 < 1e-3 for code in codes.tolist())
    assert (codes - torch.tensor([129.0, 133.0, 136.0])).abs().max() <= 1.001
