"""Recordings of the original SeedVR2 at reduced width, and models filled with their weights."""

from typing import TypeVar

from torch import Tensor, nn

from tests.parity import recorded
from vsr_cli.models.seedvr2.autoencoder import VideoAutoencoder
from vsr_cli.models.seedvr2.config import SeedVr2Config
from vsr_cli.models.seedvr2.denoiser import Denoiser

Network = TypeVar("Network", bound=nn.Module)

RECORDED = SeedVr2Config(
    width=64,
    num_heads=2,
    head_channels=32,
    num_blocks=4,
    separate_blocks=2,
    hidden_width=256,
    text_width=48,
    num_words=7,
    autoencoder_channels=(8, 16, 24, 24),
    norm_groups=4,
)


def split(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights by their published names, and inputs and outputs; skips where there are none."""
    tensors = recorded(name)
    weights = {n.removeprefix("weights."): t for n, t in tensors.items() if n.startswith("weights")}
    return weights, {n.removeprefix("io."): t for n, t in tensors.items() if n.startswith("io.")}


def recorded_denoiser() -> tuple[Denoiser, dict[str, Tensor]]:
    """The network, and what went in and came out."""
    weights, io = split("seedvr2_dit")
    kept = {name: tensor for name, tensor in weights.items() if not name.endswith("rope.freqs")}
    return _filled(Denoiser(RECORDED), kept), io


def recorded_autoencoder() -> tuple[VideoAutoencoder, dict[str, Tensor]]:
    """The network, and what went in and came out."""
    weights, io = split("seedvr2_vae")
    return _filled(VideoAutoencoder(RECORDED), weights), io


def _filled(network: Network, weights: dict[str, Tensor]) -> Network:
    network.load_state_dict(weights)  # strictly
    return network.eval().requires_grad_(False)


def frames_first(x: Tensor) -> Tensor:
    """Recorded (1, C, T, H, W) -> (T, C, H, W)."""
    return x[0].transpose(0, 1)


def channels_last(x: Tensor) -> Tensor:
    """(T, C, h, w) -> (T, h, w, C), as latents were recorded."""
    return x.permute(0, 2, 3, 1)


def channels_first(x: Tensor) -> Tensor:
    """The reverse."""
    return x.permute(0, 3, 1, 2)


def worst(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected value."""
    return float((found - expected).abs().max() / expected.abs().max())
