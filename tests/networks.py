"""The real networks, a few channels wide, for tests that need no trained ones."""

from pathlib import Path

import torch

from vsr_cli.models.small.model import SmallConfig, SmallModel
from vsr_cli.models.weights import save_weights

TINY = SmallConfig(
    latent_channels=4,
    lr_channels=8,
    trunk_blocks=1,
    decoder_blocks=1,
    denoiser_channels=8,
    condition_channels=8,
    default_steps=2,
    coarse_blocks=1,
    output_channels=4,
    scales=(4, 2, 1),
)


def tiny_model(seed: int = 0) -> SmallModel:
    """A tiny model with every part awake.

    Zero-initialised parts are randomised too: a temporal mixer that is the identity would make
    any way of cutting clips look right.
    """
    torch.manual_seed(seed)
    model = SmallModel(TINY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def write_tiny_weights(path: Path) -> Path:
    """Save a tiny model to `path`, and return it."""
    save_weights(path, tiny_model().state_dict(), TINY)
    return path
