"""How near a restored clip is to the truth, frame by frame and along time.

Frames are (T, 3, H, W), RGB in [-1, 1]. Every figure is a mean over the frames (or over pairs of
neighbours) of one clip, computed in float32.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vsr_cli.counting import counted
from vsr_cli.errors import WeightsError
from vsr_cli.models.flow import FlowEstimator
from vsr_cli.ops.color import luma
from vsr_cli.ops.warp import backward_warp, visibility

_SHIFT, _SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_FIRES = (3, 4, 6, 7, 9, 10, 11, 12)
_POOLED = (3, 6, 9)  # fires with a max-pool before them
_COMPARED = (4, 7, 9, 10, 11, 12)  # beside the first convolution
LEAST_SIDE = 64  # pixels, for a spectrum that tells lines from what is around them
_CHUNK = 4  # frames a network sees at once, to bound memory


# Two clips (T, 3, H, W) -> how far apart each pair of frames looks, (T,), such as `Lpips`
Distance = Callable[[Tensor, Tensor], Tensor]


def studio_luma(frames: Tensor) -> Tensor:
    """BT.601 luma of studio range over 255, (T, 3, H, W) -> (T, 1, H, W) in [16, 235] / 255.

    The range is that of the papers: it makes PSNR 1.3 dB higher than full-range luma would.
    """
    return (luma((frames.float() + 1) / 2) * 219 + 16) / 255


def psnr(sr_frames: Tensor, hr_frames: Tensor) -> float:
    """Peak signal-to-noise ratio of RGB, in dB, at most 100."""
    _require_match(sr_frames, hr_frames)
    return _decibels((sr_frames.float() - hr_frames.float()) / 2)


def psnr_y(sr_frames: Tensor, hr_frames: Tensor) -> float:
    """Peak signal-to-noise ratio of BT.601 luma, in dB, at most 100."""
    _require_match(sr_frames, hr_frames)
    return _decibels(studio_luma(sr_frames) - studio_luma(hr_frames))


def _decibels(difference: Tensor) -> float:
    error = difference.square().flatten(1).mean(dim=1)
    return float(-10 * error.clamp(min=1e-10).log10().mean())  # equal frames would be infinite


def ssim(sr_frames: Tensor, hr_frames: Tensor) -> float:
    """Structural similarity of BT.601 luma, at most 1 (Wang et al. 2004, 11x11 Gaussian, 1.5).

    Only windows that lie inside the frame count.
    """
    _require_match(sr_frames, hr_frames)
    x, y = studio_luma(sr_frames), studio_luma(hr_frames)
    if min(x.shape[-2:]) < 11:
        raise ValueError(f"expected frames of 11x11 or more, got {tuple(x.shape)}")
    mean_x, mean_y = _smooth(x), _smooth(y)
    variance_x = _smooth(x * x) - mean_x**2
    variance_y = _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    likeness /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float(likeness.mean())


def _smooth(x: Tensor) -> Tensor:
    """The 11x11 Gaussian window, without padding."""
    line = torch.exp(-((torch.arange(11, dtype=torch.float32) - 5) ** 2) / (2 * 1.5**2)).to(x)
    line = line / line.sum()
    return F.conv2d(F.conv2d(x, line.view(1, 1, 11, 1)), line.view(1, 1, 1, 11))


class Lpips:
    """Perceptual distance by a SqueezeNet, LPIPS v0.1 (arXiv 1801.03924); 0 for equal frames.

    Differences of unit-length features, weighted per channel, meaned over pixels, summed over
    seven layers. No weights come with this program.

    Args:
        path: safetensors with `features.*` of SqueezeNet 1.1 and `lin0` to `lin6`.

    Raises:
        WeightsError: if the file is missing or holds something else.
    """

    def __init__(self, path: Path, *, device: torch.device | str = "cpu") -> None:
        self.tensors = {name: t.to(device) for name, t in _read_tensors(path).items()}
        names = {f"lin{number}" for number in range(7)}
        names |= {f"features.0.{part}" for part in ("weight", "bias")}
        for fire in _FIRES:
            for conv in ("squeeze", "expand1x1", "expand3x3"):
                names |= {f"features.{fire}.{conv}.{part}" for part in ("weight", "bias")}
        if wrong := names ^ self.tensors.keys():
            raise WeightsError(
                f"`{path.name}` does not hold LPIPS with SqueezeNet",
                why=f"{counted(len(wrong), 'tensor name differs', 'tensor names differ')}, "
                f"the first is `{min(wrong)}`",
                hint="give the file of LPIPS v0.1, `squeeze`",
            )

    @torch.inference_mode()
    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance of each pair of frames, (T, 3, H, W) twice -> (T,); 32 pixels or more."""
        _require_match(first, second)
        device = self.tensors["lin0"].device
        parts = [
            self._distance(a.to(device).float(), b.to(device).float()).to(first.device)
            for a, b in zip(first.split(_CHUNK), second.split(_CHUNK), strict=True)
        ]
        return torch.cat(parts)

    def _distance(self, first: Tensor, second: Tensor) -> Tensor:
        total = first.new_zeros(len(first))
        pairs = zip(self._features(first), self._features(second), strict=True)
        for number, (a, b) in enumerate(pairs):
            a, b = (
                a / (a.norm(dim=1, keepdim=True) + 1e-10),
                b / (b.norm(dim=1, keepdim=True) + 1e-10),
            )
            weights = self.tensors[f"lin{number}"][:, None, None]
            total = total + ((a - b).square() * weights).sum(dim=1).mean(dim=(1, 2))
        return total

    def _features(self, frames: Tensor) -> list[Tensor]:
        shift, spread = (frames.new_tensor(v)[:, None, None] for v in (_SHIFT, _SPREAD))
        x = F.relu(self._conv((frames - shift) / spread, "features.0", stride=2))
        features = [x]
        for fire in _FIRES:
            if fire in _POOLED:
                x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
            x = F.relu(self._conv(x, f"features.{fire}.squeeze"))
            narrow = self._conv(x, f"features.{fire}.expand1x1")
            wide = self._conv(x, f"features.{fire}.expand3x3", padding=1)
            x = F.relu(torch.cat([narrow, wide], dim=1))
            if fire in _COMPARED:
                features.append(x)
        return features

    def _conv(self, x: Tensor, name: str, *, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)


