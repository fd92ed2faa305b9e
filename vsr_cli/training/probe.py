"""Weights on trial: what is measured on a few small clips at every checkpoint."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.diffusion.motion import Motion
from vsr_cli.diffusion.sampler import State, sample_latents
from vsr_cli.diffusion.schedule import keyed_noise, make_scheduler
from vsr_cli.models.flow import DisFlow
from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.models.small.model import BODY_STRIDE, LATENT_STRIDE, SmallModel, reduce_to_body
from vsr_cli.ops.color import match_wavelet
from vsr_cli.ops.resize import resize
from vsr_cli.quality import metrics
from vsr_cli.quality.baselines import bicubic, match_sharpness, sharpen
from vsr_cli.quality.cases import Case, Degraded, plan_degraded
from vsr_cli.quality.clips import read_footage, to_codes
from vsr_cli.quality.metrics import Distance

CROP = (256, 384)  # pixels of the truth at most, from its middle: enough to see, quick to compute
TIMES = (100, 300, 500, 800)  # at which the denoiser is measured
NOISE = 0.4  # on true latents


@dataclass(frozen=True, kw_only=True)
class Frames:
    """What was made of a clip, measured."""

    psnr: float  # dB, of luma
    lpips: float
    tlpips: float
    lattice: float  # dB, of a mesh as fine as the body's grid


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One clip at one scale and degradation, and what a model makes of it.

    The run-time path is gone through: flow on the body's grid, the sampler with guidance and noise
    by place, the decoder with its memory along the flow, colour of the source.

    model: in float32; it computes in bfloat16.
    hr_frames: the truth, (T, 3, H, W) in [-1, 1], sides multiples of 8.
    lr_frames: the input, (T, 3, H / scale, W / scale).
    is_floor: frames are decoded from zero latents, not from sampled ones.
    """

    model: SmallModel
    lpips: Distance
    name: str
    scale: int
    hr_frames: Tensor
    lr_frames: Tensor
    is_floor: bool

    @classmethod
    def of_case(cls, model: SmallModel, case: Case, lpips: Distance, *, is_floor: bool) -> "Trial":
        """The middle of a clip, and its input."""
        footage = read_footage(case.source, case.num_frames)
        hr_frames = _middle(footage.frames[: case.num_frames])
        return cls(
            model=model,
            lpips=lpips,
            name=case.clip,
            scale=case.scale,
            hr_frames=hr_frames,
            lr_frames=case.lr_frames(hr_frames, seed=0),
            is_floor=is_floor,
        )

    @cached_property
    def motion(self) -> Motion:
        """On the body's grid."""
        body_frames = reduce_to_body(self.lr_frames[None], self.scale)
        return Motion.from_flow(*DisFlow()(body_frames))

    @cached_property
    def true_latents(self) -> Tensor:
        """Of the truth, (1, T, L, h, w)."""
        with _computing():
            condition = self.model.condition(self.lr_frames[None], self.scale)
            hr, lr = self.hr_frames[None], self.lr_frames[None]
            return self.model.encode(hr, lr, condition.lr_features).float()

    def sampled_latents(self, steps: int) -> Tensor:
        """Drawn as at run time, (1, T, L, h, w)."""
        t, size = len(self.hr_frames), self._latent_size
        channels = self.model.latent_channels

        def noise(step: int) -> Tensor:
            rows, columns = range(size[0]), range(size[1])
            return keyed_noise(
                0, frames=range(t), step=step, channels=channels, rows=rows, columns=columns
            )[None]

        with _computing():
            condition = self.model.condition(self.lr_frames[None], self.scale)

            def denoise(x: Tensor, log_snr: Tensor, past: State | None) -> tuple[Tensor, State]:
                return self.model.denoise(x, log_snr, condition, past)

            return sample_latents(
                denoise,
                shape=(1, t, channels, *size),
                scheduler=make_scheduler(steps, self.model.chain(steps)),
                noise=noise,
                motion=self.motion.resized(size),
                motion_scale=1.0,
                history=None,
            )[0]

    def decoded(self, latents: Tensor) -> Frames:
        """Frames of these latents, measured."""
        return self.measured(self.decode(latents))

    def decode(self, latents: Tensor) -> Tensor:
        """Frames (T, 3, H, W) of latents."""
        lr, motion = self.lr_frames[None], self.motion
        warps: list[MemoryWarp | None] = [None]
        for k in range(motion.num_pairs):
            warps.append(MemoryWarp(motion.flow_backward[:, k], motion.visible_backward[:, k]))
        with _computing():
            features = self.model.features(lr, self.scale)
            frames, _ = self.model.decode(
                latents, lr, features, fidelity=1.0, memory_features=None, warps=warps
            )
        return match_wavelet(frames[0].float().clamp(-1, 1), reduce_to_body(lr, self.scale)[0])

    def restored(self) -> Tensor:
        """What a user gets, (T, 3, H, W): of zero latents if only the floor is on trial."""
        if self.is_floor:
            return self.decode(self.zero_latents)
        return self.decode(self.sampled_latents(self.model.default_steps))

    @property
    def zero_latents(self) -> Tensor:
        """Nothing to add, (1, T, L, h, w)."""
        return torch.zeros(1, len(self.hr_frames), self.model.latent_channels, *self._latent_size)

    def noisy_latents(self, deviation: float) -> Tensor:
        """Those of the truth with noise, (1, T, L, h, w)."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(self.true_latents.shape, generator=generator)
        return self.true_latents + deviation * noise

    def measured(self, frames: Tensor) -> Frames:
        """Against the truth, on the codes of 8-bit video."""
        codes = to_codes(frames)
        return Frames(
            psnr=metrics.psnr_y(codes, self.hr_frames),
            lpips=float(self.lpips(codes, self.hr_frames).mean()),
            tlpips=metrics.tlpips(codes, self.hr_frames, self.lpips),
            lattice=metrics.lattice(codes, BODY_STRIDE),
        )

    @cached_property
    def bicubic(self) -> Frames:
        """What everything has to beat."""
        return self.measured(bicubic(self.lr_frames, self.scale))

    def sharpened(self, like: Tensor) -> Frames:
        """Each frame by itself, as near in LPIPS to other frames as can be."""
        amount = match_sharpness(self.lr_frames, self.hr_frames, to_codes(like), self.lpips)
        return self.measured(sharpen(self.lr_frames, self.scale, amount))

    def x0_over_wiener(self, t: int) -> float:
        """Squared error of predicted latents over that of the best scalar multiple of x_t."""
        alpha = make_scheduler(1).alphas_cumprod[t]
        true = self.true_latents
        generator = torch.Generator().manual_seed(t)
        noisy = alpha.sqrt() * true + (1 - alpha).sqrt() * torch.randn(
            true.shape, generator=generator
        )
        with _computing():
            condition = self.model.condition(self.lr_frames[None], self.scale)
            v, _ = self.model.denoise(noisy, alpha.logit().expand(1), condition, None)
        predicted = alpha.sqrt() * noisy - (1 - alpha).sqrt() * v.float()
        energy = true.square().mean()
        wiener = (1 - alpha) * energy / (alpha * energy + 1 - alpha)
        return float((predicted - true).square().mean() / wiener)

    def reduced_from_four(self) -> Frames:
        """What enlarging the input four times, then reducing to the truth's size, gives."""
        height, width = self.lr_frames.shape[-2:]
        larger = resize(self.hr_frames, (4 * height, 4 * width))
        restored = replace(self, scale=4, hr_frames=larger).restored()
        return self.measured(resize(restored, (self.hr_frames.shape[-2], self.hr_frames.shape[-1])))

    @property
    def _latent_size(self) -> tuple[int, int]:
        height, width = self.hr_frames.shape[-2:]
        return height // LATENT_STRIDE, width // LATENT_STRIDE


