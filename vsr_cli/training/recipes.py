"""The stages that need no decoded clip: autoencoder and denoiser."""

import random
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.diffusion.schedule import make_scheduler
from vsr_cli.models.small.model import BODY_STRIDE, Condition, SmallModel
from vsr_cli.ops.warp import backward_warp, resize_flow
from vsr_cli.training import losses as L
from vsr_cli.training.adversary import DiscriminatorTrainer
from vsr_cli.training.dataset import Sample

NOISE_ON_TRUE = (0.2, 0.6)  # deviation of what is added to true latents before decoding
EQUIVARIANCE_WEIGHT = 0.1  # on average: it is looked at in some steps, because it costs much
EQUIVARIANCE_SHARE = 0.25
PERCEPTUAL_WEIGHT, ADVERSARIAL_PERCEPTUAL_WEIGHT = 0.1, 0.2
PERCEPTUAL_START = 2 / 3  # of stage A1; an edge must be there before its look can be judged
ADVERSARIAL_WEIGHT = 0.025
ARTIFACT_WEIGHT, ARTIFACT_START = 0.5, 10_000  # steps of the discriminator
GRID_WEIGHT, LATTICE_WEIGHT, HALO_WEIGHT, CHROMA_WEIGHT = 4.0, 16.0, 1.0, 2.0
SPECTRUM_WEIGHT = 2.0
DRAWS = 2  # times and noises for each sample: preparing and encoding samples is not cheap
PERCEPTUAL_CROP = 64  # pixels; VGG costs more than the model itself
SIZE_WEIGHT = 0.02  # nothing else keeps the size of latents, which are divided by it, from drifting
STD_MOMENTUM = 0.01  # of the running size of latents


class AutoencoderRecipe:
    """Stages A1 and, with an adversary, A2: trunk, encoder and decoder on single frames.

    Half of each batch is decoded from true latents with noise on them, because a sampler will
    never be exact. The other half is decoded from zero latents: the decoder alone must be a
    restoration network, which is the floor of everything built on it. In A2 that half alone is a
    compact GAN.
    """

    def __init__(
        self, vgg: L.VggFeatures | None, adversary: DiscriminatorTrainer | None = None
    ) -> None:
        self.vgg = vgg
        self.adversary = adversary
        self.averaged: SmallModel | None = None
        self.observed: dict[str, Tensor] = {}

    def watch(self, averaged: SmallModel) -> None:
        """Take the model of averaged weights, which `artifact_loss` compares with."""
        self.averaged = averaged

    def trained(self, model: SmallModel) -> list[nn.Module]:
        return [model.trunk, model.encoder, model.decoder]

    def rates(self) -> list[float]:
        return [1.0, 1.0, 1.0]

    def losses(self, model: SmallModel, batch: Sample, progress: float) -> dict[str, Tensor]:
        hr, lr = batch.hr, batch.lr
        b = hr.shape[0]
        used = b - b // 2  # the rest is decoded from zero latents
        features = model.features(lr, batch.scale)
        unit, size = unit_latents(model, hr[:used], lr[:used], features[:used])
        low, high = NOISE_ON_TRUE
        deviation = low + (high - low) * torch.rand(used, 1, 1, 1, 1, device=hr.device)
        noisy = unit + deviation * torch.randn_like(unit)
        latents = torch.cat([noisy, unit.new_zeros(b - used, *unit.shape[1:])])
        zero = torch.arange(b, device=hr.device) >= used
        fidelity = random_fidelity(zero)

        def decode(model: SmallModel, features: Tensor) -> Tensor:
            return model.decode(
                latents, lr, features, fidelity=fidelity, memory_features=None, warps=[None]
            )[0]

        frames = decode(model, features)
        terms = {
            "latent": 0.5 * L.charbonnier(frames[:used], hr[:used]),
            "floor": 0.5 * L.charbonnier(frames[used:], hr[used:]),
            "gradient": 0.25 * L.gradient_loss(frames, hr),
            "grid": GRID_WEIGHT * L.grid_loss(frames, hr),
            "lattice": LATTICE_WEIGHT * L.lattice_loss(frames, hr),
            "size": SIZE_WEIGHT * size.log().square().sum(),
        }
        self.observed = {"latent_size": size.detach().mean()}
        if random.random() < EQUIVARIANCE_SHARE:
            weight = EQUIVARIANCE_WEIGHT / EQUIVARIANCE_SHARE
            terms["equivariance"] = weight * equivariance(model, batch, unit)
        if self.adversary is None:
            if self.vgg is not None and progress > PERCEPTUAL_START:
                terms["perceptual"] = PERCEPTUAL_WEIGHT * perceptual(self.vgg, frames, hr)
            return terms
        terms["halo"] = HALO_WEIGHT * L.halo_loss(frames, hr)
        terms["chroma"] = CHROMA_WEIGHT * L.chroma_loss(frames, hr)
        terms["spectrum"] = SPECTRUM_WEIGHT * L.spectrum_loss(frames, hr)
        if self.vgg is not None:
            terms["perceptual"] = ADVERSARIAL_PERCEPTUAL_WEIGHT * perceptual(self.vgg, frames, hr)
        terms["adversarial"] = ADVERSARIAL_WEIGHT * self.adversary.loss(frames, hr, None)
        if self.averaged is not None and self.adversary.num_steps > ARTIFACT_START:
            with torch.no_grad():
                known = decode(self.averaged, self.averaged.features(lr, batch.scale))
            terms["artifact"] = ARTIFACT_WEIGHT * L.artifact_loss(frames, hr, known)
        return terms


