import pytest
import torch
from torch import Tensor

from vsr_cli.config import Guidance
from vsr_cli.diffusion.motion import Motion, guide_bounded, guide_paper, motion_loss
from vsr_cli.diffusion.sampler import State, Trajectory, guidance_rounds, sample_latents
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
    guidance: Guidance = "bounded",
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
        guidance=guidance,
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


def test_short_chains_pull_as_often_as_long_ones_by_several_rounds_a_step() -> None:
    assert [guidance_rounds(steps) for steps in (1, 4, 15, 16, 50)] == [16, 4, 2, 1, 1]
    # The last of its four rounds leaves less than one pull of what it found would.
    free, _ = draw(range(6), steps=4, scale=0.0, motion=still(5))
    guided, _ = draw(range(6), steps=4, scale=1.0, motion=still(5))
    once = guide_bounded(free, still(5), strength=1.0)
    assert motion_loss(guided, still(5)) < 0.8 * motion_loss(once, still(5))


def shifted(num_pairs: int) -> Motion:
    """Everything moves one pixel to the right; what is at the border cannot be trusted."""
    flow = torch.zeros(1, num_pairs, 2, *SIZE)
    flow[:, :, 0] = 1
    seen = torch.ones(1, num_pairs, 1, *SIZE)
    seen_forward, seen_backward = seen.clone(), seen.clone()
    seen_forward[..., -1], seen_backward[..., 0] = 0, 0
    return Motion(flow, -flow, seen_forward, seen_backward)


def test_paper_guidance_pulls_the_stepped_latents_by_the_variance_of_the_step() -> None:
    scale, steps, frames = 0.8, 3, range(4)
    scheduler = make_scheduler(steps)

    def noise(step: int) -> Tensor:
        return keyed_noise(
            0, frames=frames, step=step, channels=4, rows=range(SIZE[0]), columns=range(SIZE[1])
        )[None]

    x = noise(0)
    for index, t in enumerate(scheduler.timesteps.tolist()):
        alpha = scheduler.alphas_cumprod[t]
        v, _ = denoise(x, alpha.clamp_min(1e-9).logit().expand(1), None)
        x0 = alpha.sqrt() * x - (1 - alpha).sqrt() * v
        is_last = index == steps - 1
        x = scheduler.step(x0, t, x, torch.zeros_like(x) if is_last else noise(index + 1))
        # z - s sigma^2 grad E(z), the gradient by automatic differentiation
        z = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(motion_loss(z, shifted(3)), z)
        x = x - scale * scheduler.sigma(t) ** 2 * gradient
    found, _ = draw(frames, steps=steps, scale=scale, motion=shifted(3), guidance="paper")
    torch.testing.assert_close(found, x, atol=1e-5, rtol=1e-5)
    bounded, _ = draw(frames, steps=steps, scale=scale, motion=shifted(3))
    free, _ = draw(frames, steps=steps, scale=0.0, motion=shifted(3), guidance="paper")
    assert (found - bounded).abs().max() > 1e-2
    assert (found - free).abs().max() > 1e-2


def test_what_paper_guidance_hands_on_was_stepped_and_not_yet_pulled() -> None:
    scheduler = make_scheduler(2)
    t = scheduler.timesteps.tolist()[0]
    start, drawn = (
        keyed_noise(
            0, frames=range(3), step=step, channels=4, rows=range(SIZE[0]), columns=range(SIZE[1])
        )[None]
        for step in (0, 1)
    )
    alpha = scheduler.alphas_cumprod[t]
    v, _ = denoise(start, alpha.clamp_min(1e-9).logit().expand(1), None)
    stepped = scheduler.step(alpha.sqrt() * start - (1 - alpha).sqrt() * v, t, start, drawn)
    _, history = draw(range(3), steps=2, scale=0.8, motion=shifted(2), guidance="paper")
    torch.testing.assert_close(history.stepped_latents[0], stepped[:, -1:])


def test_paper_guidance_reaches_over_from_the_clip_before() -> None:
    # Two steps: only the first has a variance, so what it does can be followed by hand.
    _, history = draw(range(3), steps=2, scale=0.8, motion=shifted(2), guidance="paper")
    last, states = history.stepped_latents[0], list(history.states)
    scheduler = make_scheduler(2)
    first_t, second_t = scheduler.timesteps.tolist()

    def step(x: Tensor, t: int, past: State, drawn: Tensor) -> Tensor:
        alpha = scheduler.alphas_cumprod[t]
        v, _ = denoise(x, alpha.clamp_min(1e-9).logit().expand(1), past)
        x0 = alpha.sqrt() * x - (1 - alpha).sqrt() * v
        return scheduler.step(x0, t, x, drawn)

    start, drawn = (
        keyed_noise(
            0,
            frames=range(3, 5),
            step=step_index,
            channels=4,
            rows=range(SIZE[0]),
            columns=range(SIZE[1]),
        )[None]
        for step_index in (0, 1)
    )
    x = step(start, first_t, states[0], drawn)
    x = guide_paper(
        torch.cat([last, x], dim=1),
        shifted(2),
        strength=0.8,
        variance=scheduler.sigma(first_t) ** 2,
    )[:, 1:]
    expected = step(x, second_t, states[1], torch.zeros_like(x))
    found, _ = draw(
        range(3, 5), steps=2, scale=0.8, motion=shifted(2), history=history, guidance="paper"
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("guidance", ["bounded", "paper"])
def test_every_clip_of_a_shot_keeps_its_trajectory_in_the_memory_of_the_first(
    guidance: Guidance,
) -> None:
    steps = 5

    def kept(trajectory: Trajectory) -> list[Tensor]:
        states = [x for state in trajectory.states for x in state]
        return [*states, *trajectory.predictions, *trajectory.stepped_latents]

    _, history = draw(range(3), steps=steps, scale=1.0, motion=still(2), guidance=guidance)
    places = [x.data_ptr() for x in kept(history)]
    before = [x.clone() for x in kept(history)]
    assert len(places) == len(set(places)) == steps * (3 if guidance == "paper" else 2)
    for x in kept(history):  # all steps in one block, and nothing else of the clip
        assert x.untyped_storage().nbytes() == steps * x.numel() * x.element_size()
    _, history = draw(
        range(3, 5), steps=steps, scale=1.0, motion=still(2), history=history, guidance=guidance
    )
    assert [x.data_ptr() for x in kept(history)] == places
    assert not any(torch.equal(*pair) for pair in zip(kept(history), before, strict=True))


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
