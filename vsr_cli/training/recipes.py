"""The stages that need no decoded clip: autoencoder and denoiser."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.diffusion.schedule import make_scheduler
from vsr_cli.models.small.model import Condition, SmallModel
from vsr_cli.ops.warp import backward_warp, resize_flow
from vsr_cli.training import losses as L
from vsr_cli.training.adversary import Adversary
from vsr_cli.training.dataset import Sample

KL_WEIGHT = 5e-4  # per latent value; keeps latents to what the decoder can use
EQUIVARIANCE_WEIGHT = 0.02
PERCEPTUAL_WEIGHT = 0.05
DRAWS = 2  # times and noises for each sample: preparing and encoding samples is not cheap
PERCEPTUAL_CROP = 96  # pixels; VGG costs more than the model itself


class AutoencoderRecipe:
    """Stage A: trunk, encoder and decoder on single frames.

    Half of each batch is decoded from zero latents: the decoder alone must then be a plain
    super-resolution network, which is the floor of everything built on it.
    """

    adversary: Adversary | None = None

    def __init__(self, vgg: L.VggFeatures | None) -> None:
        self.vgg = vgg

    def trained(self, model: SmallModel) -> list[nn.Module]:
        return [model.trunk, model.encoder, model.decoder]

    def losses(self, model: SmallModel, batch: Sample, progress: float) -> dict[str, Tensor]:
        hr, lr = batch.hr, batch.lr
        features = model.features(lr)
        mean, log_variance = model.encode(hr, lr, features)
        mean, log_variance = mean.float(), log_variance.float()
        used = hr.shape[0] - hr.shape[0] // 2  # the rest is decoded from zero latents
        zero = torch.arange(hr.shape[0], device=hr.device) >= used
        latents = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        latents = torch.cat([latents[:used], torch.zeros_like(latents[used:])])
        frames, _ = model.decode(
            latents,
            lr,
            features,
            fidelity=random_fidelity(zero),
            remembered=None,
            recalls=[None],
        )
        terms = {
            "latent": L.charbonnier(frames[:used], hr[:used]),
            "floor": L.charbonnier(frames[used:], hr[used:]),
            "gradient": 0.25 * L.gradient_loss(frames, hr),
            "frequency": 0.1 * L.focal_frequency_loss(frames.float(), hr),
            "kl": KL_WEIGHT * L.kl_loss(mean[:used], log_variance[:used]),
        }
        if torch.rand(()) < 0.25:  # it costs as much as the rest
            terms["equivariance"] = EQUIVARIANCE_WEIGHT * equivariance(model, batch, mean)
        if self.vgg is not None and progress > 0.5:
            terms["perceptual"] = PERCEPTUAL_WEIGHT * perceptual(self.vgg, frames, hr)
        return terms

    def finish(self, model: SmallModel, batches: Iterator[Sample]) -> None:
        model.latent_std.copy_(measure_latent_std(model, batches))


class DenoiserRecipe:
    """Stages B1 (single frames) and B2 (clips): condition encoder and U-Net, v-prediction."""

    adversary: Adversary | None = None

    def __init__(self) -> None:
        # Only its table of cumulative alphas is used, the same at run time.
        self.alphas = make_scheduler(1).alphas_cumprod

    def trained(self, model: SmallModel) -> list[nn.Module]:
        return [model.condition_encoder, model.denoiser]

    def losses(self, model: SmallModel, batch: Sample, progress: float) -> dict[str, Tensor]:
        target, condition = encode_batch(model, batch)
        target = target.repeat(DRAWS, 1, 1, 1, 1)
        levels = [level.repeat(DRAWS, 1, 1, 1) for level in condition.levels]
        condition = replace(condition, levels=levels)
        b = target.shape[0]
        alpha = self.alphas.to(target.device)[random_timesteps(b, target.device)]
        log_snr = alpha.clamp_min(1e-9).logit()
        signal = alpha.sqrt()[:, None, None, None, None]
        sigma = (1 - alpha).sqrt()[:, None, None, None, None]
        noise = torch.randn_like(target)
        noisy = signal * target + sigma * noise
        v, _ = model.denoise(noisy, log_snr, condition, None)
        v = v.float()
        # One more than min-SNR: zero terminal SNR, where sampling starts, must be learnt too.
        weight = L.min_snr_weight(log_snr) + 1 / (1 + log_snr.exp())
        error = (v - (signal * noise - sigma * target)).square().mean(dim=(1, 2, 3, 4))
        latents = signal * noisy - sigma * v
        sure = alpha > 0.5
        close = (latents - target).abs().mean(dim=(1, 2, 3, 4)) * sure
        terms = {"v": (weight * error).mean(), "close": 0.2 * close.mean()}
        if target.shape[1] > 1:
            terms["difference"] = 0.5 * L.difference_loss(latents, target)
            if batch.has_motion.any():
                known = slice(0, batch.hr.shape[0])  # one draw of each sample
                terms["warp"] = 0.5 * warp_consistency(latents[known], target[known], batch)
        return terms

    def finish(self, model: SmallModel, batches: Iterator[Sample]) -> None:
        return None


def random_fidelity(zero: Tensor) -> Tensor:
    """Mostly 1, for one sample in four uniform; 1 wherever latents are `zero` (B,) of bool.

    Without latents the LR features are all there is. Shape: (B, 1, 1, 1).
    """
    uniform = torch.rand_like(zero, dtype=torch.float32)
    some = (torch.rand_like(uniform) < 0.25) & ~zero
    return torch.where(some, uniform, 1.0)[:, None, None, None]


def random_timesteps(count: int, device: torch.device) -> Tensor:
    """Logit-normal timesteps, one in eight replaced by the last, where every chain starts."""
    t = (torch.randn(count, device=device).sigmoid() * 1000).long().clamp(0, 999)
    uniform = torch.randint(0, 1000, (count,), device=device)
    draw = torch.rand(count, device=device)
    t = torch.where(draw < 0.4, uniform, t)
    return torch.where(draw > 0.875, torch.full_like(t, 999), t)


@torch.no_grad()
def measure_latent_std(model: SmallModel, batches: Iterator[Sample], count: int = 32) -> Tensor:
    """Standard deviation of each latent channel over some batches, (L,)."""
    squares = torch.zeros_like(model.latent_std)
    for _ in range(count):
        batch = next(batches)
        hr, lr = batch.hr.to(squares.device), batch.lr.to(squares.device)
        mean, log_variance = model.encode(hr, lr, model.features(lr))
        squares += (mean.square() + log_variance.exp()).mean(dim=(0, 1, 3, 4)) / count
    return squares.sqrt()


def encode_batch(model: SmallModel, batch: Sample) -> tuple[Tensor, Condition]:
    """Drawn latents of the truth, normalised float32, and the condition (with gradients)."""
    condition = model.condition(batch.lr)
    with torch.no_grad():
        mean, log_variance = model.encode(batch.hr, batch.lr, condition.lr_features)
        mean, log_variance = mean.float(), log_variance.float()
        drawn = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    return model.normalise(drawn), condition


def equivariance(model: SmallModel, batch: Sample, mean: Tensor) -> Tensor:
    """Moving the picture by half a latent pixel must move the latents by as much.

    Guidance warps latents along sub-pixel flow, which is only right if they are equivariant.
    """
    hr, lr = batch.hr[..., 4:-4, 4:-4], batch.lr[..., 1:-1, 1:-1]
    moved, _ = model.encode(hr, lr, model.features(lr))
    expected = F.avg_pool2d(mean.flatten(0, 1), 2, stride=1)
    difference = (moved.flatten(0, 1).float() - expected)[..., 2:-2, 2:-2]
    return difference.abs().mean()


def perceptual(vgg: L.VggFeatures, frames: Tensor, hr: Tensor) -> Tensor:
    """VGG distance of one random square of every second frame."""
    fake, real = frames.flatten(0, 1)[::2], hr.flatten(0, 1)[::2]
    side = min(PERCEPTUAL_CROP, fake.shape[-1])
    top, left = (int(torch.randint(0, fake.shape[-1] - side + 1, ())) for _ in range(2))
    rows, columns = slice(top, top + side), slice(left, left + side)
    return vgg.distance(fake[..., rows, columns], real[..., rows, columns])


def warp_consistency(latents: Tensor, target: Tensor, batch: Sample) -> Tensor:
    """Excess warp error of predicted latents over the truth's own, along exact flow."""
    size = (latents.shape[-2], latents.shape[-1])
    flow = resize_flow(batch.flow_backward.flatten(0, 1), size)
    visible = F.interpolate(batch.visible_backward.flatten(0, 1), size=size, mode="area")
    visible = (visible > 0.99).float() * batch.has_motion.float().repeat_interleave(
        latents.shape[1] - 1
    ).view(-1, 1, 1, 1)

    def residual(z: Tensor) -> Tensor:
        return backward_warp(z[:, :-1].flatten(0, 1), flow) - z[:, 1:].flatten(0, 1)

    return (visible * (residual(latents) - residual(target))).abs().mean()
