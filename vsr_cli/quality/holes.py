"""Clips with parts missing: in the picture, or whole frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.models.rim import fill_from_rim
from vsr_cli.ops.yuv import to_planes, to_rgb
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, Range
from vsr_cli.quality.metrics import Distance

Hole = Literal["logo", "object", "dirt", "text"]
Gap = Literal["gap1", "gap3"]
HOLES: tuple[Hole, ...] = ("logo", "object", "dirt", "text")
GAPS: Mapping[Gap, int] = {"gap1": 1, "gap3": 3}  # frames in a row that are missing

_LARGEST = (288, 384)  # (height, width) that is cut out of the middle of larger clips
_RGB = PixelLayout(kind="rgb")
_COLOR = ColorTags(matrix=Matrix.RGB, range=Range.FULL)
_BORDER = 2  # pixels around a hole whose change along time counts as well


def cut_out(frames: Tensor) -> Tensor:
    """The middle of frames (T, 3, H, W), of at most 288 x 384, so that a table takes minutes."""
    height, width = frames.shape[-2:]
    top, left = max(0, height - _LARGEST[0]) // 2, max(0, width - _LARGEST[1]) // 2
    return frames[..., top : top + _LARGEST[0], left : left + _LARGEST[1]].contiguous()


def draw_holes(kind: Hole, num_frames: int, size: tuple[int, int], seed: int) -> Tensor:
    """Masks (T, 1, H, W) of zeros and ones.

    Args:
        kind: `logo` stands still in a corner, `object` is a box that crosses the picture, `dirt` is
            specks and a scratch in other places in each frame, `text` is a line at the bottom.
        num_frames: T.
        size: (H, W).
        seed: of the places of dirt.
    """
    height, width = size
    mask = torch.zeros(num_frames, 1, height, width)
    if kind == "logo":
        mask[..., height - 60 : height - 36, width - 110 : width - 30] = 1
    elif kind == "text":
        for left in range(width // 5, 4 * width // 5, 10):  # letters
            mask[..., height - 34 : height - 18, left : left + 6] = 1
    elif kind == "object":
        for index in range(num_frames):
            left = 20 + (width - 80) * index // max(num_frames - 1, 1)
            mask[index, :, height // 3 : height // 3 + 48, left : left + 36] = 1
    else:
        generator = torch.Generator().manual_seed(seed)
        y, x = torch.arange(height)[:, None], torch.arange(width)
        for index in range(num_frames):
            scratch = int(torch.randint(20, width - 20, (), generator=generator))
            mask[index, ..., scratch : scratch + 2] = 1
            for share_y, share_x, share_r in torch.rand(6, 3, generator=generator).tolist():
                radius = 2 + 4 * share_r
                far = (y - share_y * height).square() + (x - share_x * width).square()
                mask[index, 0][far <= radius**2] = 1
    return mask


def lost_indices(gap: Gap, num_frames: int) -> list[int]:
    """Which frames of a clip are missing: all but every second, or every fourth, to the last."""
    step = GAPS[gap] + 1
    last = (num_frames - 1) // step * step
    return [index for index in range(last) if index % step]


def as_frames(rgb: Tensor) -> list[Frame]:
    """Frames (T, 3, H, W) in [-1, 1] as a decoder would give them, RGB of 8 bits."""
    return [
        Frame(
            planes=tuple(plane.numpy() for plane in to_planes(picture, _RGB, _COLOR)),
            layout=_RGB,
            color=_COLOR,
            pts=index,
            duration=1,
            time_base=Fraction(1, 25),
        )
        for index, picture in enumerate(rgb)
    ]


def as_rgb(frames: Sequence[Frame]) -> Tensor:
    """The inverse of `as_frames`."""
    planes = [[torch.from_numpy(plane) for plane in frame.planes] for frame in frames]
    return torch.stack([to_rgb(found, _RGB, _COLOR) for found in planes])


def info_like(info: VideoInfo, frames: Tensor) -> VideoInfo:
    """What is known of a clip that `as_frames` gives."""
    height, width = frames.shape[-2:]
    return replace(info, height=height, width=width, layout=_RGB, color=_COLOR)


def from_rim(frames: Tensor, holes: Tensor, *, method: Literal["telea", "ns"]) -> Tensor:
    """Each frame by itself, its hole filled from its rim."""
    pairs = zip((frames + 1) / 2, holes, strict=True)
    filled = [fill_from_rim(x[None], hole[None], method=method)[0] for x, hole in pairs]
    return torch.stack(filled) * 2 - 1


def from_neighbours(frames: Tensor, lost: Sequence[int], *, blended: bool) -> Tensor:
    """Lost frames as a copy of the nearest that is there, or as a blend of both."""
    found = frames.clone()
    there = [index for index in range(len(frames)) if index not in lost]
    for index in lost:
        before = max(k for k in there if k < index)
        after = min(k for k in there if k > index)
        share = (index - before) / (after - before)
        if not blended:
            share = float(share > 0.5)
        found[index] = torch.lerp(frames[before], frames[after], share)
    return found


@dataclass(frozen=True, kw_only=True)
class HoleFigures:
    """How near what closes holes is to the truth.

    psnr: dB, of RGB in the hole, the mean of frames.
    lpips: of whole frames that have a hole; None: no network was given.
    flicker: codes of 255 by which the change from frame to frame in the hole is off the truth's;
        None where no two neighbours have a hole.
    """

    psnr: float
    lpips: float | None
    flicker: float | None


def measure_holes(
    found: Tensor, truth: Tensor, holes: Tensor, lpips: Distance | None
) -> HoleFigures:
    """Compare frames (T, 3, H, W) in [-1, 1] where holes (T, 1, H, W) were."""
    has_hole = holes.sum((1, 2, 3)) > 0
    composed = torch.where(holes > 0, found, truth)
    squared = ((composed - truth) / 2).square().sum((1, 2, 3)) / (3 * holes.sum((1, 2, 3)))
    decibels = -10 * squared[has_hole].clamp(min=1e-10).log10()
    change = (composed.diff(dim=0) - truth.diff(dim=0)).abs()
    border = torch.nn.functional.max_pool2d(holes, 2 * _BORDER + 1, 1, _BORDER)[1:]
    both = (has_hole[1:] & has_hole[:-1]).float()[:, None, None, None] * border
    weight = float(both.sum()) * 3
    return HoleFigures(
        psnr=float(decibels.mean()),
        lpips=float(lpips(composed[has_hole], truth[has_hole]).mean()) if lpips else None,
        flicker=float((change * both).sum()) * 127.5 / weight if weight else None,
    )
