"""The conditional autoencoder: latents hold only what the LR frames lack."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.models.small.blocks import res_blocks


class LrTrunk(nn.Module):
    """Features of LR frames at their own resolution, shared by every other part.

    Shape: (N, 3, H, W) in [-1, 1] -> (N, C, H, W).
    """

    def __init__(self, channels: int, num_blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = res_blocks(channels, num_blocks)
        self.last = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, lr_frames: Tensor) -> Tensor:
        x = self.stem(lr_frames)
        return x + self.last(self.blocks(x))


class LatentEncoder(nn.Module):
    """Truth minus up-sampled LR, seen beside the LR features -> Gaussian over latents.

    Only training needs it: at run time the sampler draws the latents.

    Shape: residual (N, 3, 4H, 4W), LR features (N, C, H, W), H and W even
    -> mean and log-variance, each (N, L, H/2, W/2).
    """

    def __init__(self, channels: int, latent_channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * 16 + channels, channels, 3, padding=1)
        self.fine = res_blocks(channels, 2)
        # Space to depth and a smooth 3x3: nothing is skipped, so small shifts do not alias.
        self.down = nn.Conv2d(4 * channels, 2 * channels, 3, padding=1)
        self.coarse = res_blocks(2 * channels, 2)
        self.out = nn.Conv2d(2 * channels, 2 * latent_channels, 3, padding=1)

    def forward(self, residual: Tensor, lr_features: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(torch.cat([F.pixel_unshuffle(residual, 4), lr_features], dim=1))
        x = self.down(F.pixel_unshuffle(self.fine(x), 2))
        mean, log_variance = self.out(self.coarse(x)).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)
