"""The shipped family, put together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr_cli.models.base import VideoModel
from vsr_cli.models.small.autoencoder import LatentEncoder, LrTrunk
from vsr_cli.models.small.decoder import Recall, SequenceDecoder
from vsr_cli.models.small.denoiser import ConditionEncoder, Denoiser, Past
from vsr_cli.ops.windows import Window


@dataclass(frozen=True, kw_only=True)
class SmallConfig:
    """Widths and depths; saved in the header of the weights."""

    latent_channels: int = 16
    lr_channels: int = 64
    trunk_blocks: int = 6
    decoder_blocks: int = 4
    denoiser_channels: int = 64
    condition_channels: int = 64
    default_steps: int = 4


@dataclass(frozen=True)
class Condition:
    """All that the networks know of the LR frames of a clip.

    lr_features: (B, T, C, H, W), H and W even; levels: three tensors (B*T, K, ., .) for the U-Net.
    """

    lr_features: Tensor
    levels: list[Tensor]

    def during(self, frames: Window) -> "Condition":
        """What is known of some of the frames."""
        shape = self.lr_features.shape[:2]
        levels = [frames.cut(x.unflatten(0, shape), dim=1).flatten(0, 1) for x in self.levels]
        return Condition(frames.cut(self.lr_features, dim=1), levels)


class SmallModel(VideoModel):
    """Conditional autoencoder, condition encoder, denoiser and sequence decoder.

    Always enlarges four times. Latents have half the LR resolution (an eighth of the output's)
    and are divided by their standard deviation over the training data. Zero latents stand for
    "nothing to add": the decoder was taught to be a plain super-resolution network there.
    """

    family = "small"
    scale = 4
    lr_multiple = 2  # sides of LR frames must be multiples of this

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.config = config
        c, latent = config.lr_channels, config.latent_channels
        self.trunk = LrTrunk(c, config.trunk_blocks)
        self.encoder = LatentEncoder(c, latent)
        self.decoder = SequenceDecoder(c, latent, config.decoder_blocks)
        self.condition_encoder = ConditionEncoder(c, config.condition_channels)
        self.denoiser = Denoiser(latent, config.denoiser_channels, config.condition_channels)
        self.register_buffer("latent_std", torch.ones(latent))
        self.latent_std: Tensor

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return self.config.latent_channels

    @property
    def default_steps(self) -> int:
        """Steps the evaluation found best for these weights."""
        return self.config.default_steps

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return self.trunk.stem.weight.dtype

    def features(self, lr_frames: Tensor) -> Tensor:
        """LR frames (B, T, 3, H, W) -> features (B, T, C, H, W)."""
        flat = lr_frames.flatten(0, 1).to(self.dtype, memory_format=torch.channels_last)
        return self.trunk(flat).unflatten(0, lr_frames.shape[:2])

    def condition(self, lr_frames: Tensor) -> Condition:
        """Encode LR frames (B, T, 3, H, W) in [-1, 1] once a clip; sides even."""
        lr_features = self.features(lr_frames)
        levels = self.condition_encoder(
            lr_frames.flatten(0, 1).to(self.dtype), lr_features.flatten(0, 1)
        )
        return Condition(lr_features=lr_features, levels=levels)

    def encode(
        self, hr_frames: Tensor, lr_frames: Tensor, lr_features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, T, L, h, w), not normalised, of the truth's latents."""
        b, t = hr_frames.shape[:2]
        residual = hr_frames.flatten(0, 1) - upsample(lr_frames.flatten(0, 1))
        mean, log_variance = self.encoder(residual, lr_features.flatten(0, 1))
        return mean.unflatten(0, (b, t)), log_variance.unflatten(0, (b, t))

    def normalise(self, latents: Tensor) -> Tensor:
        """Encoder space -> the space that is diffused, unit variance per channel."""
        return latents / self.latent_std[:, None, None]

    def denoise(
        self, noisy_latents: Tensor, log_snr: Tensor, condition: Condition, past: Past | None
    ) -> tuple[Tensor, Past]:
        """Predict v from (B, T, L, h, w) at log-SNR (B,); returns it and the mixers' past."""
        x = noisy_latents.to(self.dtype)
        return self.denoiser(x, log_snr, condition.levels, past)

    def decode(
        self,
        latents: Tensor,
        lr_frames: Tensor,
        lr_features: Tensor,
        *,
        fidelity: float | Tensor,
        remembered: Tensor | None,
        recalls: Sequence[Recall | None],
    ) -> tuple[Tensor, Tensor]:
        """Frames (B, T, 3, 4H, 4W), float32 and not clamped, from normalised latents.

        `recalls[t]` leads frame t back to the one before it, None where there is none;
        `remembered` is what the last call returned beside the frames.
        """
        raw = latents * self.latent_std[:, None, None]
        frames = []
        for index, recall in enumerate(recalls):
            residual, remembered = self.decoder(
                raw[:, index].to(self.dtype, memory_format=torch.channels_last),
                lr_features[:, index],
                fidelity,
                remembered,
                recall,
            )
            frames.append(upsample(lr_frames[:, index]) + residual.float())
        assert remembered is not None
        return torch.stack(frames, dim=1), remembered


def upsample(lr_frames: Tensor) -> Tensor:
    """Bicubic x4 of (N, 3, H, W) in float32: what the networks add detail to."""
    return F.interpolate(lr_frames.float(), scale_factor=4, mode="bicubic", align_corners=False)
