"""From a sharp clip to the kind of clip users bring (after RealBasicVSR, arXiv 2111.12704)."""

import math
import random
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_cli.errors import ConfigError
from vsr_cli.media.roundtrip import Codec, encode_decode
from vsr_cli.quality.distortions import (
    KernelShape,
    Noise,
    add_noise,
    blur,
    gaussian_kernels,
    jpeg,
    sinc_kernels,
)

Level = Literal["clean", "compressed", "mild", "heavy", "mixed"]

_SMALLEST = 0.15  # of the side of the original; two rounds would otherwise leave a few pixels
_DRIFT = 0.03  # per frame, of a parameter's range


@dataclass(frozen=True, kw_only=True)
class StageLimits:
    """The limits of one stage of blur, resize, noise and JPEG."""

    sigma: tuple[float, float]  # pixels
    resize: tuple[float, float]  # per side, of the frames as they arrive; on the way to a quarter
    noise: tuple[float, float]  # codes of 255
    shot: tuple[float, float]  # times the Poisson noise of 255 photons at white
    quality: tuple[float, float]  # JPEG
    blur_share: float = 1.0  # how often there is a blur at all
    jpeg_share: float = 1.0  # and a JPEG


_COMPRESSED = StageLimits(
    sigma=(0, 0), resize=(1, 1), noise=(0, 3), shot=(0, 0.3), quality=(40, 95), blur_share=0
)
_MILD = StageLimits(
    sigma=(0.2, 1.5), resize=(0.25, 0.5), noise=(1, 15), shot=(0.05, 1.5), quality=(60, 95)
)
_MILD_IN_MIX = replace(_MILD, noise=(0, 10))
# Where the source is as large as the clip, the noise itself is seen, not what a smaller size and
# JPEG leave of it.
_MILD_AT_SAME_SIZE = replace(
    _MILD, resize=(1, 1), noise=(1, 30), shot=(0.05, 3), blur_share=0.3, jpeg_share=0.4
)
_HEAVY = (
    StageLimits(
        sigma=(0.2, 3), resize=(0.15, 1.5), noise=(1, 30), shot=(0.05, 3), quality=(30, 95)
    ),
    StageLimits(
        sigma=(0.2, 1.5),
        resize=(0.3, 1.2),
        noise=(1, 25),
        shot=(0.05, 2.5),
        quality=(30, 95),
        blur_share=0.8,
    ),
)
_GREY_SHARE = 0.4
_SINC_SHARE = 0.8  # of clips that end with a sinc filter
_CODEC_SHARE = 0.3  # per stage, of clips
_STILL_CODEC_SHARE = 0.1  # the same for a single frame, where a codec costs most and means least
_BITS_PER_PIXEL = {"compressed": (0.15, 1.5), "mild": (0.3, 1.5), "heavy": (0.06, 0.6)}

# What `mixed` draws from, and what where the source is as large as the clip. There a clean one is
# the clip itself, for a model that only ever saw damage repairs what is whole; but of slight damage
# alone a small model learns to leave everything as it is.
_MIX: dict[Level, float] = {"clean": 0.15, "compressed": 0.25, "mild": 0.4, "heavy": 0.2}
_MIX_AT_SAME_SIZE: dict[Level, float] = {"clean": 0.2, "compressed": 0.2, "mild": 0.4, "heavy": 0.2}

# How often each kind of kernel is drawn (arXiv 2107.10833, section 4.1): elongated or not, shape.
_KERNELS: tuple[tuple[float, KernelShape | Literal["sinc"], bool], ...] = (
    (0.405, "gaussian", False),
    (0.225, "gaussian", True),
    (0.108, "generalised", False),
    (0.027, "generalised", True),
    (0.108, "plateau", False),
    (0.027, "plateau", True),
    (0.1, "sinc", False),
)


