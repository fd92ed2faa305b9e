"""Colour of the low-resolution input, carried over to the super-resolved frames."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_cli.config import ColorFix

_BLUR_SIGMA = 3.25  # LR pixels: at x4 as wide as five levels of the 1-2-1 wavelet at full size
BLUR_RADIUS = 10
_BAND = 64  # rows of the input that are enlarged together


BT601 = (0.299, 0.587, 0.114)


def luma(frames: Tensor) -> Tensor:
    """BT.601 luma of RGB, (..., 3, H, W) -> (..., 1, H, W), of the range RGB has."""
    weights = frames.new_tensor(BT601)[:, None, None]
    return (frames * weights).sum(dim=-3, keepdim=True)


def match_wavelet(sr_frames: Tensor, lr_frames: Tensor, *, in_place: bool = False) -> Tensor:
    """Low frequencies from the input, everything finer from the super-resolved frames.

    result = sr + up(blur(lr - down(sr)))

    The wavelet colour fix of StableSR (arXiv 2305.07015, appendix) in the form that is cheap: both
    pictures are compared at LR size, where one fixed Gaussian replaces the pyramid. Purely
    local (no statistics over the frame), hence the same for tiles and clips of any size except
    within the blur's reach of a cut. May leave [-1, 1] slightly; the caller clamps.

    Args:
        sr_frames: (..., 3, H, W) in [-1, 1].
        lr_frames: (..., 3, h, w) in [-1, 1], the same leading dimensions.
        in_place: write over `sr_frames`, which may be too large to be held twice.

    Returns:
        (..., 3, H, W) in the type of `sr_frames`.
    """
    sr, lr = _fold(sr_frames, lr_frames)
    reduced = torch.empty_like(lr)
    for here, rows in _bands(lr.shape[-2], sr.shape[-2]):
        size = (here.stop - here.start, lr.shape[-1])
        reduced[:, :, here] = F.interpolate(sr[:, :, rows].float(), size=size, mode="area")
    gap = _blur(lr - reduced)
    result = sr if in_place else torch.empty_like(sr)
    for here, rows in _bands(lr.shape[-2], sr.shape[-2]):
        result[:, :, rows] = sr[:, :, rows].float() + _enlarged(gap, here, rows, sr.shape[-1])
    return result.reshape(sr_frames.shape)


def match_mean_std(sr_frames: Tensor, lr_frames: Tensor) -> Tensor:
    """Give every frame and channel the mean and contrast of the input (AdaIN, arXiv 1703.06868).

    result = (sr - mean(down(sr))) std(lr) / std(down(sr)) + mean(lr)

    Statistics are taken at LR size, so that detail the network added is not mistaken for contrast,
    and per frame, so that no clip boundary shows. They span the frame: give it whole frames,
    not tiles. May leave [-1, 1]; the caller clamps.

    Args:
        sr_frames: (..., 3, H, W) in [-1, 1].
        lr_frames: (..., 3, h, w) in [-1, 1], the same leading dimensions.

    Returns:
        (..., 3, H, W) in the type of `sr_frames`.
    """
    sr, lr = _fold(sr_frames.float(), lr_frames)
    small = F.interpolate(sr, size=lr.shape[-2:], mode="area")
    have_std, have_mean = torch.std_mean(small, dim=(2, 3), correction=0, keepdim=True)
    want_std, want_mean = torch.std_mean(lr, dim=(2, 3), correction=0, keepdim=True)
    # A flat frame has no contrast to match; one grey level (2 / 255) keeps the ratio finite.
    gain = (want_std + 2 / 255) / (have_std + 2 / 255)
    matched = torch.addcmul(want_mean - have_mean * gain, sr, gain)
    return matched.reshape(sr_frames.shape).to(sr_frames.dtype)


def adain(sr_frames: Tensor, lr_upscaled: Tensor) -> Tensor:
    """`match_mean_std` as published models do it: at full size (AdaIN, arXiv 1703.06868).

    result = (sr - mean(sr)) std(lr) / std(sr) + mean(lr), std = sqrt(unbiased variance + 1e-5)

    Args:
        sr_frames: (..., 3, H, W) in [-1, 1].
        lr_upscaled: the same shape.
    """
    have_variance, have_mean = torch.var_mean(sr_frames, dim=(-2, -1), keepdim=True)
    want_variance, want_mean = torch.var_mean(lr_upscaled, dim=(-2, -1), keepdim=True)
    have_std, want_std = (have_variance + 1e-5).sqrt(), (want_variance + 1e-5).sqrt()
    return (sr_frames - have_mean) / have_std * want_std + want_mean


def wavelet(sr_frames: Tensor, lr_upscaled: Tensor) -> Tensor:
    """`match_wavelet` as published models do it: at full size (arXiv 2305.07015, appendix).

    The highest five levels of an undecimated 1-2-1 pyramid are those of `sr_frames`, the rest is
    that of `lr_upscaled`.

    Args:
        sr_frames: (..., 3, H, W) in [-1, 1].
        lr_upscaled: the same shape.
    """
    return sr_frames - _lowest_level(sr_frames) + _lowest_level(lr_upscaled)


def _lowest_level(frames: Tensor, levels: int = 5) -> Tensor:
    """What is left of frames (..., 3, H, W) after so many levels of 1-2-1 blur, ever wider."""
    taps = frames.new_tensor([1.0, 2.0, 1.0])
    kernel = (torch.outer(taps, taps) / 16)[None, None]
    low = frames.reshape(-1, 1, *frames.shape[-2:])  # (N, 1, H, W)
    for level in range(levels):
        reach = 2**level
        low = F.conv2d(F.pad(low, (reach,) * 4, mode="replicate"), kernel, dilation=reach)
    return low.reshape(frames.shape)


def _fold(sr_frames: Tensor, lr_frames: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (N, C, height, width), the second in float32."""
    if sr_frames.shape[:-2] != lr_frames.shape[:-2]:
        raise ValueError(
            f"expected equal leading dimensions, got {tuple(sr_frames.shape)} and "
            f"{tuple(lr_frames.shape)}"
        )
    return (
        sr_frames.reshape(-1, *sr_frames.shape[-3:]),
        lr_frames.float().reshape(-1, *lr_frames.shape[-3:]),
    )


