"""The real networks, a few channels wide, for tests that need no trained ones."""

from dataclasses import replace
from pathlib import Path

import torch

from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.models.small.int8 import observe_ranges
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


# Wide enough that its convolutions can be rounded to 8 bits.
ROUNDABLE = replace(TINY, lr_channels=32, denoiser_channels=32, condition_channels=32)


def tiny_model(seed: int = 0, config: SmallConfig = TINY) -> SmallModel:
    """A tiny model with every part awake.

    Zero-initialised parts are randomised too: a temporal mixer that is the identity would make
    any way of cutting clips look right.
    """
    torch.manual_seed(seed)
    model = SmallModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def roundable_model() -> SmallModel:
    """One that knows the ranges it is rounded within: those of a little noise."""
    model = tiny_model(config=ROUNDABLE)
    with observe_ranges(model) as found, torch.autocast("cpu", torch.bfloat16):
        for scale in ROUNDABLE.scales:
            side = 64 // scale
            lr_frames = torch.rand(1, 3, 3, side, side) * 2 - 1
            condition = model.condition(lr_frames, scale)
            latents = torch.randn(1, 3, 4, 8, 8)
            model.denoise(latents, torch.zeros(1), condition, None)
            warp = MemoryWarp(torch.zeros(1, 2, 16, 16), torch.ones(1, 1, 16, 16))
            model.decode(
                latents,
                lr_frames,
                condition.lr_features,
                fidelity=1.0,
                memory_features=None,
                warps=[None, warp, warp],
            )
    model.config = replace(ROUNDABLE, activation_ranges=found)
    return model


def write_tiny_weights(path: Path) -> Path:
    """Save a tiny model to `path`, and return it."""
    save_weights(path, tiny_model().state_dict(), TINY)
    return path


def write_roundable_weights(path: Path) -> Path:
    """The same of a `roundable_model`."""
    model = roundable_model()
    save_weights(path, model.state_dict(), model.config)
    return path
