"""Restorers that know nothing of video: what everything else is compared with."""

import torch
from torch import Tensor

from vsr_cli.ops.color import luma
from vsr_cli.ops.resize import resize
from vsr_cli.quality.clips import to_codes
from vsr_cli.quality.distortions import blur, gaussian_kernels
from vsr_cli.quality.metrics import Distance

AMOUNTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)  # of sharpening
_MASK_SIGMA, _MASK_SIZE = 1.5, 13  # pixels of the enlarged frame
_JUDGED = 3  # frames of a clip that choose the amount


def bicubic(lr_frames: Tensor, scale: int) -> Tensor:
    """Enlarge frames (T, 3, h, w) to (T, 3, scale h, scale w): what everything has to beat.

    At scale 1 that is the frames themselves, here and in `lanczos`.
    """
    height, width = lr_frames.shape[-2:]
    return resize(lr_frames, (height * scale, width * scale))


def lanczos(lr_frames: Tensor, scale: int) -> Tensor:
    """Enlarge frames (T, 3, h, w) to (T, 3, scale h, scale w) by Lanczos with three lobes."""
    height, width = lr_frames.shape[-2:]
    rows, columns = _lanczos_matrix(height, scale), _lanczos_matrix(width, scale)
    return rows @ lr_frames.float().cpu() @ columns.T


def sharpen(lr_frames: Tensor, scale: int, amount: float) -> Tensor:
    """Lanczos with an unsharp mask: x + amount (y - blur(y)), y the luma of x.

    Args:
        lr_frames: (T, 3, h, w) in [-1, 1].
        scale: of the enlargement.
        amount: 0 changes nothing.

    Returns:
        (T, 3, scale h, scale w), which may leave [-1, 1].
    """
    frames = lanczos(lr_frames, scale)
    sigma = torch.full((len(frames),), _MASK_SIGMA)
    mask = gaussian_kernels(_MASK_SIZE, sigma, sigma, torch.zeros(len(frames)))
    y = luma(frames)
    return frames + amount * (y - blur(y, mask))


def match_sharpness(
    lr_frames: Tensor, hr_frames: Tensor, sr_frames: Tensor, lpips: Distance
) -> float:
    """The amount of `sharpen` that comes nearest to `sr_frames` in LPIPS.

    Steadiness is only worth something at equal sharpness: a blurred clip is steady for free. This
    makes a restorer that treats every frame by itself equally sharp in the eyes of LPIPS, so that
    what differs in the temporal columns is what the video model does along time. It looks at the
    truth to do so, which no restorer may: it is a yardstick, not a competitor.

    Args:
        lr_frames: (T, 3, h, w) in [-1, 1].
        hr_frames: the truth, (T, 3, H, W), whole multiples of h and w.
        sr_frames: the clip to match, of that shape; three frames at most are compared.
        lpips: the distance.

    Returns:
        One of `AMOUNTS`; the smallest if several are as near.
    """
    last = len(lr_frames) - 1
    places = sorted({round(last * part / (_JUDGED - 1)) for part in range(_JUDGED)})
    truth = hr_frames[places]
    target = float(lpips(sr_frames[places], truth).mean())
    scale = hr_frames.shape[-1] // lr_frames.shape[-1]
    plain, sharp = (sharpen(lr_frames[places], scale, amount) for amount in (0, 1))

    def gap(amount: float) -> float:
        frames = to_codes(plain + amount * (sharp - plain))
        return abs(float(lpips(frames, truth).mean()) - target)

    return min(AMOUNTS, key=gap)


def _lanczos_matrix(size: int, scale: int) -> Tensor:
    """Weights of every old sample in every new one, (scale size, size); edges are repeated."""
    places = (torch.arange(size * scale) + 0.5) / scale - 0.5
    first = places.floor().long() - 2
    matrix = torch.zeros(size * scale, size)
    for tap in range(6):
        distance = places - (first + tap)
        weight = torch.sinc(distance) * torch.sinc(distance / 3)
        matrix.scatter_add_(1, (first + tap).clamp(0, size - 1)[:, None], weight[:, None])
    return matrix / matrix.sum(dim=1, keepdim=True)
