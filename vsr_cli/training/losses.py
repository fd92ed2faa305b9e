"""Training losses; frames are (B, T, 3, H, W) in [-1, 1] unless said otherwise."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.ops.color import luma
from vsr_cli.ops.warp import backward_warp


def charbonnier(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of sqrt(difference^2 + 1e-6): L1 that is smooth at zero."""
    return ((prediction - target).square() + 1e-6).sqrt().mean()


def gradient_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """L1 of horizontal and vertical differences, at full and half resolution."""
    error = (prediction - target).flatten(0, -4)
    half = F.avg_pool2d(error, 2)
    return sum(
        (e.diff(dim=-1).abs().mean() + e.diff(dim=-2).abs().mean() for e in (error, half)),
        start=error.new_zeros(()),
    )


def grid_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """L1 of patterns with a period of two pixels that keep their phase over eight.

    Sub-pixel shuffles and max-pooled perceptual features leave such patterns beside strong edges,
    where other terms hardly see them. The three details of a Haar transform of the error are
    averaged over 4x4 cells, which leaves those that agree: a full checkerboard of amplitude a in
    the error costs a, and texture, whose phase wanders, next to nothing.
    """
    cells = F.pixel_unshuffle((prediction - target).flatten(0, -4), 2)  # (N, 3 x 4, H/2, W/2)
    a, b, c, d = cells.unflatten(1, (-1, 4)).unbind(2)
    details = torch.stack([a - b + c - d, a + b - c - d, a - b - c + d]) / 4
    return 3 * F.avg_pool2d(details.flatten(0, 1), 4, stride=2).abs().mean()


def halo_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean distance by which values leave the range of the truth's 5x5 pixels around them.

    Outlines and ringing beside edges do; texture that is merely displaced does not.
    """
    seen, true = prediction.flatten(0, -4), target.flatten(0, -4)
    highest = F.max_pool2d(true, 5, stride=1, padding=2)
    lowest = -F.max_pool2d(-true, 5, stride=1, padding=2)
    return (F.relu(seen - highest) + F.relu(lowest - seen)).mean()


def focal_frequency_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Spectrum distance weighted by itself, so that hard frequencies count (arXiv 2012.12821)."""
    error = torch.fft.rfft2(prediction - target, norm="ortho").abs()
    weight = error.detach()
    weight = weight / weight.amax(dim=(-2, -1), keepdim=True).clamp_min(1e-8)
    return (weight * error.square()).mean()


def kl_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean KL divergence of N(mean, variance) from N(0, 1), per latent value."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def min_snr_weight(log_snr: Tensor, limit: float = 5.0) -> Tensor:
    """Weight of the v-prediction error at a log-SNR: min(SNR, limit) / (SNR + 1).

    arXiv 2303.09556 with the v-prediction form of its section 3.4.
    """
    snr = log_snr.exp()
    return snr.clamp_max(limit) / (snr + 1)


def difference_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean |(y[t+1] - y[t]) - (hr[t+1] - hr[t])| (arXiv 2312.00853, eq. 4, as a mean)."""
    return (prediction.diff(dim=1) - target.diff(dim=1)).abs().mean()


def sobel_weight(frames: Tensor, strength: float = 3.0) -> Tensor:
    """1 + strength x Sobel magnitude of luma: structure counts more (eq. 5).

    Shape: (N, 3, H, W) -> (N, 1, H, W). The magnitude is scaled to 1 for a full step edge.
    """
    light = luma(frames)
    kernel = light.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([kernel, kernel.T])[:, None]
    edges = F.conv2d(F.pad(light, (1, 1, 1, 1), mode="replicate"), kernels)
    return 1 + strength * edges.norm(dim=1, keepdim=True)


def structure_warp_loss(
    prediction: Tensor,
    target: Tensor,
    flow_forward: Tensor,
    flow_backward: Tensor,
    visible_forward: Tensor,
    visible_backward: Tensor,
) -> Tensor:
    """Structure-weighted warp error of neighbouring frames along the truth's flow (eq. 5).

    sum |M W[t+1] (warp(y[t], G[t]) - y[t+1])| and its forward twin, as means over pixels.

    Args:
        prediction: y, (B, T, 3, H, W).
        target: the truth, for the weight W = 1 + 3 Sobel.
        flow_forward: F, (B, T-1, 2, H, W), pixels of the frames' own grid.
        flow_backward: G, likewise.
        visible_forward: (B, T-1, 1, H, W), 1 where F can be trusted.
        visible_backward: likewise for G.
    """
    earlier, later = prediction[:, :-1].flatten(0, 1), prediction[:, 1:].flatten(0, 1)
    weight = sobel_weight(target.flatten(0, 1)).unflatten(0, target.shape[:2])
    backward = backward_warp(earlier, flow_backward.flatten(0, 1)) - later
    forward = backward_warp(later, flow_forward.flatten(0, 1)) - earlier
    backward = visible_backward.flatten(0, 1) * weight[:, 1:].flatten(0, 1) * backward
    forward = visible_forward.flatten(0, 1) * weight[:, :-1].flatten(0, 1) * forward
    return 0.5 * (backward.abs().mean() + forward.abs().mean())


class VggFeatures(nn.Module):
    """VGG-19 features for a perceptual loss; weights are the user's, never shipped.

    The distance is L1 of relu1_2, relu2_2 and relu3_4 (arXiv 2107.10833 uses these and two
    deeper ones). Input (N, 3, H, W) in [-1, 1] RGB; the network wants BGR, 0..255, mean removed.
    """

    names = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4")
    taken = ("conv1_2", "conv2_2", "conv3_4")
    weights = (0.1, 0.1, 1.0)

    def __init__(self, path: Path) -> None:
        super().__init__()
        tensors = load_file(path)
        for name in self.names:
            weight = tensors[f"{name}.weight"]
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            conv.load_state_dict({"weight": weight, "bias": tensors[f"{name}.bias"]})
            self.add_module(name, conv)
        self.register_buffer("mean", torch.tensor([103.939, 116.779, 123.68])[:, None, None])
        self.mean: Tensor
        self.requires_grad_(False)

    def forward(self, frames: Tensor) -> list[Tensor]:
        x = (frames.flip(1) + 1) * 127.5 - self.mean
        features = []
        for name in self.names:
            if name in ("conv2_1", "conv3_1"):
                x = F.max_pool2d(x, 2)
            x = F.relu(self.get_submodule(name)(x))
            if name in self.taken:
                features.append(x)
        return features

    def distance(self, prediction: Tensor, target: Tensor) -> Tensor:
        """How far features are apart: their size and their direction, over three layers.

        L1 divided by the truth's mean magnitude (weights 0.1, 0.1, 1), plus the squared distance
        of unit vectors over channels (arXiv 1801.03924, eq. 1, without learned weights).
        """
        with torch.no_grad():
            wanted = self(target)
        total = prediction.new_zeros(())
        for weight, a, b in zip(self.weights, self(prediction), wanted, strict=True):
            a, b = a.float(), b.float()
            total = total + weight * (a - b).abs().mean() / b.abs().mean().clamp_min(1e-3)
            total = total + (unit(a) - unit(b)).square().sum(dim=1).mean()
        return total


def unit(features: Tensor) -> Tensor:
    """Each pixel's vector over channels, at length 1; (N, C, H, W)."""
    return features / (features.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()
