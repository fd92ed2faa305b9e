"""Times and noise: the ancestral chain, and noise that belongs to a place and not to a call."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

NUM_TRAIN_TIMESTEPS = 1000

_WORD = 2**64
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_FIRST = 0xBF58476D1CE4E5B9
_MIX_SECOND = 0x94D049BB133111EB
_SIDE_BITS = 24  # of a row or column in the counter


@dataclass(frozen=True)
class Step:
    """What `Scheduler.step` gives back."""

    prev_sample: Tensor  # the latents one step less noisy
    pred_original_sample: Tensor  # x0 as it was given


class Scheduler:
    """The ancestral chain on predicted x0 over any subset of the training times.

    Cosine schedule (arXiv 2102.09672, eq. 17) shifted to no signal at the last time, so that
    sampling may start from pure noise, and times counted back from there (arXiv 2305.08891,
    sections 3.1 and 3.3). `timesteps`, `alphas_cumprod`, `step` and `add_noise` are called as those
    of diffusers' DDIMScheduler (cosine, zero terminal SNR, trailing, prediction type sample).
    That one steps by floor(1000 / steps), so its chain misses its own times unless steps divides
    1000, and ends noisy; this one steps to the next time. With 1000 divisible both agree.

    Attributes:
        timesteps: (steps,) int64, descending from 999.
        alphas_cumprod: (1000,) float32, A at every training time, 0 at the last.
    """

    def __init__(self, steps: int) -> None:
        if not 1 <= steps <= NUM_TRAIN_TIMESTEPS:
            raise ValueError(f"expected 1 to {NUM_TRAIN_TIMESTEPS} steps, got {steps}")
        times = [
            round(NUM_TRAIN_TIMESTEPS - index * NUM_TRAIN_TIMESTEPS / steps) - 1
            for index in range(steps)
        ]
        alphas = _cosine_alphas()
        self.timesteps = torch.tensor(times)
        self.alphas_cumprod = torch.tensor(alphas, dtype=torch.float32)
        # A at a time and at the one after it in the chain, which for the last is the clean end.
        self._alphas = {
            time: (alphas[time], alphas[after] if after >= 0 else 1.0)
            for time, after in pairwise([*times, -1])
        }

    def variance(self, timestep: int) -> float:
        """Variance sigma_t^2 of the noise that the step from `timestep` adds (posterior)."""
        alpha, after = self._alphas[timestep]
        return (1 - after) / (1 - alpha) * (1 - alpha / after)

    def step(
        self,
        model_output: Tensor,
        timestep: int,
        sample: Tensor,
        *,
        eta: float = 1.0,
        variance_noise: Tensor | None = None,
    ) -> Step:
        """Go from `timestep` to the next time of the chain (arXiv 2010.02502, eq. 12 and 16).

        x_next = sqrt(A') x0 + sqrt(1 - A' - s^2) e + s noise, e = (x_t - sqrt(A) x0) / sqrt(1 - A),
        s = eta sigma_t. With eta = 1 this is the DDPM posterior (arXiv 2006.11239, eq. 6 and 7).

        Args:
            model_output: predicted x0, any shape.
            timestep: one of `timesteps`.
            sample: x_t, the same shape.
            eta: 1 is ancestral, 0 deterministic.
            variance_noise: standard normal, the same shape; None where eta is 0.
        """
        alpha, after = self._alphas[timestep]
        sigma = eta * math.sqrt(self.variance(timestep))
        from_epsilon = math.sqrt(max(1 - after - sigma**2, 0.0) / (1 - alpha))
        latents = from_epsilon * sample
        latents = latents + (math.sqrt(after) - from_epsilon * math.sqrt(alpha)) * model_output
        if sigma > 0:
            if variance_noise is None:
                raise ValueError("an ancestral step needs `variance_noise`")
            latents = latents + sigma * variance_noise
        return Step(latents, model_output)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Noise clean samples (B, ...) to the times `timesteps` (B,)."""
        alphas = self.alphas_cumprod.to(original_samples.device)[timesteps]
        alphas = alphas.reshape(-1, *[1] * (original_samples.ndim - 1))
        return alphas.sqrt() * original_samples + (1 - alphas).sqrt() * noise


def make_scheduler(steps: int) -> Scheduler:
    """The chain of `steps` steps, 1 to 1000."""
    return Scheduler(steps)


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


def _cosine_alphas() -> list[float]:
    """A for every training time, in double precision."""

    def signal(time: float) -> float:
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    alpha = 1.0
    roots = []
    for time in range(NUM_TRAIN_TIMESTEPS):
        kept = signal((time + 1) / NUM_TRAIN_TIMESTEPS) / signal(time / NUM_TRAIN_TIMESTEPS)
        alpha *= max(kept, 1 - 0.999)
        roots.append(math.sqrt(alpha))
    first, last = roots[0], roots[-1]
    return [((root - last) * first / (first - last)) ** 2 for root in roots]


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
