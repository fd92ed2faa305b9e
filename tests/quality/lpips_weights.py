"""Weights of LPIPS that were never trained: enough for every law but that of taste."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import squeezenet1_1

CHANNELS = (64, 128, 256, 384, 384, 512, 512)  # of what is compared


def random_lpips_weights() -> dict[str, Tensor]:
    """Random SqueezeNet and random positive layer weights."""
    torch.manual_seed(0)
    features = squeezenet1_1(weights=None).features.state_dict()
    tensors = {f"features.{name}": tensor for name, tensor in features.items()}
    for number, channels in enumerate(CHANNELS):
        tensors[f"lin{number}"] = torch.rand(channels)
    return tensors


def write_lpips_weights(path: Path) -> Path:
    """Save random weights to `path`, and return it."""
    save_file(random_lpips_weights(), path, metadata={"format": "pt"})
    return path
