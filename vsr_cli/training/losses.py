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


def lattice_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """L1 of what the error repeats every eight pixels, less its mean over each pixel's neighbours.

    Sides of frames are multiples of eight.

    Eight pixels of the target are one of the latents, and four are one of the grid that most of the
    networks work on. What they draw at the same place in each cell adds up to a mesh of dots, which
    an adversary takes for texture. A repeated checkerboard of amplitude a costs a. Texture, whose
    phase wanders, averages out over the cells, and the neighbours take out smooth errors.
    """
    cells = F.pixel_unshuffle((prediction - target).flatten(0, -4), 8)  # (N, 3 x 64, H/8, W/8)
    repeated = cells.mean(dim=(-2, -1)).unflatten(1, (3, 8, 8))
    neighbours = [repeated.roll(by, dims=dim) for dim in (-2, -1) for by in (-1, 1)]
    return (repeated - torch.stack(neighbours).mean(dim=0)).abs().mean() / 2


def spectrum_loss(prediction: Tensor, target: Tensor, *, side: int = 32) -> Tensor:
    """L1 of the amplitudes of luma's local spectra: how much of each frequency, not where.

    Dots at a regular distance are a peak in a spectrum whose truth has none there, on whatever
    grid they lie; texture that is soft lacks what the truth has. Where the detail lies does not
    count: an error of phase alone costs nothing. Windows of `side` pixels overlap by half, are
    tapered (Hann), and are without their mean. A grating of amplitude a that the truth lacks costs
    about a / 7: the taper spreads it over a few frequencies of the few that are counted, those
    of 2.2 to 8 pixels.
    """
    amplitudes = [_amplitudes(frames, side) for frames in (prediction, target)]
    return 10 * (amplitudes[0] - amplitudes[1]).abs().mean()


