"""What graphs of half precision must not do: leave its range."""

import pytest
import torch

from vsr_cli.models.files import shipped_weights
from vsr_cli.models.small.model import Condition, SmallModel
from vsr_cli.models.weights import load_weights


@pytest.mark.slow
@pytest.mark.weights
def test_the_denoiser_stays_finite_in_half_precision_with_four_times_the_usual_condition() -> None:
    exact = load_weights(shipped_weights())
    half = SmallModel(exact.config)
    half.load_state_dict(exact.state_dict())
    half.eval().half()
    generator = torch.Generator().manual_seed(0)
    # White noise drives the coarsest level three times as far as any real frame that was seen.
    source = torch.rand(1, 1, 3, 64, 64, generator=generator) * 2 - 1
    with torch.inference_mode():
        condition = exact.condition(source, 4)
        levels = [*condition.levels[:2], 1.5 * condition.levels[2]]
        sides = levels[0].shape[-2:]
        latents = torch.randn(1, 1, exact.latent_channels, *sides, generator=generator)
        for log_snr in (-20.0, -2.0, 0.0, 5.0):
            time = torch.tensor([log_snr])
            v, _ = exact.denoise(latents, time, Condition(latents, levels), None)
            low = Condition(latents, [level.half() for level in levels])
            found, _ = half.denoise(latents, time, low, None)
            assert float((found.float() - v).abs().max()) <= 1e-2 * float(v.max() - v.min())
