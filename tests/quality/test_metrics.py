"""Metrics against hand-computed figures and laws."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import squeezenet1_1

from tests.quality.lpips_weights import random_lpips_weights, write_lpips_weights
from vsr_cli.errors import WeightsError
from vsr_cli.quality.metrics import (
    Lpips,
    drift,
    lattice,
    psnr,
    psnr_y,
    ssim,
    studio_luma,
    tlpips,
    tof,
    warping_error,
)

LAYERS = (1, 4, 7, 9, 10, 11, 12)  # torchvision's numbers of the layers that are compared


def random_frames(num_frames: int = 2, size: int = 40, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_frames, 3, size, size, generator=generator) * 2 - 1


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return random_lpips_weights()


@pytest.fixture(scope="module")
def lpips(tmp_path_factory: pytest.TempPathFactory) -> Lpips:
    return Lpips(write_lpips_weights(tmp_path_factory.mktemp("lpips") / "squeeze.safetensors"))


def test_a_constant_error_has_the_psnr_of_its_size() -> None:
    frames = torch.zeros(2, 3, 16, 16)
    assert psnr(frames + 0.2, frames) == pytest.approx(20)  # 0.1 of the range
    assert psnr_y(frames + 0.2, frames) == pytest.approx(20 - 20 * math.log10(219 / 255))


def test_psnr_is_the_mean_over_frames_in_decibels() -> None:
    frames = torch.zeros(2, 3, 16, 16)
    errors = torch.tensor([0.2, 0.02])[:, None, None, None]
    assert psnr(frames + errors, frames) == pytest.approx(30)


def test_equal_frames_have_the_best_figures(lpips: Lpips) -> None:
    frames = random_frames()
    assert psnr(frames, frames) == psnr_y(frames, frames) == pytest.approx(100)
    assert ssim(frames, frames) == pytest.approx(1)
    assert lpips(frames, frames).tolist() == [0, 0]
    assert tlpips(frames, frames, lpips) == 0


def test_luma_of_black_and_white_is_that_of_studio_range() -> None:
    frames = torch.tensor([-1.0, 1.0])[:, None, None, None].expand(2, 3, 1, 1)
    torch.testing.assert_close(studio_luma(frames).flatten() * 255, torch.tensor([16.0, 235.0]))


def test_ssim_of_flat_frames_is_the_term_of_brightness() -> None:
    black, white = torch.full((1, 3, 12, 12), -1.0), torch.full((1, 3, 12, 12), 1.0)
    x, y, c = 16 / 255, 235 / 255, 1e-4
    expected = (2 * x * y + c) / (x**2 + y**2 + c)
    assert ssim(black, white) == pytest.approx(expected, abs=1e-3)


def structural_similarity(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """SSIM of two planes in [0, 1] as defined: window after window, weighted statistics of each."""
    distance = np.arange(11) - 5.0
    line = np.exp(-(distance**2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 1.0) ** 2, (0.03 * 1.0) ** 2
    values = []
    for row in range(first.shape[0] - 10):
        for column in range(first.shape[1] - 10):
            x, y = (plane[row : row + 11, column : column + 11] for plane in (first, second))
            mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
            spread_x, spread_y = x - mean_x, y - mean_y
            variances = (weights * spread_x**2).sum() + (weights * spread_y**2).sum()
            covariance = (weights * spread_x * spread_y).sum()
            likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
            values.append(likeness / ((mean_x**2 + mean_y**2 + c1) * (variances + c2)))
    return float(np.mean(values))


@pytest.mark.parametrize("contrast", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_ssim_is_what_its_definition_gives_window_by_window(contrast: float, noise: float) -> None:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(1, 3, 6, 7, generator=generator) * 2 - 1
    size = (24, 28)
    hr = contrast * torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(-1, 1)
    sr = hr + noise * torch.randn(hr.shape, generator=generator)
    first, second = (
        (luma_of(frames) * 219 + 16) / 255 for frames in (sr.double().numpy(), hr.double().numpy())
    )
    assert ssim(sr, hr) == pytest.approx(structural_similarity(first, second), abs=2e-4)


def luma_of(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """BT.601 luma in [0, 1] of the first frame."""
    red, green, blue = (frames[0] + 1) / 2
    return np.asarray(0.299 * red + 0.587 * green + 0.114 * blue)


def test_ssim_falls_with_noise_and_ignores_which_clip_is_first() -> None:
    frames, noise = random_frames(), random_frames(seed=1)
    figures = [ssim(frames + strength * noise, frames) for strength in (0.05, 0.2, 0.8)]
    assert 1 > figures[0] > figures[1] > figures[2]
    assert ssim(noise, frames) == pytest.approx(ssim(frames, noise))


def test_lpips_is_made_of_the_features_torchvision_has(
    lpips: Lpips, weights: dict[str, Tensor]
) -> None:
    network = squeezenet1_1(weights=None).features.eval()
    network.load_state_dict(
        {k.removeprefix("features."): v for k, v in weights.items() if k.startswith("features")}
    )
    first, second = random_frames(6), random_frames(6, seed=1)
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    spread = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    a, b = (first - shift) / spread, (second - shift) / spread
    expected = torch.zeros(6)
    with torch.no_grad():
        for number, layer in enumerate(network):
            a, b = layer(a), layer(b)
            if number in LAYERS:
                gap = torch.nn.functional.normalize(a, dim=1) - torch.nn.functional.normalize(
                    b, dim=1
                )
                lin = weights[f"lin{LAYERS.index(number)}"][:, None, None]
                expected += (gap.square() * lin).sum(dim=1).mean(dim=(1, 2))
    torch.testing.assert_close(lpips(first, second), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("missing", ["lin3", "features.9.squeeze.bias"])
def test_weights_with_a_gap_are_refused(
    missing: str, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "gap.safetensors"
    save_file({name: tensor for name, tensor in weights.items() if name != missing}, path)
    with pytest.raises(WeightsError, match="gap") as caught:
        Lpips(path)
    assert missing in str(caught.value.why)


@pytest.mark.parametrize(
    "content", [None, b"", b"\x05\0\0\0\0\0\0\0hello", b"plain words, no header"]
)
def test_a_file_that_is_no_safetensors_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read"):
        Lpips(path)


def test_drift_is_what_the_last_quarter_has_over_the_first() -> None:
    assert drift(torch.tensor([1.0, 3, 9, 9, 9, 9, 5, 7])) == pytest.approx(4)
    assert drift(torch.tensor([3.0, 9, 1])) == pytest.approx(-2)
    with pytest.raises(ValueError, match="two frames"):
        drift(torch.tensor([1.0]))


def test_tlpips_counts_flicker_and_not_error(lpips: Lpips) -> None:
    still = random_frames(1).expand(3, -1, -1, -1)
    assert tlpips(still.flip(-1), still, lpips) == pytest.approx(0, abs=1e-5)
    flickering = torch.stack([still[0], still[0].flip(-1), still[0]])
    change = lpips(still[:1], still[:1].flip(-1)).item()
    assert tlpips(flickering, still, lpips) == pytest.approx(100 * change, rel=1e-4)


def test_tlpips_adds_up_changes_of_both_signs() -> None:
    def step(first: Tensor, second: Tensor) -> Tensor:
        """A distance that is easily followed: how much brighter or darker a frame has become."""
        return (second - first).abs().mean(dim=(1, 2, 3))

    hr = torch.zeros(3, 3, 8, 8)
    hr[1:] = 0.4  # the truth changes by 0.4 and then not at all
    sr = torch.zeros(3, 3, 8, 8)
    sr[2] = 0.4  # the clip does so one frame too late
    assert tlpips(sr, hr, step) == pytest.approx(100 * 0.4)


def test_psnr_ends_at_a_hundred_decibels_and_not_before() -> None:
    frames = torch.zeros(1, 3, 16, 16)
    assert psnr(frames + 2 * 10 ** (-98 / 20), frames) == pytest.approx(98, abs=1e-2)
    assert psnr(frames + 2 * 10 ** (-104 / 20), frames) == pytest.approx(100)


def test_a_clip_that_follows_the_flow_has_no_warping_error() -> None:
    wide = random_frames(1, 40)[0]
    frames = torch.stack([wide[..., 4 - t : 36 - t] for t in (0, 1, 3)])
    flow = torch.zeros(2, 2, 40, 32)
    flow[0, 0], flow[1, 0] = 1, 2
    visible = torch.ones(2, 1, 40, 32)
    visible[..., -2:] = 0  # leaves the frame
    assert warping_error(frames, flow, visible) < 1e-6
    assert warping_error(frames, -flow, visible) > 1


def test_the_warping_error_is_the_mean_square_where_visible() -> None:
    frames = torch.zeros(2, 3, 8, 8)
    frames[1] = 0.2  # 0.1 of the range
    frames[1, ..., :4] = 1
    visible = torch.ones(1, 1, 8, 8)
    visible[..., :4] = 0
    error = warping_error(frames, torch.zeros(1, 2, 8, 8), visible)
    assert error == pytest.approx(1000 * 0.1**2)


def test_tof_is_the_distance_between_the_flows() -> None:
    def flow(frames: Tensor) -> tuple[Tensor, Tensor]:
        """Brightness of the first frame, as motion to the right and down."""
        b, t, _, h, w = frames.shape
        moved = frames[:, :1, :2].mean(dim=(3, 4), keepdim=True).expand(b, t - 1, 2, h, w)
        return moved, -moved

    still, moved = torch.zeros(3, 3, 16, 16), torch.zeros(3, 3, 16, 16)
    moved[:, 0], moved[:, 1] = 0.3, 0.4
    assert tof(moved, still, flow) == pytest.approx(0.5)


@pytest.mark.parametrize(("height", "width"), [(128, 192), (100, 131)])
def test_a_mesh_stands_out_by_its_period_alone(height: int, width: int) -> None:
    noise = 0.1 * torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    plain = {period: lattice(noise, period) for period in (4, 8)}
    assert all(2 < found < 8 for found in plain.values())
    dots = torch.zeros(height, width)
    dots[1::4, 2::4] = 0.05
    assert lattice(noise + dots, 4) > plain[4] + 6
    assert lattice(0.1 * (noise + dots) + 0.3, 4) == pytest.approx(
        lattice(noise + dots, 4), abs=0.01
    )
    others = torch.zeros(height, width)
    others[1::5, 2::7] = 0.05
    assert lattice(noise + others, 4) == pytest.approx(plain[4], abs=1)


def test_frames_too_small_for_a_spectrum_are_refused() -> None:
    with pytest.raises(ValueError, match="64 pixels"):
        lattice(random_frames(1, 63), 4)


def test_clips_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        psnr(torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 9))


def test_a_single_frame_has_no_change_to_measure(lpips: Lpips) -> None:
    with pytest.raises(ValueError, match="two frames"):
        tlpips(random_frames(1), random_frames(1), lpips)