def _amplitudes(frames: Tensor, side: int) -> Tensor:
    """Of sines in overlapping windows of luma, (N, rows, columns, frequencies)."""
    light = luma(frames.flatten(0, -4).float())[:, 0]
    line = torch.hann_window(side, periodic=False, device=light.device)
    taper = line[:, None] * line
    windows = light.unfold(-2, side, side // 2).unfold(-2, side, side // 2)
    windows = taper * (windows - windows.mean(dim=(-2, -1), keepdim=True))
    vertical = torch.fft.fftfreq(side, device=light.device)
    horizontal = torch.fft.rfftfreq(side, device=light.device)
    frequency = (vertical[:, None].square() + horizontal.square()).sqrt()
    counted = (frequency > 1 / 8) & (frequency < 1 / 2.2)
    counted[vertical < 0, 0] = False  # of real numbers: the same as of the opposite frequency
    spectrum = torch.fft.rfft2(windows)[..., counted]
    square = spectrum.real.square() + spectrum.imag.square()
    return (square + 1e-6).sqrt() * (2 / taper.sum())


def halo_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean distance by which luma leaves the range of the truth's 5x5 pixels around it.

    Outlines and ringing beside edges do; texture that is merely displaced does not.
    """
    seen, true = luma(prediction.flatten(0, -4)), luma(target.flatten(0, -4))
    highest, lowest = _highest(true), -_highest(-true)
    return (F.relu(seen - highest) + F.relu(lowest - seen)).mean()


def _highest(x: Tensor) -> Tensor:
    """The highest of 5x5 pixels around each: of rows, then of columns, which is cheaper."""
    rows = F.max_pool2d(x, (1, 5), stride=1, padding=(0, 2))
    return F.max_pool2d(rows, (5, 1), stride=1, padding=(2, 0))


def box_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """L1 of the means of 4x4 pixels: colour and brightness, not where detail lies."""
    return F.avg_pool2d((prediction - target).flatten(0, -4), 4).abs().mean()


def chroma_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """L1 of the differences of colour from luma: R - Y, G - Y and B - Y.

    What a picture has of fine detail is in its luma (video stores a quarter of the chroma). Specks
    of colour are seldom right, and an adversary alone lets them pass.
    """
    error = (prediction - target).flatten(0, -4)
    return (error - luma(error)).abs().mean()


def artifact_loss(prediction: Tensor, target: Tensor, averaged: Tensor) -> Tensor:
    """L1 weighted by how much a pixel looks like an artefact (LDL, arXiv 2203.09195, eq. 3 to 7).

    Where the error varies strongly within 7x7 pixels detail was invented in the wrong place. Only
    pixels count at which the averaged model is nearer to the truth: there training went astray.

    Args:
        prediction: (B, T, 3, H, W).
        target: the truth.
        averaged: what the averaged weights make of the same input, without a graph.
    """
    with torch.no_grad():
        error = (target - prediction).flatten(0, -4).abs().sum(1, keepdim=True) / 2
        known = (target - averaged).flatten(0, -4).abs().sum(1, keepdim=True) / 2
        padded = F.pad(error, (3, 3, 3, 3), mode="reflect")
        mean = F.avg_pool2d(padded, 7, stride=1)
        variance = F.avg_pool2d(padded.square(), 7, stride=1) - mean.square()
        overall = error.var(dim=(-3, -2, -1), keepdim=True).pow(0.2)
        weight = overall * variance.clamp(min=0) * (error >= known)
    return (weight * (prediction - target).flatten(0, -4)).abs().mean() / 2


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
    return 1 + strength * torch.hypot(edges[:, :1], edges[:, 1:])


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
        self.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, frames: Tensor) -> list[Tensor]:
        x = ((frames.flip(1) + 1) * 127.5 - self.mean).contiguous(memory_format=torch.channels_last)
        features = []
        for name in self.names:
            if name in ("conv2_1", "conv3_1"):
                # Means instead of maxima: no pattern of two pixels in the gradients (Gatys et al.,
                # arXiv 1508.06576), and a seventh of the time on a CPU.
                x = F.avg_pool2d(x, 2)
            x = F.relu(self.get_submodule(name)(x), inplace=True)
            if name in self.taken:
                features.append(x)
        return features

    def distance(self, prediction: Tensor, target: Tensor, *, is_deep: bool = False) -> Tensor:
        """How far features are apart: their size and their direction, over three layers.

        L1 divided by the truth's mean magnitude (weights 0.1, 0.1, 1), plus the squared distance
        of unit vectors over channels (arXiv 1801.03924, eq. 1, without learned weights). With
        `is_deep` the first layer does not count: the others know what is there rather than where.
        """
        with torch.no_grad():
            wanted = self(target)
        pairs = zip(self.weights, self(prediction), wanted, strict=True)
        terms = [FeatureDistance.apply(a, b, weight) for weight, a, b in pairs]
        return torch.stack(terms[1:] if is_deep else terms).sum()


class FeatureDistance(torch.autograd.Function):
    """weight |a - b| / mean |b| + |unit(a) - unit(b)|^2, each a mean over pixels.

    Value and gradient in one pass: left to autograd, the tensors in between cost half as much time
    as VGG itself.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, a: Tensor, b: Tensor, weight: float
    ) -> Tensor:
        dtype = a.dtype
        a, b = (x.permute(0, 2, 3, 1).float() for x in (a, b))  # (N, H, W, C), contiguous
        difference = a - b
        size = b.abs().mean().clamp_min(1e-3)
        value = weight * difference.abs().mean() / size
        # |u - v|^2 = 2 - 2 cos(a, b); d cos / da = (b / |b| - cos a / |a|) / |a|
        square = a.square().sum(-1, keepdim=True) + 1e-6
        inverse = (square * (b.square().sum(-1, keepdim=True) + 1e-6)).rsqrt()
        cosine = (a * b).sum(-1, keepdim=True) * inverse
        value = value + (2 - 2 * cosine).mean()
        count = cosine.numel()
        gradient = difference.sign_().mul_(weight / (size * difference.numel()))
        gradient.addcmul_(b, inverse, value=-2 / count)
        gradient.addcmul_(a, cosine / square, value=2 / count)
        ctx.save_for_backward(gradient.to(dtype).permute(0, 3, 1, 2))
        return value

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, above: Tensor
    ) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * above.to(gradient.dtype), None, None
