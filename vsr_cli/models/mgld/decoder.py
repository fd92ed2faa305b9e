"""The temporal decoder of the published family: latents and LR features -> frames."""

from collections.abc import Sequence
from typing import cast

import torch
from diffusers.models.autoencoders.vae import Decoder
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.models.mgld.autoencoder import FUSED_LEVELS
from vsr_cli.models.mgld.config import LATENT_CHANNELS, LATENT_SCALE, MgldConfig
from vsr_cli.models.mgld.temporal import TemporalConv, for_each, layers_of

_NORM_EPS = 1e-6


class DenseBlock(nn.Module):
    """Five convolutions, each seeing all before it; a fifth of the last is added to the input.

    The residual dense block of ESRGAN (arXiv 1809.00219), once.

    Shape: (N, C, h, w) -> (N, C, h, w).
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        outputs = [growth] * 4 + [channels]
        self.convs = nn.ModuleList(
            nn.Conv2d(channels + growth * index, output, 3, padding=1)
            for index, output in enumerate(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in self.convs[:-1]:
            seen.append(F.leaky_relu(conv(torch.cat(seen, dim=1)), 0.2))
        return x + 0.2 * self.convs[-1](torch.cat(seen, dim=1))


class Fusion(nn.Module):
    """Adds what the LR frame shows, by weight: h + fidelity f([lr, h]).

    The controllable feature wrapping of StableSR (arXiv 2305.07015) without its scale.

    Shape: h and LR features (N, C, ., .) -> (N, C, ., .).
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.first = _timeless_block(2 * channels, channels)
        self.dense = nn.Sequential(DenseBlock(channels, growth), DenseBlock(channels, growth))
        self.last = _timeless_block(channels, channels)

    def forward(self, h: Tensor, lr_features: Tensor, fidelity: float) -> Tensor:
        joined = self.first(torch.cat([lr_features, h], dim=1), None)
        return h + fidelity * self.last(self.dense(joined), None)


def _timeless_block(channels_in: int, channels_out: int) -> ResnetBlock2D:
    """A residual block that knows no diffusion time."""
    return ResnetBlock2D(
        in_channels=channels_in,
        out_channels=channels_out,
        temb_channels=None,  # type: ignore[arg-type]  # as in diffusers' own autoencoder
        eps=_NORM_EPS,
    )


class MgldDecoder(nn.Module):
    """Stable Diffusion's decoder, a temporal mixer after every residual block, two fusions.

    Frames go through all that is spatial one at a time: group norms and attention look at one
    frame, so this is exact, and large activations exist once for each frame and no more.

    Shape: scaled latents (T, 4, h, w), LR features (T, C, ., .) of `FUSED_LEVELS` -> frames
    (T, 3, 8h, 8w), about [-1, 1].
    """

    def __init__(self, config: MgldConfig) -> None:
        super().__init__()
        widths = config.autoencoder_channels
        self.post_quant_conv = nn.Conv2d(LATENT_CHANNELS, LATENT_CHANNELS, 1)
        self.decoder = Decoder(
            in_channels=LATENT_CHANNELS,
            out_channels=3,
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=widths,
        )
        self.mid_mixer = TemporalConv(widths[-1])
        self.mixers = nn.ModuleList(
            nn.ModuleList(TemporalConv(width) for _ in range(3)) for width in reversed(widths)
        )
        self.fusions = nn.ModuleList(
            Fusion(widths[level], config.fusion_growth) for level in FUSED_LEVELS
        )

    def forward(self, latents: Tensor, features: Sequence[Tensor], fidelity: float) -> Tensor:
        base = self.decoder
        mixers = cast("Sequence[Sequence[TemporalConv]]", self.mixers)
        frames = list((latents / LATENT_SCALE).split(1))  # of (1, C, ., .), as everything below
        for_each(frames, lambda x: base.conv_in(self.post_quant_conv(x)))
        for_each(frames, lambda x: base.mid_block.resnets[0](x, None))
        self.mid_mixer.mix(frames)
        for_each(frames, lambda x: base.mid_block.attentions[0](x))
        for_each(frames, lambda x: base.mid_block.resnets[1](x, None))
        for index, block in enumerate(base.up_blocks):
            for resnet, mixer in zip(layers_of(block, "resnets"), mixers[index], strict=True):
                for_each(frames, lambda x, resnet=resnet: resnet(x, None))  # type: ignore[misc]
                mixer.mix(frames)
            level = len(base.up_blocks) - 1 - index
            if level in FUSED_LEVELS and fidelity != 0:
                place = FUSED_LEVELS.index(level)
                for time, frame in enumerate(frames):
                    lr_features = features[place][time : time + 1].to(frame.device)
                    frames[time] = self.fusions[place](frame, lr_features, fidelity)
            for upsample in layers_of(block, "upsamplers"):
                for_each(frames, upsample)
        for_each(frames, lambda x: base.conv_out(base.conv_act(base.conv_norm_out(x))))
        return torch.cat(frames)
