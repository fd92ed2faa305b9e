"""The straight way from noise to clean latents."""

import pytest
import torch
from torch import Tensor

from vsr_cli.diffusion.flow_chain import straight_times, walk_straight


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_perfect_prediction_ends_at_the_clean_latents(steps: int) -> None:
    clean, noise = torch.full((2, 3), 0.3), torch.randn(2, 3)
    times: list[float] = []

    def predict(x: Tensor, t: float) -> Tensor:
        times.append(t)
        expected = (1 - t / 1000) * clean + t / 1000 * noise
        torch.testing.assert_close(x, expected)
        return noise - clean

    torch.testing.assert_close(walk_straight(predict, noise, steps), clean)
    assert tuple(times) == straight_times(steps)


def test_one_step_is_noise_minus_prediction() -> None:
    noise = torch.randn(4)
    assert torch.equal(walk_straight(lambda x, t: x * t, noise, 1), noise - noise * 1000)
    assert straight_times(4) == (1000, 750, 500, 250)
    with pytest.raises(ValueError, match="1 step or more"):
        straight_times(0)
