"""SeedVR2 a few channels wide, with random weights, for tests that need no published ones."""

import torch

from vsr_cli.models.seedvr2.config import SeedVr2Config
from vsr_cli.models.seedvr2.model import SeedVr2Model

TINY = SeedVr2Config(
    width=32,
    num_heads=2,
    head_channels=16,
    num_blocks=3,
    separate_blocks=1,
    hidden_width=48,
    text_width=24,
    num_words=5,
    time_channels=16,
    autoencoder_channels=(8, 8, 16, 16),
    norm_groups=4,
)


def tiny_model(seed: int = 0) -> SeedVr2Model:
    """A tiny model with every part awake: nothing in it is zero, as some parts are at first."""
    generator = torch.Generator().manual_seed(seed)
    model = SeedVr2Model(TINY)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            fan_in = tensor[0].numel() if tensor.ndim > 1 else 9
            tensor.normal_(generator=generator).mul_(fan_in**-0.5)
            if "norm" in name and name.endswith("weight"):
                tensor.add_(1)
    return model.eval().requires_grad_(False)
