"""Frames -> latents of the published family, and the features that its decoder may see."""

from dataclasses import dataclass

import torch
from diffusers.models.autoencoders.vae import Encoder
from torch import Tensor, nn

from vsr_cli.models.mgld.config import LATENT_CHANNELS, LATENT_SCALE, MgldConfig
from vsr_cli.models.mgld.temporal import layers_of

FUSED_LEVELS = (1, 2)  # of the encoder: at half and at a quarter of the frame's size
_LEAST_LOG_VARIANCE, _MOST_LOG_VARIANCE = -30.0, 20.0


@dataclass(frozen=True)
class Encoded:
    """What the encoder makes of frames (N, 3, H, W).

    mean, log_variance: of the latents as the autoencoder has them, (N, 4, H/8, W/8).
    features: for each of `FUSED_LEVELS`, (N, C, ., .), before that level is halved.
    """

    mean: Tensor
    log_variance: Tensor
    features: tuple[Tensor, ...]

    def latents(self, noise: Tensor | None = None) -> Tensor:
        """Scaled latents (N, 4, h, w): the mode, or with standard normal `noise` a sample."""
        if noise is None:
            return LATENT_SCALE * self.mean
        return LATENT_SCALE * (self.mean + (0.5 * self.log_variance).exp() * noise)


class FrameEncoder(nn.Module):
    """The encoder of Stable Diffusion's autoencoder.

    Shape: frames (N, 3, H, W) in [-1, 1], H and W multiples of 8.
    """

    def __init__(self, config: MgldConfig) -> None:
        super().__init__()
        widths = config.autoencoder_channels
        self.encoder = Encoder(
            out_channels=LATENT_CHANNELS,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            block_out_channels=widths,
        )
        self.quant_conv = nn.Conv2d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)

    def forward(self, frames: Tensor) -> Encoded:
        """One frame after the other: memory does not grow with their number."""
        encoded = [self._encode(frame[None]) for frame in frames]
        mean, log_variance = torch.cat([moments for moments, _ in encoded]).chunk(2, dim=1)
        features = zip(*(features for _, features in encoded), strict=True)
        return Encoded(
            mean.float(),
            log_variance.float().clamp(_LEAST_LOG_VARIANCE, _MOST_LOG_VARIANCE),
            tuple(torch.cat(level) for level in features),
        )

    def _encode(self, frame: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        x = self.encoder.conv_in(frame)
        for level, block in enumerate(self.encoder.down_blocks):
            for resnet in layers_of(block, "resnets"):
                x = resnet(x, None)
            if level in FUSED_LEVELS:
                features.append(x)
            for downsample in layers_of(block, "downsamplers"):
                x = downsample(x)
        x = self.encoder.conv_act(self.encoder.conv_norm_out(self.encoder.mid_block(x)))
        return self.quant_conv(self.encoder.conv_out(x)), features
