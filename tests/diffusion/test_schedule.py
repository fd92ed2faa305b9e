"""Schedule and noise: the chain is DDPM's, the noise belongs to its place."""

import math

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from vsr_cli.config import Chain
from vsr_cli.diffusion.schedule import (
    _box_muller,
    _mix,
    _mix_int,
    _signed,
    keyed_noise,
    make_respaced_chain,
    make_scheduler,
)


def ddpm(steps: int) -> DDPMScheduler:
    scheduler = DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        prediction_type="sample",
        variance_type="fixed_small",
        clip_sample=False,
    )
    scheduler.set_timesteps(steps)
    return scheduler


def noise(
    seed: int = 0,
    *,
    frames: range = range(4),
    step: int = 0,
    channels: int = 4,
    rows: range = range(40),
    columns: range = range(50),
) -> Tensor:
    return keyed_noise(
        seed, frames=frames, step=step, channels=channels, rows=rows, columns=columns
    )


def normal(seed: int) -> Tensor:
    return torch.randn(1, 64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [1, 3, 4, 7, 50, 600, 1000])
def test_a_step_is_that_of_ddpm_with_its_noise_handed_in(steps: int) -> None:
    ours, reference = make_scheduler(steps), ddpm(steps)
    assert ours.timesteps.tolist() == reference.timesteps.tolist()
    x0, x_t = normal(0), normal(1)
    for t in ours.timesteps[:: max(1, steps // 5)].tolist():
        expected = reference.step(x0, t, x_t, generator=torch.manual_seed(0), return_dict=False)[0]
        drawn = torch.randn(1, 64, generator=torch.manual_seed(0))
        torch.testing.assert_close(ours.step(x0, t, x_t, drawn), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [*range(1, 60), 333, 512, 600, 999, 1000])
def test_any_number_of_steps_runs_from_noise_to_the_clean_prediction(steps: int) -> None:
    scheduler = make_scheduler(steps)
    times = scheduler.timesteps
    assert len(times) == steps
    assert times[0] == 999
    assert times[-1] >= 0
    assert (times.diff() < 0).all()
    assert scheduler.alphas_cumprod[999] == 0
    last = scheduler.step(normal(0), int(times[-1]), normal(1), normal(2))
    torch.testing.assert_close(last, normal(0), atol=1e-5, rtol=1e-5)


def test_ancestral_chain_keeps_the_spread_of_noised_data() -> None:
    scheduler = make_scheduler(10)
    x0 = torch.zeros(1, 20_000)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 20_000, generator=generator)
    for t, after in zip(scheduler.timesteps, scheduler.timesteps[1:], strict=False):
        drawn = torch.randn(1, 20_000, generator=generator)
        latents = scheduler.step(x0, int(t), latents, drawn)
        expected = (1 - scheduler.alphas_cumprod[after]).sqrt()
        assert latents.std() == pytest.approx(expected.item(), rel=0.03)


def test_steps_add_as_much_of_their_noise_as_is_wanted() -> None:
    whole, less = make_scheduler(4), make_scheduler(4, Chain(noise_scale=0.7))
    for t in whole.timesteps.tolist():
        assert less.sigma(t) == pytest.approx(0.7 * whole.sigma(t))
        moved = less.step(normal(0), t, normal(1), normal(2))
        with_less = whole.step(normal(0), t, normal(1), 0.7 * normal(2))
        torch.testing.assert_close(moved, with_less)


@pytest.mark.parametrize("steps", [1, 2, 5, 15, 50, 200, 999, 1000])
def test_times_spaced_by_a_power_are_denser_where_noise_is_low(steps: int) -> None:
    even = make_scheduler(steps).timesteps
    spaced = make_scheduler(steps, Chain(time_power=3.0)).timesteps
    assert len(spaced) == steps
    assert (spaced[0], spaced[-1]) == (even[0], even[-1])
    assert (spaced.diff() < 0).all()
    assert (spaced <= even).all()
    assert steps not in (15, 50) or spaced.float().median() < 0.7 * even.float().median()


@pytest.mark.parametrize("steps", [1, 5])
def test_only_the_end_of_a_chain_is_damped(steps: int) -> None:
    plain, damped = make_scheduler(steps), make_scheduler(steps, Chain(latent_scale=0.5))
    for index, t in enumerate(plain.timesteps.tolist()):
        scale = 0.5 if index == steps - 1 else 1.0
        moved = damped.step(normal(0), t, normal(1), normal(2))
        torch.testing.assert_close(moved, scale * plain.step(normal(0), t, normal(1), normal(2)))


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_numbers_of_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"got {steps}"):
        make_scheduler(steps)


@pytest.mark.parametrize("steps", [1, 2, 4, 7, 50, 333, 1000])
def test_a_respaced_chain_keeps_the_nearest_times_of_an_even_spread(steps: int) -> None:
    chain = make_respaced_chain(steps)
    exact = torch.linspace(0, 999, steps, dtype=torch.float64) if steps > 1 else torch.tensor([999])
    times = torch.tensor(chain.network_times)
    assert (times - exact).abs().max() <= 0.5
    assert chain.scheduler.timesteps.tolist() == list(range(steps - 1, -1, -1))
    kept = chain.base_alphas_cumprod[times]
    assert torch.equal(chain.scheduler.alphas_cumprod, kept)


