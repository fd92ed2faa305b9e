"""Times and noise: the ancestral chain, and noise that belongs to a place and not to a call."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr_cli.config import NUM_TRAIN_TIMESTEPS, Chain

_WORD = 2**64
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_FIRST = 0xBF58476D1CE4E5B9
_MIX_SECOND = 0x94D049BB133111EB
_SIDE_BITS = 24  # of a row or column in the counter


class AncestralScheduler:
    """The ancestral chain of DDPM, fed with a prediction and with noise that the caller draws.

    x_s = sqrt(A_s) beta / (1 - A_t) x0 + sqrt(alpha) (1 - A_s) / (1 - A_t) x_t + sigma_t noise,
    alpha = A_t / A_s, beta = 1 - alpha, sigma_t^2 = (1 - A_s) / (1 - A_t) beta: the posterior of
    arXiv 2006.11239, eq. 6 and 7, with its small variance. Schedulers of libraries draw their own
    noise, from a generator that depends on what else was drawn before; here it must belong to a
    frame and a place (`keyed_noise`).

    alphas_cumprod: A, (N,) float32.
    timesteps: (T,) int64, descending, indices of A.
    """

    def __init__(
        self,
        alphas_cumprod: Tensor,
        timesteps: Sequence[int],
        *,
        predicts_noise: bool = False,
        noise_scale: float = 1.0,
        latent_scale: float = 1.0,
    ) -> None:
        """Start a chain.

        Args:
            alphas_cumprod: A of every time.
            timesteps: those the chain visits, descending.
            predicts_noise: what `step` is fed with is noise, not clean latents.
            noise_scale: how much of sigma_t each step adds; below 1 samples are nearer to their
                mean than the data are, with less detail and less that is wrong.
            latent_scale: of the clean latents at its end; below 1 where a chain of many steps
                makes them larger than the data are.
        """
        self.alphas_cumprod = alphas_cumprod
        self.predicts_noise = predicts_noise
        self.noise_scale, self.latent_scale = noise_scale, latent_scale
        self.set_timesteps(timesteps)

    def set_timesteps(self, timesteps: Sequence[int]) -> None:
        """Visit these times from now on, descending."""
        self.timesteps = torch.tensor(timesteps)
        self._after = dict(zip(timesteps, [*timesteps[1:], None], strict=True))

    def step(self, prediction: Tensor, t: int, noisy_latents: Tensor, noise: Tensor) -> Tensor:
        """From time `t` to the next one of the chain; after the last, the clean prediction.

        Args:
            prediction: clean latents or, if the chain was made for it, noise; any shape.
            t: one of `timesteps`.
            noisy_latents: x_t, the same shape.
            noise: standard normal, the same shape.
        """
        now, after = self._alphas(t)
        x0 = prediction
        if self.predicts_noise:
            x0 = (noisy_latents - math.sqrt(1 - now) * prediction) / math.sqrt(now)
        alpha = now / after
        mean = (
            math.sqrt(after) * (1 - alpha) * x0 + math.sqrt(alpha) * (1 - after) * noisy_latents
        ) / (1 - now)
        if self._after[t] is None:
            return self.latent_scale * mean
        return mean + self.sigma(t) * noise

    def sigma(self, t: int) -> float:
        """Standard deviation of the noise that the step from `t` adds; 0 at the last."""
        now, after = self._alphas(t)
        return self.noise_scale * math.sqrt((1 - after) / (1 - now) * (1 - now / after))

    def _alphas(self, t: int) -> tuple[float, float]:
        """A at `t` and at the time after it; 1 where there is none."""
        after = self._after[t]
        now = float(self.alphas_cumprod[t])
        return now, 1.0 if after is None else float(self.alphas_cumprod[after])


def make_scheduler(steps: int, chain: Chain | None = None) -> AncestralScheduler:
    """The chain of `steps` steps, 1 to 1000.

    Cosine schedule (arXiv 2102.09672, eq. 17) shifted to no signal at the last time, so that
    sampling may start from pure noise, and times counted back from there (arXiv 2305.08891,
    sections 3.1 and 3.3). With a `time_power` above 1 they are even in a root of themselves
    (arXiv 2206.00364, eq. 5, with times for its sigmas), between the same two ends.

    Raises:
        ValueError: `steps` is out of range.
    """
    if not 1 <= steps <= NUM_TRAIN_TIMESTEPS:
        raise ValueError(f"expected 1 to {NUM_TRAIN_TIMESTEPS} steps, got {steps}")
    chain = chain or Chain()
    spacing = NUM_TRAIN_TIMESTEPS / steps
    times = [round(NUM_TRAIN_TIMESTEPS - k * spacing) - 1 for k in range(steps)]
    if chain.time_power != 1 and steps > 1:
        times = _power_spaced_times(steps, chain.time_power)
    return AncestralScheduler(
        _cosine_alphas(), times, noise_scale=chain.noise_scale, latent_scale=chain.latent_scale
    )


def _power_spaced_times(steps: int, power: float) -> list[int]:
    """Times even in their root, descending, and each a time of its own."""
    first, last = (n ** (1 / power) for n in (NUM_TRAIN_TIMESTEPS, NUM_TRAIN_TIMESTEPS / steps))
    roots = [first + k / (steps - 1) * (last - first) for k in range(steps)]
    times: list[int] = []
    for root in reversed(roots):
        least = times[-1] + 1 if times else 0
        times.append(max(round(root**power) - 1, least))
    return times[::-1]


@functools.cache
def _cosine_alphas() -> Tensor:
    """A of the cosine schedule, without signal at the last time, (1000,) float32."""
    places = torch.linspace(0, 1, NUM_TRAIN_TIMESTEPS + 1, dtype=torch.float64)
    curve = torch.cos((places + 0.008) / 1.008 * math.pi / 2).square()
    betas = (1 - curve[1:] / curve[:-1]).clamp(max=0.999)
    roots = (1 - betas).cumprod(0).sqrt()
    roots = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    return roots.square().float()


@dataclass(frozen=True)
class RespacedChain:
    """A chain over some of the times that an epsilon-predicting network was trained on.

    scheduler: fed with predicted noise; counts the kept times, so that its `timesteps` are
        indices N-1 .. 0 into `network_times`.
    network_times: what the network is told, ascending.
    base_alphas_cumprod: of all 1000 times, before most were left out; float32.
    """

    scheduler: AncestralScheduler
    network_times: tuple[int, ...]
    base_alphas_cumprod: Tensor

    def noise_start(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Where sampling begins: `latents` at the last time of training, nearly all noise."""
        alpha = self.base_alphas_cumprod[-1].to(latents.device)
        return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise


