import pytest
import torch
from torch import Tensor

from vsr_cli.diffusion.motion import Motion, motion_loss
from vsr_cli.diffusion.sampler import State, Trajectory, sample_latents
from vsr_cli.diffusion.schedule import keyed_noise, make_scheduler

SIZE = (6, 8)


def still(num_pairs: int) -> Motion:
    """Nothing moves and everything is visible."""
    flow, visible = torch.zeros(1, num_pairs, 2, *SIZE), torch.ones(1, num_pairs, 1, *SIZE)
    return Motion(flow, flow, visible, visible)


def denoise(latents: Tensor, log_snr: Tensor, past: State | None) -> tuple[Tensor, State]:
    """A stand-in network that looks one frame back and remembers the last one."""
    before = past[0] if past is not None else torch.zeros_like(latents[:, :1])
    previous = torch.cat([before, latents[:, :-1]], dim=1)
    return torch.tanh(0.7 * latents - 0.3 * previous + 0.01 * log_snr), [latents[:, -1:]]


def draw(
    frames: range,
    *,
    steps: int,
    scale: float,
    motion: Motion | None = None,
    history: Trajectory | None = None,
    seed: int = 0,
) -> tuple[Tensor, Trajectory]:
    def noise(step: int) -> Tensor:
        return keyed_noise(
            seed, frames=frames, step=step, channels=4, rows=range(SIZE[0]), columns=range(SIZE[1])
        )[None]

    return sample_latents(
        denoise,
        shape=(1, len(frames), 4, *SIZE),
        scheduler=make_scheduler(steps),
        noise=noise,
        motion=motion,
        motion_scale=scale,
        history=history,
    )


@pytest.mark.parametrize("scale", [0.0, 1.0])
@pytest.mark.parametrize("steps", [1, 4, 9])
@pytest.mark.parametrize("cut", [1, 3, 6])
def test_sampling_in_two_clips_equals_one_long_clip(cut: int, steps: int, scale: float) -> None:
    whole, _ = draw(range(7), steps=steps, scale=scale, motion=still(6))
    motion = still(cut - 1) if cut > 1 else None
    first, history = draw(range(cut), steps=steps, scale=scale, motion=motion)
    second, _ = draw(
        range(cut, 7), steps=steps, scale=scale, motion=still(7 - cut), history=history
    )
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-5, rtol=1e-5)


def test_guidance_lowers_the_disagreement_along_the_flow() -> None:
    free, _ = draw(range(6), steps=8, scale=0.0, motion=still(5))
    guided, _ = draw(range(6), steps=8, scale=1.0, motion=still(5))
    assert motion_loss(guided, still(5)) < 0.9 * motion_loss(free, still(5))


def test_the_seed_decides_the_latents() -> None:
    same = [draw(range(2), steps=4, scale=0.0)[0] for _ in range(2)]
    assert torch.equal(*same)
    other, _ = draw(range(2), steps=4, scale=0.0, seed=1)
    assert (other - same[0]).abs().max() > 0.1


def test_a_perfect_denoiser_gives_the_clean_latents_in_any_number_of_steps() -> None:
    clean = torch.randn(1, 2, 4, *SIZE, generator=torch.Generator().manual_seed(5))

    for steps in (1, 4, 50):
        scheduler = make_scheduler(steps)
        alphas = iter(scheduler.alphas_cumprod[scheduler.timesteps])

        def knows(x: Tensor, log_snr: Tensor, past: State | None) -> tuple[Tensor, State]:
            alpha = next(alphas)  # noqa: B023
            noise = (x - alpha.sqrt() * clean) / (1 - alpha).sqrt()
            return alpha.sqrt() * noise - (1 - alpha).sqrt() * clean, []

        latents, _ = sample_latents(
            knows,
            shape=tuple(clean.shape),
            scheduler=scheduler,
            noise=lambda step: torch.randn(clean.shape, generator=torch.manual_seed(step)),
            motion=None,
            motion_scale=0.0,
            history=None,
        )
        torch.testing.assert_close(latents, clean, atol=1e-3, rtol=1e-3)


def test_noise_of_another_shape_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="expected"):
        sample_latents(
            denoise,
            shape=(1, 2, 4, *SIZE),
            scheduler=make_scheduler(1),
            noise=lambda step: torch.zeros(1, 1, 4, *SIZE),
            motion=None,
            motion_scale=0.0,
            history=None,
        )
