"""What ruins a picture, one function each: blur kernels, noise and JPEG, all on tensors.

Frames here are (T, 3, H, W), RGB in [0, 1], on any device; parameters that drift along time are one
per frame, on the CPU: they are few, and nobody has to wait for a GPU to read them.
"""

import functools
import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_cli.ops.color import luma

KernelShape = Literal["gaussian", "generalised", "plateau"]


# ITU-T T.81, tables K.1 and K.2
_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)


def gaussian_kernels(
    size: int,
    sigma_x: Tensor,
    sigma_y: Tensor,
    angle: Tensor,
    *,
    shape: KernelShape = "gaussian",
    beta: float = 1.0,
) -> Tensor:
    """Blur kernels with one peak, round where both sigmas agree (arXiv 2107.10833, section 3.1).

    With q = x^T S^-1 x: exp(-q / 2), exp(-q^beta / 2) or 1 / (1 + q^beta).

    Args:
        size: odd, in pixels.
        sigma_x: (T,) pixels, along the first axis of the ellipse.
        sigma_y: (T,) pixels, along the second.
        angle: (T,) radians, from the x axis.
        shape: which of the three curves.
        beta: how flat the top is; unused by the Gaussian.

    Returns:
        (T, size, size), each of sum 1.
    """
    axis = torch.arange(size, dtype=torch.float32) - size // 2
    y, x = axis[:, None], axis[None, :]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along = (x * cos + y * sin) / sigma_x[:, None, None]
    across = (y * cos - x * sin) / sigma_y[:, None, None]
    q = along**2 + across**2
    if shape == "gaussian":
        kernels = torch.exp(-q / 2)
    elif shape == "generalised":
        kernels = torch.exp(-(q**beta) / 2)
    else:
        kernels = 1 / (1 + q**beta)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def sinc_kernels(size: int, cutoff: Tensor) -> Tensor:
    """Ideal round low-pass filters, which ring (arXiv 2107.10833, eq. 6).

    c / (2 pi r) J1(c r), and c^2 / (4 pi) at r = 0.

    Args:
        size: odd, in pixels.
        cutoff: (T,) radians per pixel, above 0.

    Returns:
        (T, size, size), each of sum 1.
    """
    axis = torch.arange(size, dtype=torch.float32) - size // 2
    radius = torch.hypot(axis[:, None], axis[None, :]).expand(len(cutoff), -1, -1)
    c = cutoff[:, None, None]
    safe = radius.clamp(min=0.5)  # only the centre is nearer, and it has its own limit
    kernels = c / (2 * math.pi * safe) * torch.special.bessel_j1(c * safe)
    kernels = torch.where(radius < 0.5, c**2 / (4 * math.pi), kernels)
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def blur(frames: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each frame with its own kernel; borders are mirrored.

    Through the Fourier transform: one CPU core needs the same time for 7 and for 21 pixels.

    Args:
        frames: (T, C, H, W).
        kernels: (T, k, k), k odd.

    Returns:
        (T, C, H, W).
    """
    h, w = frames.shape[-2:]
    reach = kernels.shape[-1] // 2
    mode = "reflect" if min(h, w) > reach else "replicate"
    # Sizes with small prime factors transform several times faster.
    height, width = _fast_size(h + 2 * reach), _fast_size(w + 2 * reach)
    padded = F.pad(frames, (reach, reach, reach, reach), mode=mode)
    spectrum = torch.fft.rfft2(padded, s=(height, width))
    response = torch.fft.rfft2(kernels[:, None].to(frames.device), s=(height, width))
    full = torch.fft.irfft2(spectrum * response, s=(height, width))
    return full[..., 2 * reach : 2 * reach + h, 2 * reach : 2 * reach + w]


@functools.cache
def _fast_size(least: int) -> int:
    """The next size whose only prime factors are 2, 3 and 5."""
    size = least
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise of one clip; it is drawn anew for every frame."""

    strength: Tensor  # (T,) Gaussian: sigma in codes of 255; Poisson: times the shot noise
    is_poisson: bool
    is_grey: bool  # the same in the three channels


def add_noise(frames: Tensor, noise: Noise, generator: torch.Generator) -> Tensor:
    """Add Gaussian or Poisson noise and clip to [0, 1].

    Poisson noise is drawn as the Gaussian of the same variance, x / 255 in [0, 1] units: drawing
    it exactly costs ten times more and differs only in pixels next to black.
    """
    t, c, h, w = frames.shape
    channels = 1 if noise.is_grey else c
    grain = torch.randn((t, channels, h, w), generator=generator).to(frames.device)
    strength = noise.strength[:, None, None, None].to(frames.device)
    if noise.is_poisson:
        light = luma(frames) if noise.is_grey else frames
        grain = grain * (light.clamp(min=0) / 255).sqrt() * strength
    else:
        grain = grain * (strength / 255)
    return (frames + grain).clamp(0, 1)


def jpeg(frames: Tensor, quality: Tensor) -> Tensor:
    """What a JPEG file keeps of each frame (ITU-T T.81): 8x8 DCT, standard tables, 4:2:0.

    Everything that loses something is here, nothing that only packs bits.

    Args:
        frames: (T, 3, H, W), any size, [0, 1].
        quality: (T,) 1 to 100, the scale of the libjpeg family.

    Returns:
        (T, 3, H, W) on the 256 codes of [0, 1].
    """
    h, w = frames.shape[-2:]
    padded = F.pad(frames, (0, -w % 16, 0, -h % 16), mode="replicate")
    codes = (padded * 255).round()
    y = luma(codes)
    blue = (codes[:, 2:] - y) / 1.772
    red = (codes[:, :1] - y) / 1.402
    chroma = F.avg_pool2d(torch.cat([blue, red], dim=1), 2)
    y = _quantise(y - 128, _LUMA_TABLE, quality) + 128
    chroma = _quantise(chroma, _CHROMA_TABLE, quality)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    blue, red = chroma[:, :1], chroma[:, 1:]
    green = y - (0.114 * 1.772 * blue + 0.299 * 1.402 * red) / 0.587
    codes = torch.cat([y + 1.402 * red, green, y + 1.772 * blue], dim=1)
    return (codes[..., :h, :w].round() / 255).clamp(0, 1)


def _quantise(plane: Tensor, table: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """Round the DCT coefficients of (T, C, H, W), H and W multiples of 8, to the table's steps."""
    t, c, h, w = plane.shape
    quality = quality.round().clamp(1, 100)
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    base = torch.tensor(table, dtype=torch.float32).flatten()
    steps = ((base * percent[:, None] + 50) / 100).floor().clamp(1, 255)[:, None]  # (T, 1, 64)
    steps = steps.to(plane.device)
    blocks = plane.reshape(t, c, h // 8, 8, w // 8, 8).transpose(3, 4).reshape(t, -1, 64)
    transform = _dct_matrix().to(plane.device)
    blocks = ((blocks @ transform.T / steps).round() * steps) @ transform
    return blocks.reshape(t, c, h // 8, w // 8, 8, 8).transpose(3, 4).reshape(t, c, h, w)


@functools.cache
def _dct_matrix() -> Tensor:
    """The orthonormal two-dimensional DCT of an 8x8 block as (64, 64), rows are frequencies."""
    n = torch.arange(8, dtype=torch.float64)
    one = torch.cos((2 * n[None, :] + 1) * n[:, None] * math.pi / 16) / 2
    one[0] /= math.sqrt(2)
    return torch.kron(one, one).float()
