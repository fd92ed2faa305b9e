from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.networks import TINY, tiny_model
from vsr_cli.models.small.blocks import ChannelNorm, Modulation, TemporalMixer
from vsr_cli.models.small.decoder import SOFTNESS, MemoryWarp, soften
from vsr_cli.models.small.denoiser import Denoiser
from vsr_cli.models.small.filters import FilterBank
from vsr_cli.models.small.model import SmallModel, enlarge, lr_multiple


def frames(num_frames: int, height: int = 12, width: int = 16, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, num_frames, 3, height, width, generator=generator) * 2 - 1


@torch.no_grad()
def test_denoising_in_two_clips_with_the_past_equals_one_long_clip() -> None:
    model, lr = tiny_model(), frames(7)
    noisy = torch.randn(1, 7, 4, 6, 8, generator=torch.Generator().manual_seed(2))
    log_snr = torch.tensor([0.3])
    whole, _ = model.denoise(noisy, log_snr, model.condition(lr, 4), None)
    first, past = model.denoise(noisy[:, :3], log_snr, model.condition(lr[:, :3], 4), None)
    second, _ = model.denoise(noisy[:, 3:], log_snr, model.condition(lr[:, 3:], 4), past)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-5, rtol=1e-4)
    forgetful, _ = model.denoise(noisy[:, 3:], log_snr, model.condition(lr[:, 3:], 4), None)
    assert (forgetful - second).abs().max() > 1e-3


@torch.no_grad()
def test_a_frame_depends_on_no_later_frame() -> None:
    model, lr = tiny_model(), frames(5)
    noisy = torch.randn(1, 5, 4, 6, 8, generator=torch.Generator().manual_seed(2))
    other = noisy.clone()
    other[:, 3:] += 1
    log_snr, condition = torch.zeros(1), model.condition(lr, 4)
    a, _ = model.denoise(noisy, log_snr, condition, None)
    b, _ = model.denoise(other, log_snr, condition, None)
    torch.testing.assert_close(a[:, :3], b[:, :3])
    assert (a[:, 3:] - b[:, 3:]).abs().min(dim=1).values.max() > 0


@torch.no_grad()
def test_temporal_mixer_starts_as_the_identity() -> None:
    x = torch.randn(2, 4, 8, 3, 5)
    mixed, past = TemporalMixer(8)(x, None)
    torch.testing.assert_close(mixed, x)
    assert past.shape == (2, 2, 8, 3, 5)


@torch.no_grad()
def test_the_past_keeps_no_more_of_a_clip_than_its_last_frames() -> None:
    mixer, past = TemporalMixer(8), None
    for _ in range(2):
        _, past = mixer(torch.randn(1, 6, 8, 3, 5), past)
        assert past.untyped_storage().nbytes() == past.numel() * past.element_size()


@torch.no_grad()
def test_norms_look_at_one_pixel_only() -> None:
    x = torch.randn(1, 8, 6, 6)
    changed = x.clone()
    changed[..., 0, 0] += 5
    for norm in (ChannelNorm(8), Modulation(8, 4, 4)):
        extra = (
            () if isinstance(norm, ChannelNorm) else (torch.randn(1, 4, 6, 6), torch.zeros(1, 4))
        )
        a, b = norm(x, *extra), norm(changed, *extra)
        torch.testing.assert_close(a[..., 1:, 1:], b[..., 1:, 1:])


@torch.no_grad()
@pytest.mark.parametrize("scale", [4, 2, 1])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (3, 2), (5, 7)])
def test_any_size_of_whole_latents_decodes_to_exactly_the_scale_times_it(
    rows: int, columns: int, scale: int
) -> None:
    height, width = rows * lr_multiple(scale), columns * lr_multiple(scale)
    model, lr = tiny_model(), frames(2, height, width)
    latents = torch.zeros(1, 2, 4, rows, columns)
    condition = model.condition(lr, scale)
    v, _ = model.denoise(latents, torch.zeros(1), condition, None)
    assert v.shape == latents.shape
    sr, _ = model.decode(
        latents, lr, condition.lr_features, fidelity=1.0, memory_features=None, warps=[None, None]
    )
    assert sr.shape == (1, 2, 3, scale * height, scale * width)
    assert model.encode(sr, lr, condition.lr_features).shape == latents.shape


@torch.no_grad()
@pytest.mark.parametrize("scale", [4, 2, 1])
def test_every_pixel_of_the_source_is_seen_whatever_the_scale(scale: int) -> None:
    model, lr = tiny_model(), frames(1, 32, 32)
    features = model.features(lr, scale)
    for y, x in [(16, 16), (17, 16), (18, 19)]:
        changed = lr.clone()
        changed[..., y, x] += 0.5
        assert (model.features(changed, scale) - features).abs().max() > 1e-3


@torch.no_grad()
def test_the_body_works_on_a_quarter_of_the_target_whatever_the_scale() -> None:
    model = tiny_model()
    for scale in (4, 2, 1):
        side = 64 // scale
        assert model.features(frames(1, side, side), scale).shape == (1, 1, 8, 16, 16)


@torch.no_grad()
def test_at_scale_one_the_source_itself_is_what_detail_is_added_to() -> None:
    lr = frames(1, 8, 8)[0]
    assert torch.equal(enlarge(lr, (8, 8)), lr)
    assert enlarge(lr, (32, 32)).shape == (1, 3, 32, 32)