def test_the_published_schedule_is_that_of_stable_diffusion() -> None:
    reference = DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        variance_type="fixed_small",
        prediction_type="epsilon",
        clip_sample=False,
    )
    chain = make_respaced_chain(1000)
    torch.testing.assert_close(
        chain.base_alphas_cumprod, reference.alphas_cumprod, atol=1e-6, rtol=1e-4
    )
    noise, x_t = normal(0), normal(1)
    for t in (999, 500, 1):
        expected = reference.step(noise, t, x_t, generator=torch.manual_seed(0)).prev_sample
        drawn = torch.randn(1, 64, generator=torch.manual_seed(0))
        found = chain.scheduler.step(noise, t, x_t, drawn)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_published_chain_starts_with_hardly_any_of_the_latents() -> None:
    chain = make_respaced_chain(4)
    latents, drawn = torch.ones(1, 1), torch.zeros(1, 1)
    share = chain.noise_start(latents, drawn).item()
    assert share == pytest.approx(math.sqrt(0.00466), rel=1e-2)
    noise_share = chain.noise_start(0 * latents, drawn + 1).item()
    assert share**2 + noise_share**2 == pytest.approx(1)


@pytest.mark.parametrize("steps", [0, 1001])
def test_impossible_numbers_of_published_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"got {steps}"):
        make_respaced_chain(steps)


def test_noise_of_a_window_is_the_crop_of_the_noise_of_the_whole() -> None:
    whole = noise(frames=range(6), rows=range(30), columns=range(40))
    window = noise(frames=range(2, 5), rows=range(7, 21), columns=range(11, 40))
    assert torch.equal(window, whole[2:5, :, 7:21, 11:40])
    assert torch.equal(noise(channels=3), noise(channels=4)[:, :3])


def test_noise_is_standard_normal() -> None:
    sample = noise(frames=range(25), rows=range(50), columns=range(80), channels=3).flatten()
    tolerance = 5 / math.sqrt(len(sample))
    assert abs(sample.mean()) < tolerance
    assert abs(sample.var() - 1) < 2 * tolerance
    assert abs(sample.pow(3).mean()) < 4 * tolerance
    assert abs(sample.pow(4).mean() - 3) < 10 * tolerance
    for bound in (0.5, 1.0, 2.0, 3.0):
        share = (sample.abs() > bound).double().mean().item()
        assert share == pytest.approx(math.erfc(bound / math.sqrt(2)), abs=tolerance)


@pytest.mark.parametrize("other", [{"seed": 1}, {"seed": 2**63 - 1}, {"step": 1}])
def test_other_seeds_and_steps_give_unrelated_noise(other: dict[str, int]) -> None:
    base, changed = noise(), noise(other.get("seed", 0), step=other.get("step", 0))
    correlation = (base * changed).mean()
    assert abs(correlation) < 5 / math.sqrt(base.numel())


@pytest.mark.parametrize("dim", [0, 1, 2, 3])
@pytest.mark.parametrize("distance", [1, 2])
def test_neighbours_along_every_axis_are_unrelated(dim: int, distance: int) -> None:
    sample = noise()
    length = sample.shape[dim] - distance
    here, there = sample.narrow(dim, 0, length), sample.narrow(dim, distance, length)
    tolerance = 5 / math.sqrt(here.numel())
    assert abs((here * there).mean()) < tolerance
    assert abs(((here.square() - 1) * (there.square() - 1)).mean()) < 2 * tolerance


def test_seed_frame_and_step_are_not_interchangeable() -> None:
    assert not torch.equal(noise(1, frames=range(1)), noise(0, frames=range(1, 2)))
    assert not torch.equal(noise(0, frames=range(1), step=1), noise(0, frames=range(1, 2)))


def test_noise_is_the_same_every_time_and_on_every_machine() -> None:
    assert torch.equal(noise(7), noise(7))
    # The first output of SplitMix64 from state 0 is published; it fixes the integer part.
    assert _mix_int(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


def test_words_are_mixed_in_tensors_as_they_are_one_by_one() -> None:
    words = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 0x9E3779B97F4A7C15, 0xF000000000000001]
    mixed = _mix(torch.tensor([_signed(word) for word in words]))
    assert mixed.tolist() == [_signed(_mix_int(word)) for word in words]


def test_every_word_gives_finite_noise() -> None:
    ends = [0, 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
    for sample in _box_muller(torch.tensor([_signed(word) for word in ends])):
        assert sample.isfinite().all()
        assert sample.abs().max() < 7


@pytest.mark.gpu
def test_noise_on_the_gpu_is_that_of_the_cpu() -> None:
    gpu = keyed_noise(
        5,
        frames=range(4),
        step=2,
        channels=4,
        rows=range(40),
        columns=range(50),
        device=torch.device("cuda"),
    )
    torch.testing.assert_close(gpu.cpu(), noise(5, step=2), atol=1e-5, rtol=1e-5)