def unit_latents(
    model: SmallModel, hr: Tensor, lr: Tensor, features: Tensor
) -> tuple[Tensor, Tensor]:
    """True latents (B, T, L, h, w) of unit mean square over the batch, and their size before, (L,).

    The model keeps a running mean of the size for later, when single pictures are encoded.
    """
    raw = model.encode_raw(hr, lr, features)
    size = raw.square().mean(dim=(0, 1, 3, 4)).add(1e-6).sqrt()
    with torch.no_grad():
        model.latent_std.lerp_(size, STD_MOMENTUM)
    return raw / size[:, None, None], size


class DenoiserRecipe:
    """Stages B1 (single frames) and B2 (clips): condition encoder and U-Net, v-prediction."""

    adversary: DiscriminatorTrainer | None = None

    def __init__(self) -> None:
        self.loss = DenoisingLoss()

    @property
    def observed(self) -> dict[str, Tensor]:
        """See `DenoisingLoss`."""
        return self.loss.observed

    def watch(self, averaged: SmallModel) -> None:
        return None

    def trained(self, model: SmallModel) -> list[nn.Module]:
        return [model.condition_encoder, model.denoiser]

    def rates(self) -> list[float]:
        return [1.0, 1.0]

    def losses(self, model: SmallModel, batch: Sample, progress: float) -> dict[str, Tensor]:
        target, condition = encode_batch(model, batch)
        v, latents = self.loss(model, target, condition)
        terms = {"v": v}
        if target.shape[1] > 1:
            terms["difference"] = 0.5 * L.difference_loss(latents, target)
            if batch.has_motion.any():
                terms["warp"] = 0.5 * warp_consistency(latents, target, batch)
        return terms