def make_respaced_chain(steps: int) -> RespacedChain:
    """The chain of `steps` steps that Stable Diffusion and its kin are sampled with.

    beta = linspace(sqrt(0.00085), sqrt(0.012), 1000)^2; the kept times lie 999 / (steps - 1)
    apart, rounded (half to even), and beta'_i = 1 - A(s_i) / A(s_{i-1}) (arXiv 2102.09672).

    Raises:
        ValueError: `steps` is out of range.
    """
    if not 1 <= steps <= NUM_TRAIN_TIMESTEPS:
        raise ValueError(f"expected 1 to {NUM_TRAIN_TIMESTEPS} steps, got {steps}")
    ends = math.sqrt(0.00085), math.sqrt(0.012)
    roots = torch.linspace(*ends, NUM_TRAIN_TIMESTEPS, dtype=torch.float64)
    alphas_cumprod = (1 - roots**2).cumprod(0).float()
    last = NUM_TRAIN_TIMESTEPS - 1
    times = [round(index * last / (steps - 1)) for index in range(steps)] if steps > 1 else [last]
    kept = alphas_cumprod[times]
    scheduler = AncestralScheduler(kept, range(steps - 1, -1, -1), predicts_noise=True)
    return RespacedChain(scheduler, tuple(times), alphas_cumprod)


def keyed_noise(
    seed: int,
    *,
    frames: Sequence[int],
    step: int,
    channels: int,
    rows: range,
    columns: range,
    device: torch.device | None = None,
) -> Tensor:
    """Standard normal noise as a function of (seed, frame, step, channel, row, column).

    The noise of a window is the crop of the noise of the whole, whatever clip, tile or resumed
    job asks for it. A counter is hashed by SplitMix64 (Steele, Lea, Flood 2014) in integers, the
    same on every device; two channels share a hash and its Box-Muller pair, whose logarithm and
    sine may differ between devices in the last bits.

    Args:
        seed: 0 to 2^63 - 1.
        frames: absolute frame numbers, from 0.
        step: index of the draw.
        channels: how many.
        rows: absolute rows, below 2^24.
        columns: absolute columns, below 2^24.
        device: where; None is the CPU.

    Returns:
        (T, channels, len(rows), len(columns)) float32.
    """
    keys = [_frame_key(seed, frame, step) for frame in frames]
    num_pairs = (channels + 1) // 2
    pairs = [_signed((pair << 2 * _SIDE_BITS) * _GOLDEN) for pair in range(num_pairs)]
    downwards = [_signed((row << _SIDE_BITS) * _GOLDEN) for row in rows]
    rightwards = [_signed(column * _GOLDEN) for column in columns]
    key, pair, row, column = (
        torch.tensor(values, dtype=torch.int64, device=device)
        for values in (keys, pairs, downwards, rightwards)
    )
    # key + GOLDEN * counter, as SplitMix64 counts; int64 wraps around: (T, pairs, h, w)
    state = ((key[:, None] + pair)[..., None] + row)[..., None] + column
    first, second = _box_muller(_mix(state))
    both = torch.stack((first, second), dim=2).flatten(1, 2)  # (T, 2 * pairs, h, w)
    return both[:, :channels]


def _frame_key(seed: int, frame: int, step: int) -> int:
    """Start of a stream of its own for every (seed, frame, step)."""
    key = 0
    for value in (seed, frame, step):
        key = _mix_int((key + (value + 1) * _GOLDEN) % _WORD)
    return _signed(key)


def _mix_int(x: int) -> int:
    """The finaliser of SplitMix64 on one unsigned word."""
    x = (x ^ (x >> 30)) * _MIX_FIRST % _WORD
    x = (x ^ (x >> 27)) * _MIX_SECOND % _WORD
    return x ^ (x >> 31)


def _mix(x: Tensor) -> Tensor:
    """`_mix_int` on int64; overwrites `x`."""
    x.bitwise_xor_(_shift(x, 30)).mul_(_signed(_MIX_FIRST))
    x.bitwise_xor_(_shift(x, 27)).mul_(_signed(_MIX_SECOND))
    return x.bitwise_xor_(_shift(x, 31))


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical shift to the right; torch only has the arithmetic one for int64."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _box_muller(words: Tensor) -> tuple[Tensor, Tensor]:
    """Two independent standard normals, float32, of each random 64-bit word."""
    upper, lower = _shift(words, 32), words & 0xFFFFFFFF
    uniform = (upper.float() + 0.5) * 2.0**-32  # never 0
    radius = uniform.log_().mul_(-2).clamp_(min=0).sqrt_()
    angle = lower.float() * (2 * math.pi * 2.0**-32)
    return radius * angle.cos(), radius * angle.sin()


def _signed(x: int) -> int:
    """The int64 with the bits of x modulo 2^64."""
    x %= _WORD
    return x - _WORD if x >= _WORD // 2 else x
