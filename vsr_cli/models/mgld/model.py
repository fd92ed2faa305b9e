"""The published family, put together."""

from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.models.base import VideoModel
from vsr_cli.models.mgld.autoencoder import Encoded, FrameEncoder
from vsr_cli.models.mgld.config import NUM_TOKENS, MgldConfig
from vsr_cli.models.mgld.decoder import MgldDecoder
from vsr_cli.models.mgld.denoiser import Denoiser


class MgldModel(VideoModel):
    """MGLD-VSR (arXiv 2312.00853): a diffusion U-Net and an autoencoder over LR frames.

    Unlike the shipped family it works on frames that are enlarged already, by any scale. Latents
    are an eighth of their size. The prompt is always empty, so its embedding is a constant.

    `feature_encoder` is that of the video autoencoder; it shares its weights with `encoder` where
    the published files held the same twice.
    """

    family = "mgld"

    def __init__(self, config: MgldConfig, *, shares_encoder: bool) -> None:
        super().__init__()
        self.config = config
        self.path: Path | None = None  # the file it was loaded from
        self.has_flow = False  # whether RAFT is in that file, too
        self.denoiser = Denoiser(config)
        self.encoder = FrameEncoder(config)
        self.decoder = MgldDecoder(config)
        self.feature_encoder = self.encoder if shares_encoder else FrameEncoder(config)
        self.register_buffer("context", torch.zeros(1, NUM_TOKENS, config.context_channels))
        self.context: Tensor

    @property
    def default_steps(self) -> int:
        """Steps of the published evaluation."""
        return self.config.default_steps

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return self.context.dtype

    def encode(self, frames: Tensor) -> Encoded:
        """Frames (T, 3, H, W) in [-1, 1] that are enlarged already, H and W multiples of 8."""
        return self.encoder(self._to_dtype(frames))

    def features(self, frames: Tensor) -> tuple[Tensor, ...]:
        """What the decoder may see of the same frames.

        They are large, so they are not kept while latents are sampled: frames are encoded again.
        """
        return self.feature_encoder(self._to_dtype(frames)).features

    def denoise(self, noisy_latents: Tensor, lr_latents: Tensor, t: int) -> Tensor:
        """Predict the noise in (B, T, 4, h, w), h and w multiples of 8, at time `t`; float32."""
        b, num_frames = noisy_latents.shape[:2]
        times = torch.full((b, num_frames), t, device=noisy_latents.device)
        return self.denoiser(
            self._to_dtype(noisy_latents), self._to_dtype(lr_latents), times, self.context
        ).float()

    def decode(self, latents: Tensor, features: tuple[Tensor, ...], fidelity: float) -> Tensor:
        """Frames (T, 3, 8h, 8w), float32 and not clamped, from scaled latents (T, 4, h, w)."""
        return self.decoder(self._to_dtype(latents), features, fidelity).float()

    def _to_dtype(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)
