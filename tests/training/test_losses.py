import pytest
import torch
from torch import Tensor

from vsr_cli.training.losses import (
    FeatureDistance,
    artifact_loss,
    box_loss,
    charbonnier,
    chroma_loss,
    difference_loss,
    gradient_loss,
    grid_loss,
    halo_loss,
    lattice_loss,
    min_snr_weight,
    sobel_weight,
    spectrum_loss,
    structure_warp_loss,
)


def clip(*values: float, size: int = 8) -> Tensor:
    """(1, T, 3, size, size) of flat frames."""
    return torch.tensor(values).view(1, -1, 1, 1, 1).expand(1, len(values), 3, size, size).clone()


def test_charbonnier_of_a_constant_error_is_that_error() -> None:
    assert charbonnier(clip(0.5), clip(0.2)).item() == pytest.approx(0.3, abs=1e-4)


def test_gradient_loss_ignores_brightness_and_sees_a_ramp() -> None:
    assert gradient_loss(clip(0.9), clip(0.1)).item() == pytest.approx(0, abs=1e-6)
    ramp = clip(0.0) + torch.arange(8) * 0.01
    # 0.01 per pixel across, and twice that at half resolution; nothing down.
    assert gradient_loss(ramp, clip(0.0)).item() == pytest.approx(0.03, rel=1e-4)


def test_halo_loss_is_the_height_of_an_outline_and_ignores_what_the_truth_has_nearby() -> None:
    edge = clip(0.0, size=16)
    edge[..., 8:] = 0.5
    assert halo_loss(edge, edge).item() == 0
    assert halo_loss(edge.roll(2, dims=-1)[..., 2:], edge[..., 2:]).item() == 0  # displaced
    outlined = edge.clone()
    outlined[..., 7] = -0.3  # darker than both sides of the edge
    assert halo_loss(outlined, edge).item() == pytest.approx(0.3 / 16)
    outlined[..., 8] = 0.9  # and brighter
    assert halo_loss(outlined, edge).item() == pytest.approx(0.7 / 16)


def test_box_loss_sees_the_mean_of_sixteen_pixels_and_not_where_they_lie() -> None:
    frames = clip(0.0)
    frames[..., 0, 0] = 1.6
    moved = frames.roll((2, 1), dims=(-2, -1))
    assert box_loss(frames, moved).item() == pytest.approx(0, abs=1e-6)
    assert box_loss(frames, clip(0.0)).item() == pytest.approx(0.1 / 4)


def test_artifacts_count_only_where_the_averaged_model_is_nearer() -> None:
    truth, noise = clip(0.0, size=32), torch.zeros(1, 1, 3, 32, 32)
    noise[..., 8:16, 8:16] = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    assert artifact_loss(noise, truth, truth) > 1e-4
    assert artifact_loss(noise, truth, 2 * noise).item() == 0
    assert artifact_loss(clip(0.2, size=32), truth, truth).item() == pytest.approx(0, abs=1e-6)


def test_chroma_loss_is_the_distance_of_colour_from_grey_and_ignores_luma() -> None:
    grey = clip(0.1, size=8)
    assert chroma_loss(grey + 0.3, grey).item() == pytest.approx(0, abs=1e-6)
    red = grey.clone()
    red[:, :, 0] += 0.3  # luma by 0.299 of that
    wanted = 0.3 * (0.701 + 2 * 0.299) / 3
    assert chroma_loss(red, grey).item() == pytest.approx(wanted, rel=1e-4)


def test_min_snr_weight_at_known_points() -> None:
    log_snr = torch.log(torch.tensor([1.0, 5.0, 99.0]))
    expected = torch.tensor([0.5, 5 / 6, 0.05])
    torch.testing.assert_close(min_snr_weight(log_snr), expected)


def test_difference_loss_sees_change_over_time_and_not_a_constant_offset() -> None:
    assert difference_loss(clip(0.1, 0.2, 0.3), clip(0.5, 0.6, 0.7)).item() < 1e-6
    flicker = difference_loss(clip(0.0, 0.4, 0.0), clip(0.0, 0.0, 0.0))
    assert flicker.item() == pytest.approx(0.4)


def test_sobel_weight_is_one_on_flat_ground_and_four_at_a_full_step() -> None:
    step = torch.full((1, 3, 8, 8), -1.0)
    step[..., 4:] = 1
    weight = sobel_weight(step)
    assert weight[..., 0].unique().tolist() == [1.0]
    assert weight.max().item() == pytest.approx(1 + 3 * 1.0)


def test_structure_warp_loss_is_zero_along_the_true_motion_and_not_against_it() -> None:
    scene = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    frames = torch.stack([scene[..., 4:20], scene[..., 3:19]], dim=1)  # one pixel to the right
    flow = torch.zeros(1, 1, 2, 16, 16)
    flow[:, :, 0] = 1
    visible = torch.ones(1, 1, 1, 16, 16)
    visible_forward, visible_backward = visible.clone(), visible.clone()
    visible_forward[..., -1] = 0
    visible_backward[..., 0] = 0
    along = structure_warp_loss(frames, frames, flow, -flow, visible_forward, visible_backward)
    against = structure_warp_loss(frames, frames, -flow, flow, visible_forward, visible_backward)
    assert along.item() < 1e-6 < against.item()