def _bands(height: int, large: int) -> Iterator[tuple[slice, slice]]:
    """Rows of a picture, and the same of an enlarged one; all at once if it is no whole multiple.

    What is computed between a small and a large picture would take as much memory as the large one.
    """
    factor, rest = divmod(large, height)
    step = height if rest else _BAND
    for start in range(0, height, step):
        stop = min(start + step, height)
        yield slice(start, stop), slice(factor * start, large if rest else factor * stop)


def _enlarged(x: Tensor, here: slice, rows: slice, width: int) -> Tensor:
    """Rows of (N, C, h, w) enlarged linearly to `width` and as many `rows`, as within the whole."""
    first, last = max(here.start - 1, 0), min(here.stop + 1, x.shape[-2])  # what the ends look at
    count = rows.stop - rows.start
    factor = count // (here.stop - here.start)
    if (first, last) == (here.start, here.stop):
        size = (count, width)
    else:
        size = (factor * (last - first), width)
    # Enlarging has nothing to smooth, but of both ways this one rounds alike with any number of
    # threads, and workers have others than a process that is alone.
    enlarged = F.interpolate(
        x[:, :, first:last], size=size, mode="bilinear", align_corners=False, antialias=True
    )
    above = factor * (here.start - first)
    return enlarged[:, :, above : above + count]


def blur_kernel(device: torch.device) -> Tensor:
    """The taps along one side of the Gaussian that colours are compared with, float32."""
    taps = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (taps / _BLUR_SIGMA) ** 2)
    return kernel / kernel.sum()


def _blur(x: Tensor) -> Tensor:
    """Separable Gaussian over (N, C, h, w), the border repeated."""
    n, c, height, width = x.shape
    kernel = blur_kernel(x.device)[None, None]
    planes = x.reshape(n * c, 1, height, width)
    pad = BLUR_RADIUS
    padded = F.pad(planes, (pad, pad, pad, pad), mode="replicate")
    result = torch.empty_like(planes)
    for start in range(0, height, _BAND):  # a convolution copies its input once for each tap
        stop = min(start + _BAND, height)
        band = F.conv2d(padded[:, :, start : stop + 2 * pad], kernel[:, :, None])
        result[:, :, start:stop] = F.conv2d(band, kernel[..., None])
    return result.reshape(n, c, height, width)


def match_color(frames: Tensor, body_frames: Tensor, how: ColorFix) -> Tensor:
    """Give SR frames (T, 3, 4H, 4W) the colours of the source, reduced to (T, 3, H, W).

    `frames` may be written over.
    """
    if how == "wavelet":
        return match_wavelet(frames, body_frames, in_place=True)
    if how == "adain":
        return match_mean_std(frames, body_frames)
    return frames
