"""The denoising network and the encoder of its condition."""

from torch import Tensor, nn

from vsr_cli.models.small.blocks import (
    ChannelNorm,
    ModulatedBlock,
    ResBlocks,
    TemporalMixer,
    TimeEmbedding,
    zero_init,
)
from vsr_cli.models.small.fused import (
    activate,
    cat_channels,
    conv_shuffle,
    merge_frames,
    split_frames,
    unshuffle_conv,
)

Past = list[Tensor]  # one (B, 2, C, H, W) for each temporal mixer
LEVEL_OF_MIXER = (0, 1, 2, 1, 0)  # level n has a 2^n-th of the resolution, sides rounded up


class ConditionEncoder(nn.Module):
    """Features of the source -> condition features for each level of the U-Net; run once a clip.

    Shape: frames (N, 3, H, W) and features (N, C, H, W) at a quarter of the target, H and W even
    -> (N, K, H/2, W/2), (N, K, H/4, W/4), (N, K, H/8, W/8), sides rounded up.
    """

    def __init__(self, lr_channels: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4 * (lr_channels + 3), channels, 1)
        self.level0 = ResBlocks(channels, 2)
        self.down1 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.level1 = ResBlocks(channels, 2)
        self.down2 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.level2 = ResBlocks(channels, 2)

    def forward(self, frames: Tensor, lr_features: Tensor) -> list[Tensor]:
        level0 = self.level0(unshuffle_conv(self.stem, cat_channels(frames, lr_features)))
        level1 = self.level1(self.down1(level0))
        level2 = self.level2(self.down2(level1))
        return [level0, level1, level2]


class Denoiser(nn.Module):
    """U-Net of three levels predicting v from noisy latents, t and the LR condition.

    v = sqrt(A) eps - sqrt(1 - A) x0 (arXiv 2202.00512). A temporal mixer follows each level on
    the way down and up. Norms are per pixel and there is no attention, so the receptive field
    is bounded in space, and in time nothing depends on later frames.

    Shape: noisy latents (B, T, L, h, w), log-SNR (B,), condition: three levels of (B*T, K, ., .)
    -> v (B, T, L, h, w) and the mixers' new past.
    """

    def __init__(
        self,
        latent_channels: int,
        channels: int,
        condition_channels: int,
    ) -> None:
        super().__init__()
        c0, c1, c2 = channels, 2 * channels, 3 * channels
        k, e = condition_channels, 4 * channels

        def block(channels_in: int, channels_out: int) -> ModulatedBlock:
            return ModulatedBlock(channels_in, channels_out, k, e)

        self.time = TimeEmbedding(e)
        self.stem = nn.Conv2d(latent_channels, c0, 3, padding=1)
        self.down0 = nn.ModuleList([block(c0, c0), block(c0, c0)])
        self.to1 = nn.Conv2d(c0, c1, 3, stride=2, padding=1)
        self.down1 = nn.ModuleList([block(c1, c1), block(c1, c1)])
        self.to2 = nn.Conv2d(c1, c2, 3, stride=2, padding=1)
        self.middle = nn.ModuleList([block(c2, c2), block(c2, c2), block(c2, c2)])
        self.from2 = nn.Conv2d(c2, 4 * c1, 1)
        self.up1 = nn.ModuleList([block(2 * c1, c1), block(c1, c1)])
        self.from1 = nn.Conv2d(c1, 4 * c0, 1)
        self.up0 = nn.ModuleList([block(2 * c0, c0), block(c0, c0)])
        self.mixers = nn.ModuleList([TemporalMixer((c0, c1, c2)[n]) for n in LEVEL_OF_MIXER])
        self.norm = ChannelNorm(c0)
        self.out = zero_init(nn.Conv2d(c0, latent_channels, 3, padding=1))

    def forward(
        self,
        noisy_latents: Tensor,
        log_snr: Tensor,
        condition: list[Tensor],
        past: Past | None,
    ) -> tuple[Tensor, Past]:
        b, num_frames = noisy_latents.shape[:2]
        time = self.time(log_snr)
        if b > 1:
            time = time.repeat_interleave(num_frames, dim=0)  # (B*T, E)
        new_past: Past = []

        def level(blocks: nn.ModuleList, x: Tensor, seen: Tensor) -> Tensor:
            for block in blocks:
                x = block(x, seen, time)
            mixer = self.mixers[len(new_past)]
            before = past[len(new_past)] if past is not None else None
            mixed, after = mixer(split_frames(x, b), before)
            new_past.append(after)
            return merge_frames(mixed)

        x = self.stem(merge_frames(noisy_latents))  # (B*T, C, h, w)
        skip0 = level(self.down0, x, condition[0])
        skip1 = level(self.down1, self.to1(skip0), condition[1])
        x = level(self.middle, self.to2(skip1), condition[2])
        x = _cut(conv_shuffle(self.from2, x), like=skip1)
        x = level(self.up1, cat_channels(x, skip1), condition[1])
        x = _cut(conv_shuffle(self.from1, x), like=skip0)
        x = level(self.up0, cat_channels(x, skip0), condition[0])
        v = self.out(activate(self.norm(x)))
        return split_frames(v, b), new_past


def _cut(x: Tensor, *, like: Tensor) -> Tensor:
    """Cut to the size it came from, where odd sides were rounded up."""
    return x[..., : like.shape[-2], : like.shape[-1]]
