"""Between coded planes and RGB: matrix, range, chroma siting and rounding, in float32.

The equations are those of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance), quantised as
in ITU-T H.273, section 8.3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vsr_cli.pixels import ColorTags, PixelLayout, Range

# Rows that are converted together: no sample of chroma lies across two bands, since its rows are
# averaged by two or four without reaching further, and the pattern of dithering repeats after 32.
_BAND = 256


class _Codes(NamedTuple):
    """Linear quantisation of one plane: code = value * gain + zero."""

    gain: float
    zero: float


def to_rgb(planes: Sequence[Tensor], layout: PixelLayout, color: ColorTags) -> Tensor:
    """Turn the planes of one frame into RGB.

    Chroma is interpolated linearly between the places where `layout` says its samples lie.

    Args:
        planes: integer tensors of the shapes `layout.plane_shapes` gives; see `to_alpha` for the
            last one.
        layout: what the planes are.
        color: fully resolved; an RGB or gray layout needs only the range.

    Returns:
        (3, H, W), float32 in [-1, 1]; codes beyond black and white are clipped.

    Raises:
        ValueError: number or shape of the planes, or the tags, do not fit the layout.
    """
    height, width = planes[0].shape
    expected = layout.plane_shapes(height, width)
    if tuple(tuple(plane.shape) for plane in planes) != expected:
        raise ValueError(f"expected planes {expected}, got {[tuple(p.shape) for p in planes]}")
    luma, chroma = _quantisation(layout, color)
    values = [(planes[0].float() - luma.zero) / luma.gain]
    if layout.kind == "gray":
        rgb = values[0].expand(3, -1, -1)
    elif layout.kind == "rgb":
        rgb = torch.stack([(plane.float() - luma.zero) / luma.gain for plane in planes[:3]])
    else:
        offset_x = _siting_offset(layout.shift_x, centered=layout.siting == "center")
        offset_y = _siting_offset(layout.shift_y, centered=True)
        for plane in planes[1:3]:
            c = (plane.float() - chroma.zero) / chroma.gain
            c = _enlarge(c, 1, width, layout.shift_x, offset_x)
            values.append(_enlarge(c, 0, height, layout.shift_y, offset_y))
        rgb = _rgb_from_yuv(values, color)
    return (rgb * 2 - 1).clamp(-1, 1)


def to_alpha(planes: Sequence[Tensor], layout: PixelLayout) -> Tensor | None:
    """How opaque one frame is: (H, W), float32, 0 is clear and 1 opaque; None: all of it is."""
    return planes[-1].float() / ((1 << layout.depth) - 1) if layout.has_alpha else None


def to_planes(
    rgb: Tensor,
    layout: PixelLayout,
    color: ColorTags,
    *,
    alpha: Tensor | None = None,
    dither: bool = False,
) -> list[Tensor]:
    """Turn RGB into the planes of one frame; the inverse of `to_rgb`.

    Chroma is averaged over the area around each of its samples. A gray layout takes the luma of
    `color`.

    Args:
        rgb: (3, H, W), any float type; clipped to [-1, 1].
        layout: what the planes shall be.
        color: fully resolved.
        alpha: (H, W), clipped to [0, 1]; None: opaque. A layout without alpha has no use for it.
        dither: spread the rounding with a fixed 8x8 pattern, so that slow gradients do not band.

    Returns:
        One contiguous tensor per plane, uint8 or (above 8 bits) uint16.
    """
    bands = []
    for start in range(0, rgb.shape[-2], _BAND):  # a whole frame would be held several times over
        rows = slice(start, start + _BAND)
        band = (rgb[:, rows].float().clamp(-1, 1) + 1) / 2
        planes = _color_planes(band, layout, color, dither)
        if layout.has_alpha:
            opaque = torch.ones_like(band[0]) if alpha is None else alpha[rows].float().clamp(0, 1)
            codes = _Codes((1 << layout.depth) - 1, 0)
            planes.append(_quantise(opaque, codes, layout.depth, False))
        bands.append(planes)
    return [torch.cat(parts) for parts in zip(*bands, strict=True)]


def _color_planes(rgb: Tensor, layout: PixelLayout, color: ColorTags, dither: bool) -> list[Tensor]:
    """All planes but alpha, of RGB in [0, 1]."""
    luma, chroma = _quantisation(layout, color)
    if layout.kind == "rgb":
        return [_quantise(plane, luma, layout.depth, dither) for plane in rgb]
    y, cb, cr = _yuv_from_rgb(rgb, color)
    planes = [_quantise(y, luma, layout.depth, dither)]
    if layout.kind == "gray":
        return planes
    offset_x = _siting_offset(layout.shift_x, centered=layout.siting == "center")
    offset_y = _siting_offset(layout.shift_y, centered=True)
    for c in (cb, cr):
        c = _shrink(_shrink(c, 1, layout.shift_x, offset_x), 0, layout.shift_y, offset_y)
        planes.append(_quantise(c, chroma, layout.depth, dither))
    return planes


def _quantisation(layout: PixelLayout, color: ColorTags) -> tuple[_Codes, _Codes]:
    """Codes of luma (or R, G, B) in [0, 1] and of chroma in [-0.5, 0.5]."""
    if color.range == Range.UNSPECIFIED:
        raise ValueError("the range of the codes is not resolved")
    middle = float(1 << (layout.depth - 1))
    if color.range == Range.FULL:
        top = float((1 << layout.depth) - 1)
        return _Codes(top, 0.0), _Codes(top, middle)
    step = float(1 << (layout.depth - 8))
    return _Codes(219 * step, 16 * step), _Codes(224 * step, middle)


def _rgb_from_yuv(values: Sequence[Tensor], color: ColorTags) -> Tensor:
    y, cb, cr = values
    kr, kb = color.matrix.luma_weights
    r = y + 2 * (1 - kr) * cr
    b = y + 2 * (1 - kb) * cb
    return torch.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b])


def _yuv_from_rgb(rgb: Tensor, color: ColorTags) -> tuple[Tensor, Tensor, Tensor]:
    kr, kb = color.matrix.luma_weights
    r, g, b = rgb
    y = kr * r + (1 - kr - kb) * g + kb * b
    return y, (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))


def _siting_offset(shift: int, *, centered: bool) -> float:
    """Where the first of the coarse samples lies, in fine samples."""
    return ((1 << shift) - 1) / 2 if centered else 0.0


def _enlarge(x: Tensor, dim: int, size: int, shift: int, offset: float) -> Tensor:
    """Interpolate `x` along `dim` to `size` samples; beyond its ends it is constant."""
    if shift == 0:
        return x
    position = (torch.arange(size, device=x.device, dtype=torch.float32) - offset) / (1 << shift)
    position = position.clamp(0, x.shape[dim] - 1)
    before = position.floor().long()
    after = (before + 1).clamp(max=x.shape[dim] - 1)
    weight = (position - before).unsqueeze(1 - dim)
    return torch.lerp(x.index_select(dim, before), x.index_select(dim, after), weight)


def _shrink(x: Tensor, dim: int, shift: int, offset: float) -> Tensor:
    """Average `x` along `dim` over 2**shift samples around each coarse sample.

    A box that starts or ends in the middle of a sample takes half of it; the ends are constant.
    """
    if shift == 0:
        return x
    factor = 1 << shift
    size = x.shape[dim]
    first = torch.arange(0, size, factor, device=x.device)
    start = offset - factor / 2 + 0.5  # of the box, in fine samples; always a half or a whole
    total = torch.zeros_like(x.index_select(dim, first))
    for tap in range(int(start // 1), int(start // 1) + factor + 1):
        share = min(tap + 0.5, start + factor - 0.5) - max(tap - 0.5, start - 0.5)
        if share > 0:
            total += share * x.index_select(dim, (first + tap).clamp(0, size - 1))
    return total / factor


def _quantise(value: Tensor, codes: _Codes, depth: int, dither: bool) -> Tensor:
    scaled = value * codes.gain + codes.zero
    if dither:
        scaled = scaled + _threshold(scaled)
    rounded = scaled.round().clamp(0, (1 << depth) - 1)
    return rounded.to(torch.int32).to(torch.uint8 if depth == 8 else torch.uint16)


def _threshold(like: Tensor) -> Tensor:
    """Bayer's 8x8 pattern in (-0.5, 0.5), of mean 0, repeated over the shape of `like`."""
    pattern = torch.zeros(1, 1, device=like.device)
    quarter = torch.tensor([[0.0, 2.0], [3.0, 1.0]], device=like.device)
    for _ in range(3):
        pattern = (4 * pattern).repeat(2, 2) + torch.kron(quarter, torch.ones_like(pattern))
    height, width = like.shape
    pattern = (pattern + 0.5) / 64 - 0.5
    return pattern.repeat(-(-height // 8), -(-width // 8))[:height, :width]