def test_hidden_pixels_do_not_count_in_the_structure_warp_loss() -> None:
    frames, flow = clip(0.0, 1.0), torch.zeros(1, 1, 2, 8, 8)
    seen, hidden = torch.ones(1, 1, 1, 8, 8), torch.zeros(1, 1, 1, 8, 8)
    assert structure_warp_loss(frames, frames, flow, flow, hidden, hidden).item() == 0
    full = structure_warp_loss(frames, frames, flow, flow, seen, seen)
    assert full.item() == pytest.approx(1.0)  # half of |1| forward and half of |1| backward


def test_the_distance_of_features_and_its_gradient_are_those_of_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 5, 4, 3, generator=generator) for _ in range(2))
    a.requires_grad_(True)
    unit_a, unit_b = (x / x.norm(dim=1, keepdim=True) for x in (a, b))
    wanted = 0.3 * (a - b).abs().mean() / b.mean()
    wanted = wanted + (unit_a - unit_b).square().sum(dim=1).mean()
    found = FeatureDistance.apply(a, b, 0.3)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    gradients = [torch.autograd.grad(2 * value, a)[0] for value in (found, wanted)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("pattern", ["columns", "rows", "checkers"])
def test_a_pattern_of_two_pixels_costs_its_amplitude(pattern: str) -> None:
    signs = torch.tensor([1.0, -1.0]).repeat(16)
    grid = {
        "columns": signs.expand(32, 32),
        "rows": signs[:, None].expand(32, 32),
        "checkers": signs * signs[:, None],
    }[pattern]
    target = torch.rand(1, 2, 3, 32, 32)
    torch.testing.assert_close(grid_loss(target + 0.1 * grid, target), torch.tensor(0.1))


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_mesh_of_dots_costs_its_share_of_pixels_wherever_it_lies(period: int) -> None:
    target = torch.rand(1, 2, 3, 64, 64) * 2 - 1
    dots = torch.zeros(64, 64)
    dots[1::period, 1::period] = 1
    cost = lattice_loss(target + 0.3 * dots, target)
    torch.testing.assert_close(cost, torch.tensor(0.3 / period**2))
    assert lattice_loss(target + 0.3, target) < 1e-6


def test_what_does_not_repeat_hardly_counts_as_a_mesh() -> None:
    torch.manual_seed(0)
    noise = 0.1 * torch.randn(1, 1, 3, 128, 128)
    assert lattice_loss(noise, torch.zeros_like(noise)) < 0.1 / 16
    fives = torch.zeros_like(noise)
    fives[..., ::5, ::5] = 1
    assert lattice_loss(fives, torch.zeros_like(fives)) < 0.01
    slope = torch.linspace(-1, 1, 128).expand(1, 1, 3, 128, 128)
    assert lattice_loss(slope, torch.zeros_like(slope)) < 0.005


@pytest.mark.parametrize("period", [3, 4, 5, 6.5])
def test_a_grating_costs_by_its_height_wherever_it_lies(period: float) -> None:
    target = torch.rand(1, 1, 3, 128, 128) / 5
    waves = torch.sin(2 * torch.pi * torch.arange(128) / period)
    first, second = (
        float(spectrum_loss(target / 100 + 0.2 * wave, target / 100))
        for wave in (waves, waves.roll(1)[:, None].expand(128, 128))
    )
    assert first == pytest.approx(0.02, rel=0.5)
    assert second == pytest.approx(first, rel=0.02)


def test_a_spectrum_knows_how_much_there_is_and_not_where() -> None:
    generator = torch.Generator().manual_seed(0)
    texture = 0.2 * torch.randn(1, 1, 3, 128, 128, generator=generator)
    soft, double = torch.zeros_like(texture), 2 * texture
    gone = spectrum_loss(soft, texture)
    torch.testing.assert_close(spectrum_loss(double, texture), gone, rtol=0.05, atol=0)
    others = texture.roll((3, 5), (-1, -2))
    assert spectrum_loss(others, texture) < 0.6 * gone
    assert spectrum_loss(texture + 0.3, texture) < 0.01 * gone
    assert charbonnier(others, texture) > 1.3 * charbonnier(soft, texture)


def test_edges_and_noise_hardly_count_as_a_grid() -> None:
    edge = torch.zeros(1, 1, 3, 32, 32)
    edge[..., 15:] = 1
    noise = 0.1 * torch.randn(1, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert grid_loss(edge, torch.zeros_like(edge)) < 0.05
    assert grid_loss(noise, torch.zeros_like(noise)) < 0.04
