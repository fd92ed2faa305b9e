"""What is wrong with clips that are restored at their own size: one known defect a clip."""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from vsr_cli.media.roundtrip import Crf, encode_decode
from vsr_cli.quality.distortions import Noise, add_noise, blur

Defect = Literal["noise10", "noise15", "noise25", "crf34", "crf38", "blur9", "mix"]
DEFECTS: tuple[Defect, ...] = get_args(Defect)

_BLUR_SIZE = 9  # pixels, along a line
_BLUR_NOISE = 3.0  # codes of 255, as the noise of what else has some

# Frames (T, 3, H, W) in [0, 1] and what draws their noise -> the same shape
_Damage = Callable[[Tensor, torch.Generator], Tensor]


def damage(hr_frames: Tensor, defect: Defect, seed: int) -> Tensor:
    """Give a clip a defect; it keeps its size, and the same seed gives the same clip.

    `noise10`, `noise15` and `noise25` add Gaussian noise of that deviation, in codes of 255;
    `crf34` and `crf38` are H.264 at that constant rate factor; `blur9` is a shake of 9 pixels
    sideways, with a little noise; `mix` is noise of 12 and then H.264 at 32.

    Args:
        hr_frames: (T, 3, H, W) in [-1, 1].
        defect: which.
        seed: of the noise.

    Returns:
        (T, 3, H, W) in [-1, 1], on the 256 codes of 8-bit video.
    """
    generator = torch.Generator().manual_seed(seed)
    frames = _DAMAGES[defect]((hr_frames.float() + 1) / 2, generator)
    return (frames.clamp(0, 1) * 255).round() * (2 / 255) - 1


def _add_noise(frames: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    strength = torch.full((len(frames),), deviation)
    return add_noise(frames, Noise(strength=strength, is_poisson=False, is_grey=False), generator)


def _encode(frames: Tensor, crf: int) -> Tensor:
    codes = (frames.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    coded = encode_decode(codes.contiguous().cpu().numpy(), "h264", Crf(crf))
    return torch.from_numpy(coded).permute(0, 3, 1, 2).to(frames.device).float() / 255


def _shake(frames: Tensor, generator: torch.Generator) -> Tensor:
    kernels = torch.zeros(len(frames), _BLUR_SIZE, _BLUR_SIZE)
    kernels[:, _BLUR_SIZE // 2] = 1 / _BLUR_SIZE
    return _add_noise(blur(frames, kernels), _BLUR_NOISE, generator)


_DAMAGES: Mapping[Defect, _Damage] = {
    "noise10": lambda frames, generator: _add_noise(frames, 10, generator),
    "noise15": lambda frames, generator: _add_noise(frames, 15, generator),
    "noise25": lambda frames, generator: _add_noise(frames, 25, generator),
    "crf34": lambda frames, _: _encode(frames, 34),
    "crf38": lambda frames, _: _encode(frames, 38),
    "blur9": _shake,
    "mix": lambda frames, generator: _encode(_add_noise(frames, 12, generator), 32),
}