def make_trials(
    model: SmallModel,
    folder: Path,
    lpips: Distance,
    *,
    num_frames: int,
    num_clips: int,
    is_floor: bool,
) -> Callable[[Degraded, int], list[Trial]]:
    """A function of degradation and scale that gives the trials of some clips of a folder."""

    @functools.cache
    def trials(degradation: Degraded, scale: int) -> list[Trial]:
        cases = plan_degraded(folder, [degradation], num_frames, scale=scale)[:num_clips]
        return [Trial.of_case(model, case, lpips, is_floor=is_floor) for case in cases]

    return trials


def mean(values: Sequence[float] | Iterator[float]) -> float:
    """The arithmetic mean."""
    known = list(values)
    return sum(known) / len(known)


def _middle(frames: Tensor) -> Tensor:
    """The middle of frames (T, 3, H, W), at most CROP, sides multiples of 8."""
    height, width = (
        min(most, side // LATENT_STRIDE * LATENT_STRIDE)
        for most, side in zip(CROP, frames.shape[-2:], strict=True)
    )
    y, x = (frames.shape[-2] - height) // 2, (frames.shape[-1] - width) // 2
    return frames[..., y : y + height, x : x + width].contiguous()


@contextmanager
def _computing() -> Iterator[None]:
    """Without gradients, in bfloat16."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        yield