class Degradation:
    """Makes the source that a clip might have been enlarged from; one seed gives one source.

    `clean` is an anti-aliased resize. `compressed` adds JPEG or a codec, and at most a trace of
    noise. `mild` is one stage of blur, noise, JPEG and codec near the final size, `heavy` the
    two-stage chain of RealBasicVSR. `mixed` draws one of the four for each clip: 15, 25, 40 and
    20 %, with less noise in the mild ones; or 20, 20, 40 and 20 % at scale 1, with more noise, and
    blur and JPEG in some of the mild ones. Kinds and sizes are drawn once per clip; strengths drift
    slowly from frame to frame. Frames stay on their device but for video codecs, which are the
    CPU's: `has_codecs=False` leaves those out.
    """

    def __init__(self, level: Level, *, scale: int = 4, has_codecs: bool = True) -> None:
        """Choose what is done.

        Args:
            level: how bad the source is.
            scale: by how much the clip is larger than its source, per side; at 1 the source has
                the size of the clip, and a `clean` one is the clip itself.
            has_codecs: whether video codecs take part.
        """
        self.level = find_level(level)
        self.scale = scale
        self.has_codecs = has_codecs
        self._mild = _MILD
        if level == "mixed":
            self._mild = _MILD_AT_SAME_SIZE if scale == 1 else _MILD_IN_MIX

    def __call__(self, hr_frames: Tensor, seed: int | torch.Generator) -> Tensor:
        """Degrade one clip.

        Args:
            hr_frames: (T, 3, H, W) in [-1, 1], H and W multiples of the scale.
            seed: of everything that is drawn; a generator is read once.

        Returns:
            (T, 3, H / scale, W / scale) in [-1, 1], on the 256 codes of 8-bit video.

        Raises:
            ValueError: if the shape is another.
        """
        return self.explained(hr_frames, seed)[0]

    def explained(
        self, hr_frames: Tensor, seed: int | torch.Generator
    ) -> tuple[Tensor, tuple[str, ...]]:
        """Degrade one clip, and say in words what was drawn, one line for each thing done to it."""
        if hr_frames.ndim != 4 or hr_frames.shape[1] != 3:
            raise ValueError(f"expected (T, 3, H, W), got {tuple(hr_frames.shape)}")
        height, width = hr_frames.shape[-2:]
        if height % self.scale or width % self.scale:
            raise ValueError(
                f"expected sides in multiples of {self.scale}, got {tuple(hr_frames.shape)}"
            )
        if isinstance(seed, torch.Generator):
            seed = int(torch.randint(2**62, (), generator=seed))
        size = (height // self.scale, width // self.scale)
        randomness = _Randomness(
            seed, size=size, num_frames=len(hr_frames), has_codecs=self.has_codecs
        )
        frames = (hr_frames.float() + 1) / 2
        # Drawn in any case: what follows then is the same whether a level was drawn or asked for.
        mix = _MIX_AT_SAME_SIZE if self.scale == 1 else _MIX
        level = randomness.random.choices([*mix], [*mix.values()])[0]
        if self.level != "mixed":
            level = self.level
        lr_frames = self._degrade(frames, level, randomness)
        lines = (f"level {level}", *randomness.lines)
        return (lr_frames.clamp(0, 1) * 255).round() * (2 / 255) - 1, lines

    def _degrade(self, frames: Tensor, level: Level, randomness: "_Randomness") -> Tensor:
        if level == "clean":
            return _resize(
                frames, randomness.size, randomness.random.choice(("area", "bicubic")), randomness
            )
        if level == "compressed":
            return _compress(frames, randomness)
        if level == "mild":
            return _degrade_mildly(frames, self._mild, randomness)
        return _degrade_heavily(frames, randomness)


def find_level(name: str) -> Level:
    """The level of this name.

    Raises:
        ConfigError: there is none.
    """
    levels: tuple[Level, ...] = get_args(Level)
    for level in levels:
        if level == name:
            return level
    raise ConfigError(
        f"`{name}` is no level of degradation", hint=f"use one of {', '.join(levels)}"
    )


class _Randomness:
    """Everything random about one clip."""

    def __init__(
        self, seed: int, *, size: tuple[int, int], num_frames: int, has_codecs: bool
    ) -> None:
        self.size = size  # (height, width) of the source that is made
        self.num_frames, self.has_codecs = num_frames, has_codecs
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.lines: list[str] = []  # what was drawn, for people

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def drifting(self, limits: tuple[float, float]) -> Tensor:
        """A value for each frame, (T,): a random walk that turns round at the limits."""
        low, high = limits
        place = self.random.random()
        walk = []
        for _ in range(self.num_frames):
            walk.append(low + (high - low) * place)
            place = abs(place + self.random.gauss(0, _DRIFT))
            place = 1 - abs(1 - place)
        return torch.tensor(walk)


def _compress(frames: Tensor, randomness: _Randomness) -> Tensor:
    """JPEG, or now and then a codec instead, at the final size."""
    frames = _resize(frames, randomness.size, _any_mode(randomness), randomness)
    coded = _send_through_codec(frames, "compressed", randomness)
    if coded is not frames:
        return coded
    return _apply_stage(frames, _COMPRESSED, randomness, size=tuple(frames.shape[-2:]))


def _degrade_mildly(frames: Tensor, limits: StageLimits, randomness: _Randomness) -> Tensor:
    full = tuple(frames.shape[-2:])
    frames = _apply_stage(frames, limits, randomness, size=full)
    frames = _send_through_codec(frames, "mild", randomness)
    return _resize(frames, randomness.size, _any_mode(randomness), randomness)


def _degrade_heavily(frames: Tensor, randomness: _Randomness) -> Tensor:
    full = tuple(frames.shape[-2:])
    for limits in _HEAVY:
        frames = _apply_stage(frames, limits, randomness, size=full)
        frames = _send_through_codec(frames, "heavy", randomness)
    frames = _resize(frames, randomness.size, _any_mode(randomness), randomness)
    if randomness.chance(_SINC_SHARE):
        cutoff = randomness.drifting((math.pi / 3, math.pi))
        frames = blur(frames, sinc_kernels(_odd_size(randomness), cutoff))
        randomness.lines.append(f"sinc filter, cutoff {_span(cutoff)} rad/pixel")
    return frames


def _apply_stage(
    frames: Tensor, limits: StageLimits, randomness: _Randomness, *, size: tuple[int, ...]
) -> Tensor:
    """Blur, resize, noise and JPEG; `size` is that of the original."""
    if randomness.chance(limits.blur_share):
        frames = blur(frames, _any_kernels(limits.sigma, randomness))
    factor = randomness.random.uniform(*_resize_limits(limits, size, randomness))
    height, width = (
        max(round(side * factor), round(whole * _SMALLEST), 2)
        for side, whole in zip(frames.shape[-2:], size, strict=True)
    )
    frames = _resize(frames, (height, width), _any_mode(randomness), randomness).clamp(0, 1)
    is_poisson = randomness.chance(0.5)
    noise = Noise(
        strength=randomness.drifting(limits.shot if is_poisson else limits.noise),
        is_poisson=is_poisson,
        is_grey=randomness.chance(_GREY_SHARE),
    )
    frames = add_noise(frames, noise, randomness.generator)
    kind = "Poisson noise, times" if is_poisson else "Gaussian noise, sigma"
    randomness.lines.append(f"{'grey ' if noise.is_grey else ''}{kind} {_span(noise.strength)}")
    if limits.jpeg_share < 1 and not randomness.chance(limits.jpeg_share):
        return frames
    quality = randomness.drifting(limits.quality)
    randomness.lines.append(f"JPEG, quality {_span(quality)}")
    return jpeg(frames, quality)


def _resize_limits(
    limits: StageLimits, size: tuple[int, ...], randomness: _Randomness
) -> tuple[float, float]:
    """The limits of a stage, which are for a quarter, moved towards the size that it ends at."""
    less = 4 * randomness.size[0] / size[0]
    low, high = limits.resize
    return min(low * less, max(low, 1)), max(high, min(high * less, 1))


def _any_kernels(sigma: tuple[float, float], randomness: _Randomness) -> Tensor:
    """Kernels of one random kind and size, (T, k, k)."""
    _, shape, is_elongated = randomness.random.choices(
        _KERNELS, [share for share, _, _ in _KERNELS]
    )[0]
    size = _odd_size(randomness)
    if shape == "sinc":
        # A small kernel cannot hold the rings of a low cutoff.
        lowest = math.pi / 3 if size < 13 else math.pi / 5
        cutoff = randomness.drifting((lowest, math.pi))
        randomness.lines.append(f"sinc blur, {size} pixels, cutoff {_span(cutoff)} rad/pixel")
        return sinc_kernels(size, cutoff)
    sigma_x = randomness.drifting(sigma)
    sigma_y = randomness.drifting(sigma) if is_elongated else sigma_x
    angle = randomness.drifting((-math.pi / 2, math.pi / 2))
    beta = (
        randomness.random.uniform(0.5, 4)
        if shape == "generalised"
        else randomness.random.uniform(1, 2)
    )
    across = f" by {_span(sigma_y)}" if is_elongated else ""
    randomness.lines.append(f"{shape} blur, {size} pixels, sigma {_span(sigma_x)}{across}")
    return gaussian_kernels(size, sigma_x, sigma_y, angle, shape=shape, beta=beta)


def _odd_size(randomness: _Randomness) -> int:
    return 2 * randomness.random.randint(3, 10) + 1


def _any_mode(randomness: _Randomness) -> str:
    return randomness.random.choice(("area", "bilinear", "bicubic"))


def _resize(frames: Tensor, size: tuple[int, int], mode: str, randomness: _Randomness) -> Tensor:
    """Resize to (height, width), anti-aliased."""
    randomness.lines.append(f"resize to {size[1]}x{size[0]}, {mode}")
    if mode == "area":
        return F.interpolate(frames, size=size, mode="area")
    return F.interpolate(frames, size=size, mode=mode, antialias=True, align_corners=False)


def _span(values: Tensor) -> str:
    """From the least to the greatest, for people; one number where they are the same."""
    least, greatest = (f"{float(value):.3g}" for value in (values.min(), values.max()))
    return least if least == greatest else f"{least} to {greatest}"


def _send_through_codec(
    frames: Tensor, level: Literal["compressed", "mild", "heavy"], randomness: _Randomness
) -> Tensor:
    """Encode and decode some of the clips, at bits per pixel drawn evenly on a log scale."""
    share = _CODEC_SHARE if randomness.num_frames > 1 else _STILL_CODEC_SHARE
    codec: Codec = "h264" if randomness.chance(0.5) else "mpeg4"
    low, high = _BITS_PER_PIXEL[level]
    bits = low * (high / low) ** randomness.random.random()
    if not randomness.chance(share) or not randomness.has_codecs:
        return frames
    randomness.lines.append(f"{codec} at {bits:.2f} bits per pixel")
    bit_rate = max(round(bits * frames.shape[-2] * frames.shape[-1] * 25), 1000)
    pictures = (frames.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    coded = encode_decode(pictures.contiguous().cpu().numpy(), codec, bit_rate)
    return torch.from_numpy(coded).to(frames.device).permute(0, 3, 1, 2).float() / 255
