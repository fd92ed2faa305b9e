"""Building blocks of the small family; every one is local, so a tile gives what the whole gives."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.models.small.fused import (
    activate,
    cat_channels,
    cat_frames,
    conv_activate,
    conv_add,
    convolve,
    film_activate,
    merge_frames,
    modulate,
    split_frames,
    temporal_conv_add,
)


def zero_init(module: nn.Conv2d) -> nn.Conv2d:
    """Set a convolution to zero, so that what it is added to starts unchanged."""
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel.

    Statistics over space would make the result depend on the size of the picture or tile.

    Shape: (N, C, H, W) -> (N, C, H, W), channels last in memory.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias)
        return y.permute(0, 3, 1, 2)


class ResBlock(nn.Module):
    """Two 3x3 convolutions and a skip, without normalisation: it keeps brightness and contrast.

    Shape: (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():  # a deep stack starts close to the identity
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor, *, may_overwrite: bool = False) -> Tensor:
        h = conv_activate(self.conv1, x)
        return conv_add(self.conv2, h, x, may_overwrite=may_overwrite)


class ResBlocks(nn.Sequential):
    """A stack of residual blocks. What is given stays; what is between them is written over.

    Shape: (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(self, channels: int, count: int) -> None:
        super().__init__(*(ResBlock(channels) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self):
            x = block(x, may_overwrite=index > 0)
        return x


class FeatureWrapping(nn.Module):
    """Controllable feature wrapping: h + w (gamma h + beta), gamma and beta from LR features.

    The formula is that of arXiv 2312.00853, section 3.3; w is `fidelity`.

    Shape: decoder features h and LR features, both (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.affine = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, h: Tensor, lr_features: Tensor, fidelity: float | Tensor) -> Tensor:
        mixed = conv_activate(self.mix, cat_channels(h, lr_features))
        return modulate(self.affine, mixed, h, fidelity)


class Modulation(nn.Module):
    """Normalise, then scale and shift each pixel by the LR condition at time t (SFT).

    norm(h) (1 + gamma) + beta, with gamma and beta read from the condition features after
    these were themselves scaled and shifted by the embedding of t (FiLM): the condition is
    encoded once a clip, only this light head is run at every step.

    Shape: h (N, C, H, W), condition (N, K, H, W), time (N or 1, E) -> (N, C, H, W).
    """

    def __init__(self, channels: int, condition_channels: int, time_channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.film = nn.Linear(time_channels, 2 * condition_channels)
        self.affine = zero_init(nn.Conv2d(condition_channels, 2 * channels, 1))

    def forward(self, h: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        seen = film_activate(condition, *self.film(time).chunk(2, dim=1))
        return modulate(self.affine, seen, self.norm(h))


class ModulatedBlock(nn.Module):
    """Residual block whose two norms are modulated by the LR condition and t.

    What it is given may be written over.

    Shape: (N, C_in, H, W) -> (N, C, H, W).
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        condition_channels: int,
        time_channels: int,
    ) -> None:
        super().__init__()
        self.modulate1 = Modulation(channels_in, condition_channels, time_channels)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.modulate2 = Modulation(channels, condition_channels, time_channels)
        self.conv2 = zero_init(nn.Conv2d(channels, channels, 3, padding=1))
        same = channels_in == channels
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(activate(self.modulate1(x, condition, time)))
        h = activate(self.modulate2(h, condition, time))
        skipped = convolve(self.skip, x) if isinstance(self.skip, nn.Conv2d) else x
        return conv_add(self.conv2, h, skipped, may_overwrite=True)


class TemporalMixer(nn.Module):
    """Residual convolution along time: each frame sees its two predecessors at the same pixel.

    It is causal. The published 1-D convolutions look both ways (arXiv 2312.00853, section
    3.2); looking back only lets a clip continue from the `past` of the one before it and give
    exactly what one long clip would give, so clip length never shows. At the start of a shot
    the first frame stands in for its missing predecessors. Starts as the identity.

    Shape: (B, T, C, H, W) -> the same, and the new past (B, 2, C, H, W).
    """

    reach = 2  # frames looked back

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        # A temporal convolution written as 1x1 over stacked frames: fast in channels-last memory.
        self.conv = zero_init(nn.Conv2d((self.reach + 1) * channels, channels, 1))

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        flat = merge_frames(x)
        y = split_frames(activate(self.norm(flat)), len(x))
        if past is None:
            past = y[:, :1].expand(-1, self.reach, -1, -1, -1)
        seen = cat_frames(past.to(y.dtype), y)
        mixed = temporal_conv_add(self.conv, seen, flat)
        # Cloned: a view would keep every frame of the clip alive as long as itself.
        return split_frames(mixed, len(x)), seen[:, -self.reach :].detach().clone()


class TimeEmbedding(nn.Module):
    """Embedding of the log signal-to-noise ratio, which means the same under any schedule.

    Shape: log-SNR (N,) -> (N, E).
    """

    count = 16  # frequencies

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * self.count, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, log_snr: Tensor) -> Tensor:
        # In float32 whatever the network computes in: half precision would shift the phases.
        exponents = torch.linspace(
            math.log(0.02), math.log(2.0), self.count, device=log_snr.device, dtype=torch.float32
        )
        # Clamped: zero terminal SNR would be minus infinity.
        phase = log_snr.float().clamp(-15, 15)[:, None] * exponents.exp() * math.pi
        waves = torch.cat([phase.sin(), phase.cos()], dim=1).to(self.hidden.weight.dtype)
        return F.silu(self.out(F.silu(self.hidden(waves))))


def shuffle_init(module: nn.Conv2d) -> nn.Conv2d:
    """Start a convolution before a sub-pixel shuffle of 2 as nearest-neighbour enlargement.

    The four pixels that the shuffle makes of one begin equal (ICNR, arXiv 1707.02937), so no
    pattern of two pixels is there from the start.
    """
    with torch.no_grad():
        module.weight.copy_(module.weight[::4].repeat_interleave(4, dim=0))
        if module.bias is not None:
            module.bias.copy_(module.bias[::4].repeat_interleave(4))
    return module
