"""SeedVR2, put together."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

from vsr_cli.models.base import VideoModel
from vsr_cli.models.seedvr2.autoencoder import Stream, VideoAutoencoder
from vsr_cli.models.seedvr2.config import LATENT_SCALE, SeedVr2Config
from vsr_cli.models.seedvr2.denoiser import Denoiser, Turn


class SeedVr2Model(VideoModel):
    """SeedVR2 (arXiv 2506.05301): a diffusion transformer and a causal video autoencoder.

    It works on frames that are enlarged already, by any scale. Latents are an eighth of their size
    and a quarter of their number. The prompt is always the same, so its embedding is a constant.
    """

    family = "seedvr2"

    def __init__(self, config: SeedVr2Config) -> None:
        super().__init__()
        self.config = config
        self.denoiser = Denoiser(config)
        self.autoencoder = VideoAutoencoder(config)
        self.register_buffer("text", torch.zeros(config.num_words, config.text_width))
        self.text: Tensor

    @property
    def default_steps(self) -> int:
        """The published model needs one."""
        return self.config.default_steps

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return self.text.dtype

    def encode(self, frames: Iterable[Tensor], noise: Tensor) -> Tensor:
        """Scaled latents (T', 16, h, w) of 4n+1 frames (3, 8h, 8w) in [-1, 1]: a sample.

        Args:
            frames: enlarged already.
            noise: standard normal, of the result's shape; the published model samples, too.
        """
        mean, log_variance = self.autoencoder.encode(frames)
        return LATENT_SCALE * (mean + (0.5 * log_variance).exp() * noise)

    def denoise(
        self, noisy_latents: Tensor, lr_latents: Tensor, t: float, *, turn: Turn = nullcontext
    ) -> Tensor:
        """Predict noise minus clean latents of (T', 16, h, w), h and w even, at time `t`.

        `turn` is entered with each block of the denoiser for as long as that computes.
        """
        condition = torch.cat((lr_latents, torch.ones_like(lr_latents[:, :1])), dim=1)
        return self.denoiser(noisy_latents, condition, self.text, t, turn=turn)

    def decode(self, latents: Tensor, stream: Stream, *, skip: int = 0) -> Iterator[Tensor]:
        """Frames (3, 8h, 8w), float32 and not clamped, of scaled latents (T', 16, h, w).

        Args:
            latents: of one shot.
            stream: which they go on with; the first latent frame of one stands for a single frame.
            skip: leave out so many frames at the front.
        """
        return self.autoencoder.decode(latents / LATENT_SCALE, stream, skip=skip)