def tlpips(sr_frames: Tensor, hr_frames: Tensor, lpips: Distance) -> float:
    """Change from frame to frame that the truth does not have (tLP of arXiv 1811.09393), x 100.

    100 mean_t |LPIPS(sr[t], sr[t+1]) - LPIPS(hr[t], hr[t+1])|, so a still clip of noise scores
    as badly as noise on a still clip.
    """
    _require_match(sr_frames, hr_frames)
    _require_pairs(sr_frames)
    change = lpips(sr_frames[:-1], sr_frames[1:]) - lpips(hr_frames[:-1], hr_frames[1:])
    return float(100 * change.abs().mean())


def drift(distances: Tensor) -> float:
    """How much worse a clip becomes: its last quarter's mean distance less its first quarter's.

    What the footage itself makes harder or easier counts too: compare with bicubic's.

    Args:
        distances: from the truth, by frame, (T,), T >= 2.
    """
    if len(distances) < 2:
        raise ValueError("expected two frames or more")
    quarter = max(1, len(distances) // 4)
    return float(distances[-quarter:].mean() - distances[:quarter].mean())


def warping_error(frames: Tensor, flow_forward: Tensor, visible_forward: Tensor) -> float:
    """Squared change along the motion (arXiv 1808.00449, section 4), x 1000.

    1000 sum_t V_F[t] (warp(x[t+1], F[t]) - x[t])^2 / sum_t V_F[t], x in [0, 1]. Blur lowers it
    too: compare with the truth's own value.

    Args:
        frames: (T, 3, H, W), T >= 2.
        flow_forward: (T-1, 2, H, W) of the truth.
        visible_forward: (T-1, 1, H, W).
    """
    _require_pairs(frames)
    x = (frames.float() + 1) / 2
    gap = (backward_warp(x[1:], flow_forward) - x[:-1]).square().mean(dim=1, keepdim=True)
    return float(1000 * (visible_forward * gap).sum() / visible_forward.sum().clamp(min=1))


def tof(sr_frames: Tensor, hr_frames: Tensor, flow: FlowEstimator) -> float:
    """Mean distance in pixels between the flow of the clip and that of the truth."""
    _require_match(sr_frames, hr_frames)
    _require_pairs(sr_frames)
    moved, _ = flow(sr_frames[None])
    truth, _ = flow(hr_frames[None])
    return float((moved - truth).norm(dim=2).mean())


def lattice(frames: Tensor, period: int) -> float:
    """How far a mesh of dots stands out of the spectrum of luma, in dB; footage has 4 to 5.

    What repeats every `period` pixels has lines in the spectrum. Each of those at which both axes
    repeat is the largest power of 3x3 frequencies, over the median of 21x21 around it; the figure
    is the mean of all lines. Networks that enlarge leave such meshes, which grow with no error of
    pixels to speak of.

    Args:
        frames: (T, 3, H, W), sides of `LEAST_SIDE` pixels or more.
        period: in pixels, 2 or more; a divisor of 16.
    """
    height, width = (side // 16 * 16 for side in frames.shape[-2:])
    if min(height, width) < LEAST_SIDE:
        raise ValueError(f"expected frames of {LEAST_SIDE} pixels or more")
    y = luma(frames.float())[:, 0, :height, :width]
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)
    power = torch.fft.fft2((y - y.mean(dim=(1, 2), keepdim=True)) * window).abs().square().mean(0)
    lines = []
    for row in range(1, period):
        for column in range(1, period):
            shifts = (10 - row * height // period, 10 - column * width // period)
            around = power.roll(shifts, dims=(0, 1))[:21, :21]
            peak = around[9:12, 9:12].max()
            lines.append(10 * (peak / around.median().clamp(min=1e-12)).clamp(min=1e-3).log10())
    return float(torch.stack(lines).mean())


def motion_of(frames: Tensor, flow: FlowEstimator) -> tuple[Tensor, Tensor]:
    """Forward flow and its visibility of one clip: (T-1, 2, H, W), (T-1, 1, H, W)."""
    forward, backward = flow(frames[None])
    visible, _ = visibility(forward, backward)
    return forward[0], visible[0]


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, in float32.

    Raises:
        WeightsError: the file is missing, or no such file.
    """
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"`{path.name}` cannot be read as safetensors", why=str(error), hint="check the path"
        ) from error


def _require_match(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.ndim != 4 or first.shape[1] != 3:
        raise ValueError(
            f"expected (T, 3, H, W) twice, got {tuple(first.shape)} and {tuple(second.shape)}"
        )


def _require_pairs(frames: Tensor) -> None:
    if len(frames) < 2:
        raise ValueError(f"expected two frames or more, got {len(frames)}")
