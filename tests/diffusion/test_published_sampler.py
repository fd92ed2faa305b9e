"""Sampling as the published family does it: which noise, which time and which sigma, and when."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vsr_cli.diffusion.sampler import sample_from_lr
from vsr_cli.diffusion.schedule import RespacedChain, keyed_noise, make_respaced_chain

SIZE = (6, 8)
CHANNELS = 4


def noise_of(frames: range) -> Callable[[int], Tensor]:
    def noise(draw: int) -> Tensor:
        rows, columns = range(SIZE[0]), range(SIZE[1])
        return keyed_noise(
            3, frames=frames, step=draw, channels=CHANNELS, rows=rows, columns=columns
        )[None]

    return noise


def lr_latents(frames: range) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    scene = torch.randn(1, 12, CHANNELS, *SIZE, generator=generator)
    return scene[:, frames.start : frames.stop]


def predict_noise(latents: Tensor, time: int) -> Tensor:
    """A stand-in network, which looks at each frame and the one before it."""
    previous = torch.cat([latents[:, :1], latents[:, :-1]], dim=1)
    return torch.tanh(0.8 * latents - 0.2 * previous + time / 2000)


def pull(latents: Tensor, sigma: float) -> Tensor:
    """A stand-in for guidance, of which nothing but the sigma and each frame itself counts."""
    return latents - 0.1 * (1 + sigma) * latents


class Recorder:
    """Notes in what order the parts are asked, and with what."""

    def __init__(self, frames: range) -> None:
        self.calls: list[tuple[str, float]] = []
        self._noise = noise_of(frames)

    def noise(self, draw: int) -> Tensor:
        self.calls.append(("noise", draw))
        return self._noise(draw)

    def predict(self, latents: Tensor, time: int) -> Tensor:
        self.calls.append(("predict", time))
        return predict_noise(latents, time)

    def guide(self, latents: Tensor, sigma: float) -> Tensor:
        self.calls.append(("guide", sigma))
        return pull(latents, sigma)


def by_hand(chain: RespacedChain, frames: range) -> list[Tensor]:
    """The latents at the start and after each step."""
    noise, steps = noise_of(frames), len(chain.network_times)
    x = chain.noise_start(lr_latents(frames), noise(0))
    states = [x]
    for done, index in enumerate(reversed(range(steps)), start=1):
        drawn = noise(done) if index > 0 else torch.zeros_like(x)
        predicted = predict_noise(x, chain.network_times[index])
        x = pull(chain.scheduler.step(predicted, index, x, drawn), chain.scheduler.sigma(index))
        states.append(x)
    return states


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_each_step_has_its_own_noise_time_and_sigma(steps: int) -> None:
    chain, recorder = make_respaced_chain(steps), Recorder(range(3))
    sample_from_lr(
        recorder.predict,
        lr_latents(range(3)),
        chain=chain,
        noise=recorder.noise,
        guide=recorder.guide,
    )
    expected: list[tuple[str, float]] = [("noise", 0)]
    for done, index in enumerate(reversed(range(steps)), start=1):
        expected.append(("predict", chain.network_times[index]))
        expected += [("noise", done)] if index > 0 else []
        expected.append(("guide", chain.scheduler.sigma(index)))
    assert recorder.calls == expected
    assert recorder.calls[-1] == ("guide", 0.0)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_latents_are_those_of_the_chain_followed_by_hand(steps: int) -> None:
    chain = make_respaced_chain(steps)
    latents, kept = sample_from_lr(
        predict_noise,
        lr_latents(range(3)),
        chain=chain,
        noise=noise_of(range(3)),
        guide=pull,
        num_carried=2,
    )
    states = by_hand(chain, range(3))
    torch.testing.assert_close(latents, states[-1])
    assert len(kept) == steps + 1
    for found, state in zip(kept, states, strict=True):
        torch.testing.assert_close(found, state[:, -2:])


@pytest.mark.parametrize("overlap", [1, 3])
def test_frames_of_the_clip_before_go_through_the_states_they_had_there(overlap: int) -> None:
    chain = make_respaced_chain(4)
    whole, _ = sample_from_lr(
        predict_noise, lr_latents(range(9)), chain=chain, noise=noise_of(range(9)), guide=pull
    )
    first, kept = sample_from_lr(
        predict_noise,
        lr_latents(range(5)),
        chain=chain,
        noise=noise_of(range(5)),
        guide=pull,
        num_carried=overlap,
    )
    rest = range(5 - overlap, 9)
    second, _ = sample_from_lr(
        predict_noise,
        lr_latents(rest),
        chain=chain,
        noise=noise_of(rest),
        guide=pull,
        known_states=kept,
    )
    assert torch.equal(second[:, :overlap], first[:, -overlap:])
    torch.testing.assert_close(torch.cat([first, second[:, overlap:]], dim=1), whole)


def test_nothing_is_carried_unless_asked_for() -> None:
    _, kept = sample_from_lr(
        predict_noise,
        lr_latents(range(2)),
        chain=make_respaced_chain(2),
        noise=noise_of(range(2)),
    )
    assert [state.shape[1] for state in kept] == [0, 0, 0]