class DenoisingLoss:
    """v-prediction of latents at random times, in every stage that moves the denoiser.

    Weighted by min(SNR, 5) / (SNR + 1) (arXiv 2303.09556) and 1 / (SNR + 1): the last time, where
    there is no signal and sampling starts, must be learnt too. What the network sees carries a
    tenth more noise than it is asked to predict (arXiv 2301.11706), since in a chain its own
    errors do.

    observed: `x0_over_wiener`, the squared error of predicted latents over that of the best scalar
        multiple of the noisy ones, which knows neither picture nor source; below 1, or it is no
        denoiser.
    """

    perturbation = 0.1

    def __init__(self) -> None:
        # Only its table of cumulative alphas is used, the same at run time.
        self.alphas = make_scheduler(1).alphas_cumprod
        self.observed: dict[str, Tensor] = {}

    def __call__(
        self, model: SmallModel, target: Tensor, condition: Condition
    ) -> tuple[Tensor, Tensor]:
        """The loss, and predicted latents of the first draw of each sample.

        Args:
            model: whose denoiser is trained.
            target: true latents (B, T, L, h, w).
            condition: of the same clips.
        """
        b = target.shape[0]
        target = target.repeat(DRAWS, 1, 1, 1, 1)
        levels = [level.repeat(DRAWS, 1, 1, 1) for level in condition.levels]
        alpha = self.alphas.to(target.device)[random_timesteps(len(target), target.device)]
        log_snr = alpha.clamp_min(1e-9).logit()
        signal = alpha.sqrt()[:, None, None, None, None]
        sigma = (1 - alpha).sqrt()[:, None, None, None, None]
        noise = torch.randn_like(target)
        seen_noise = noise + self.perturbation * torch.randn_like(noise)
        noisy = signal * target + sigma * seen_noise
        v, _ = model.denoise(noisy, log_snr, replace(condition, levels=levels), None)
        v = v.float()
        weight = L.min_snr_weight(log_snr) + 1 / (1 + log_snr.exp())
        error = (v - (signal * noise - sigma * target)).square().mean(dim=(1, 2, 3, 4))
        latents = signal * noisy - sigma * v
        with torch.no_grad():
            energy = target.square().mean(dim=(1, 2, 3, 4))
            wiener = (1 - alpha) * energy / (alpha * energy + 1 - alpha)
            found = (latents - target).square().mean(dim=(1, 2, 3, 4))
            self.observed = {"x0_over_wiener": (found / wiener.clamp_min(1e-4)).mean()}
        return (weight * error).mean(), latents[:b]


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


def encode_batch(model: SmallModel, batch: Sample) -> tuple[Tensor, Condition]:
    """Latents of the truth, without a graph, and the condition, with one."""
    condition = model.condition(batch.lr, batch.scale)
    with torch.no_grad():
        return model.encode(batch.hr, batch.lr, condition.lr_features), condition


def equivariance(model: SmallModel, batch: Sample, unit: Tensor) -> Tensor:
    """Moving the picture by half a latent pixel must move the latents by as much.

    Guidance warps latents along sub-pixel flow, which is only right if they are equivariant.

    Args:
        model: with its trunk and encoder.
        batch: whose first samples are looked at.
        unit: their latents.
    """
    count = max(len(unit) // 2, 1)
    rim = BODY_STRIDE // batch.scale  # of the source; as much as BODY_STRIDE pixels of the truth
    hr = batch.hr[:count, ..., BODY_STRIDE:-BODY_STRIDE, BODY_STRIDE:-BODY_STRIDE]
    lr = batch.lr[:count, ..., rim:-rim, rim:-rim]
    raw = model.encode_raw(hr, lr, model.features(lr, batch.scale))
    moved = raw / raw.square().mean(dim=(0, 1, 3, 4)).add(1e-6).sqrt()[:, None, None]
    expected = F.avg_pool2d(unit[:count].flatten(0, 1), 2, stride=1)
    difference = (moved.flatten(0, 1) - expected)[..., 2:-2, 2:-2]
    return difference.abs().mean()


def perceptual(vgg: L.VggFeatures, frames: Tensor, hr: Tensor, *, is_deep: bool = False) -> Tensor:
    """VGG distance of a random square of every second frame; `is_deep`: without its first layer."""
    fake, real = frames.flatten(0, 1)[::2], hr.flatten(0, 1)[::2]
    side = min(PERCEPTUAL_CROP, fake.shape[-1])
    top, left = (int(torch.randint(0, fake.shape[-1] - side + 1, ())) for _ in range(2))
    rows, columns = slice(top, top + side), slice(left, left + side)
    return vgg.distance(fake[..., rows, columns], real[..., rows, columns], is_deep=is_deep)


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