@torch.no_grad()
def test_decoding_with_the_remembered_state_equals_decoding_in_one_go() -> None:
    model, lr = tiny_model(), frames(4)
    latents = torch.randn(1, 4, 4, 6, 8, generator=torch.Generator().manual_seed(3))
    features = model.features(lr, 4)
    warp = MemoryWarp(torch.full((1, 2, 12, 16), 0.7), torch.ones(1, 1, 12, 16))

    def decode(
        part: slice, memory_features: Tensor | None, warps: list[MemoryWarp | None]
    ) -> tuple[Tensor, Tensor]:
        return model.decode(
            latents[:, part],
            lr[:, part],
            features[:, part],
            fidelity=1.0,
            memory_features=memory_features,
            warps=warps,
        )

    whole, _ = decode(slice(0, 4), None, [None, warp, warp, warp])
    first, state = decode(slice(0, 2), None, [None, warp])
    second, _ = decode(slice(2, 4), state, [warp, warp])
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("scale", [4, 2, 1])
def test_a_source_finer_than_the_body_is_filtered_pixel_by_pixel(scale: int) -> None:
    model = tiny_model()
    lr = frames(1, 48 // scale, 64 // scale)
    features, latents = model.features(lr, scale), torch.zeros(1, 1, 4, 6, 8)
    other = lr.clone()
    other[..., 5, 7] += 0.5

    def residual(seen: Tensor) -> Tensor:
        decoded, _ = model.decode(
            latents, seen, features, fidelity=1.0, memory_features=None, warps=[None]
        )
        return decoded[0] - enlarge(seen[0], (48, 64))

    change = (residual(other) - residual(lr)).abs().amax(dim=(0, 1))
    if scale == 4:
        assert change.max() < 1e-5
        return
    assert change.max() > 1e-3
    reach = 4 + 3 * scale  # bank and mix, and what enlarging spreads
    rows, columns = (slice(max(scale * n - reach, 0), scale * (n + 1) + reach) for n in (5, 7))
    change[rows, columns] = 0
    assert change.max() < 1e-5


@torch.no_grad()
def test_filters_start_without_effect_and_leave_flat_areas_as_they_are() -> None:
    bank = FilterBank(16)
    source, features, residual = frames(1)[0], torch.randn(1, 16, 12, 16), torch.randn(1, 3, 12, 16)
    assert torch.equal(bank(source, features, residual), residual)
    flat = torch.tensor([0.2, -0.4, 0.9])[None, :, None, None].expand(1, 3, 12, 16)
    inner = (..., slice(3, -3), slice(3, -3))
    assert bank.bank(flat)[inner].abs().max() < 1e-5
    assert bank.bank(source)[inner].abs().amax(dim=(0, 2, 3)).min() > 0.1  # each of them does


@torch.no_grad()
def test_memory_is_read_only_where_the_flow_can_be_trusted() -> None:
    model, lr = tiny_model(), frames(1)
    features, latents = model.features(lr, 4), torch.zeros(1, 1, 4, 6, 8)

    def decode(memory_features: Tensor, visible: float) -> Tensor:
        warp = MemoryWarp(torch.zeros(1, 2, 12, 16), torch.full((1, 1, 12, 16), visible))
        return model.decode(
            latents, lr, features, fidelity=1.0, memory_features=memory_features, warps=[warp]
        )[0]

    one, two = torch.randn(1, 8, 12, 16), torch.randn(1, 8, 12, 16)
    torch.testing.assert_close(decode(one, 0.0), decode(two, 0.0))
    assert (decode(one, 1.0) - decode(two, 1.0)).abs().max() > 1e-4


@torch.no_grad()
def test_softening_keeps_flat_areas_and_lowers_the_finest_pattern_by_its_share() -> None:
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 2, 6, 8)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(soften(stripes)[inner], (1 - SOFTNESS) * stripes[inner])
    torch.testing.assert_close(soften(stripes.mT)[inner], (1 - SOFTNESS) * stripes.mT[inner])
    flat = torch.full((1, 2, 1, 5), 0.3)
    torch.testing.assert_close(soften(flat), flat)


@torch.no_grad()
def test_fidelity_zero_takes_nothing_from_the_lr_features_in_the_decoder() -> None:
    model, lr = tiny_model(), frames(1)
    latents = torch.randn(1, 1, 4, 6, 8)

    def decode(features: Tensor, fidelity: float) -> Tensor:
        return model.decode(
            latents, lr, features, fidelity=fidelity, memory_features=None, warps=[None]
        )[0]

    one, two = torch.randn(1, 1, 8, 12, 16), torch.randn(1, 1, 8, 12, 16)
    torch.testing.assert_close(decode(one, 0.0), decode(two, 0.0))
    assert (decode(one, 1.0) - decode(two, 1.0)).abs().max() > 1e-4


@torch.no_grad()
def test_denoiser_keeps_odd_sizes() -> None:
    torch.manual_seed(0)
    denoiser = Denoiser(4, 8, 8)
    condition = [torch.randn(1, 8, *size) for size in [(7, 5), (4, 3), (2, 2)]]
    v, _ = denoiser(torch.randn(1, 1, 4, 7, 5), torch.zeros(1), condition, None)
    assert v.shape == (1, 1, 4, 7, 5)


def test_more_steps_share_what_the_default_leaves_out_of_the_noise() -> None:
    model = SmallModel(replace(TINY, default_steps=4, noise_scale=0.7))
    scales = [model.chain(steps).noise_scale for steps in (1, 2, 4, 7, 301)]
    assert scales == pytest.approx([0.7, 0.7, 0.7, 0.85, 0.997])


def test_only_chains_longer_than_the_default_are_damped_and_have_other_times() -> None:
    model = SmallModel(replace(TINY, default_steps=4, damping=0.5, time_power=3.0))
    chains = [model.chain(steps) for steps in (1, 4, 9, 64)]
    assert [chain.latent_scale for chain in chains] == pytest.approx([1, 1, 2 / 3, 0.25])
    assert [chain.time_power for chain in chains] == [1, 1, 3, 3]
