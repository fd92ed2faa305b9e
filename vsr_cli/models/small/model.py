"""The shipped family, put together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr_cli.config import Chain
from vsr_cli.models.base import VideoModel
from vsr_cli.models.small.autoencoder import LatentEncoder, LrTrunk
from vsr_cli.models.small.decoder import MemoryWarp, SequenceDecoder
from vsr_cli.models.small.denoiser import ConditionEncoder, Denoiser, Past
from vsr_cli.models.small.fused import merge_frames, split_frames
from vsr_cli.models.small.int8 import ActivationRanges
from vsr_cli.ops.windows import Window

BODY_STRIDE = 4  # pixels of the target to one of the grid that most of the networks work on
LATENT_STRIDE = 8  # and to one of the latents


@dataclass(frozen=True, kw_only=True)
class SmallConfig:
    """Widths and depths, and how to sample; saved in the header of the weights."""

    latent_channels: int = 4
    lr_channels: int = 64
    trunk_blocks: int = 4
    decoder_blocks: int = 8
    denoiser_channels: int = 64
    condition_channels: int = 64
    coarse_blocks: int = 1  # of the decoder, on the grid of the latents
    output_channels: int = 16  # of the decoder, at full size
    scales: tuple[int, ...] = (4, 2, 1)  # enlargements that there is a stem for, descending
    offered_scales: tuple[int, ...] = (4, 2, 1)  # those that the evaluation found good, descending
    default_steps: int = 4
    noise_scale: float = 1.0  # of what each of `default_steps` adds, by the evaluation
    time_power: float = 3.0  # of chains of more than `default_steps`, likewise
    damping: float = 0.4  # of the latents that those end with, likewise
    activation_ranges: ActivationRanges = field(default_factory=dict)  # none: floats alone


@dataclass(frozen=True)
class Condition:
    """All that the networks know of the LR frames of a clip.

    lr_features: (B, T, C, H, W), H and W even; levels: three tensors (B*T, K, ., .) for the U-Net.
    """

    lr_features: Tensor
    levels: list[Tensor]

    def sliced(self, frames: Window) -> "Condition":
        """What is known of some of the frames."""
        batch = len(self.lr_features)
        levels = [merge_frames(frames.cut(split_frames(x, batch), dim=1)) for x in self.levels]
        return Condition(frames.cut(self.lr_features, dim=1), levels)


class SmallModel(VideoModel):
    """Conditional autoencoder, condition encoder, denoiser and sequence decoder.

    Enlarges by each of `config.scales`; whichever it is, the networks work on grids of the target:
    the body at a quarter of its size, latents at an eighth. Latents have unit mean square over the
    training data. Zero latents stand for "nothing to add": the decoder was taught to be a plain
    restoration network there.
    """

    family = "small"

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.config = config
        c, latent = config.lr_channels, config.latent_channels
        folds = tuple(BODY_STRIDE // scale for scale in config.scales if is_fine(scale))
        self.trunk = LrTrunk(c, config.trunk_blocks, folds)
        self.encoder = LatentEncoder(c, latent)
        self.decoder = SequenceDecoder(
            c,
            latent,
            num_blocks=config.decoder_blocks,
            num_coarse_blocks=config.coarse_blocks,
            output_channels=config.output_channels,
        )
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

    def chain(self, steps: int) -> Chain:
        """How so many steps of the sampler are taken.

        What `default_steps` leave out of their noise is shared by more: if each of fifty left out
        as much, detail would be gone. More steps are also closer together where noise is low, and
        the latents they end with are damped, by (default_steps / steps)^damping: predictions of a
        small network at high noise err each time, and what adds up would be drawn as detail.
        """
        config = self.config
        share = min((config.default_steps - 1) / max(steps - 1, 1), 1)
        noise_scale = 1 - share * (1 - config.noise_scale)
        if steps <= config.default_steps:
            return Chain(noise_scale=noise_scale)
        return Chain(
            noise_scale=noise_scale,
            latent_scale=(config.default_steps / steps) ** config.damping,
            time_power=config.time_power,
        )

    @property
    def offered_scales(self) -> tuple[int, ...]:
        """Enlargements per side that it is good at, descending; others are reduced from these."""
        return self.config.offered_scales

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return self.trunk.stem.weight.dtype

    def features(self, lr_frames: Tensor, scale: int) -> Tensor:
        """Source frames (B, T, 3, h, w) -> features (B, T, C, H, W) on the body's grid.

        H = h scale / 4; sides must be multiples of `lr_multiple(scale)`.
        """
        flat = merge_frames(lr_frames).to(self.dtype, memory_format=torch.channels_last)
        return split_frames(self.trunk(flat, BODY_STRIDE // scale), len(lr_frames))

    def condition(self, lr_frames: Tensor, scale: int) -> Condition:
        """Encode source frames (B, T, 3, h, w) in [-1, 1] once a clip."""
        lr_features = self.features(lr_frames, scale)
        body_frames = merge_frames(reduce_to_body(lr_frames, scale)).to(self.dtype)
        levels = self.condition_encoder(body_frames, merge_frames(lr_features))
        return Condition(lr_features=lr_features, levels=levels)

    def encode(self, hr_frames: Tensor, lr_frames: Tensor, lr_features: Tensor) -> Tensor:
        """Latents (B, T, L, h, w) of the truth (B, T, 3, H, W)."""
        return self.encode_raw(hr_frames, lr_frames, lr_features) / self.latent_std[:, None, None]

    def encode_raw(self, hr_frames: Tensor, lr_frames: Tensor, lr_features: Tensor) -> Tensor:
        """As `encode`, before each channel is divided by its root mean square."""
        size = (hr_frames.shape[-2], hr_frames.shape[-1])
        residual = merge_frames(hr_frames) - enlarge(merge_frames(lr_frames), size)
        raw = self.encoder(residual.to(self.dtype), merge_frames(lr_features))
        return split_frames(raw.float(), len(hr_frames))

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
        memory_features: Tensor | None,
        warps: Sequence[MemoryWarp | None],
    ) -> tuple[Tensor, Tensor]:
        """Frames (B, T, 3, 4H, 4W), float32 and not clamped, from latents; H as in `features`.

        `warps[t]` leads frame t back to the one before it, None where there is none;
        `memory_features` is what the last call returned beside the frames.
        """
        size = (LATENT_STRIDE * latents.shape[-2], LATENT_STRIDE * latents.shape[-1])
        is_filtered = is_fine(size[-1] // lr_frames.shape[-1])
        frames = []
        for index, warp in enumerate(warps):
            enlarged = enlarge(lr_frames[:, index], size)
            residual, memory_features = self.decode_residual(
                latents[:, index],
                lr_features[:, index],
                enlarged if is_filtered else None,
                fidelity,
                memory_features,
                warp,
            )
            frames.append(enlarged + residual.float())
        assert memory_features is not None
        return torch.stack(frames, dim=1), memory_features

    def decode_residual(
        self,
        latents: Tensor,
        lr_features: Tensor,
        source: Tensor | None,
        fidelity: float | Tensor,
        memory_features: Tensor | None,
        warp: MemoryWarp | None,
    ) -> tuple[Tensor, Tensor]:
        """What `decode` adds to one enlarged frame (B, 3, 4H, 4W), and what it remembers.

        `source` is the enlarged frame where the source `is_fine`, None elsewhere.
        """
        latents = latents.to(self.dtype, memory_format=torch.channels_last)
        return self.decoder(latents, lr_features, source, fidelity, memory_features, warp)


def is_fine(scale: int) -> bool:
    """Whether sources that are enlarged so have pixels finer than the body's grid."""
    return scale < BODY_STRIDE


def lr_multiple(scale: int) -> int:
    """What the sides of a source must be multiples of, so that latents end where it ends."""
    return LATENT_STRIDE // scale


def reduce_to_body(lr_frames: Tensor, scale: int) -> Tensor:
    """Source frames (B, T, 3, h, w) averaged onto the body's grid, (B, T, 3, H, W)."""
    fold = BODY_STRIDE // scale
    if fold == 1:
        return lr_frames
    return F.avg_pool2d(lr_frames.flatten(0, 1), fold).unflatten(0, lr_frames.shape[:2])


def enlarge(lr_frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic (N, 3, h, w) -> (N, 3, *size) in float32: what the networks add detail to."""
    if tuple(lr_frames.shape[-2:]) == size:
        return lr_frames.float()
    return F.interpolate(lr_frames.float(), size=size, mode="bicubic", align_corners=False)
