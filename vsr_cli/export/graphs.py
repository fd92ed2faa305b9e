"""The shipped family as graphs: flat tensors in and out, each with a name and a shape."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.diffusion.motion import TRUSTED_SHARE, Motion, guide_bounded
from vsr_cli.diffusion.sampler import guidance_rounds
from vsr_cli.export.shapes import Port, denoiser_levels
from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.models.small.model import (
    BODY_STRIDE,
    Condition,
    SmallModel,
    enlarge,
    is_fine,
    reduce_to_body,
)
from vsr_cli.ops.color import BLUR_RADIUS, blur_kernel

_LEVELS = tuple(f"level{n}" for n in range(3))


@dataclass(frozen=True)
class Graph:
    """One graph: what it computes, and its tensors in order.

    name: of its file, without the suffix.
    module: takes `inputs` and returns `outputs`, all float32.
    scale: of the videos that it is for; None: it serves all.
    """

    name: str
    module: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    scale: int | None = None


class ConditionModule(nn.Module):
    """Source (T, 3, h, w) -> the same on the body's grid, features, and the condition's levels."""

    def __init__(self, model: SmallModel, scale: int) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        frames = source[None]
        condition = self.model.condition(frames, self.scale)
        body = reduce_to_body(frames, self.scale)[0]
        return body, condition.lr_features[0].float(), *(x.float() for x in condition.levels)


class DenoiserModule(nn.Module):
    """Noisy latents, log-SNR, levels and, unless a shot starts, the mixers' past -> v, new past."""

    def __init__(self, model: SmallModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        noisy_latents: Tensor,
        log_snr: Tensor,
        level0: Tensor,
        level1: Tensor,
        level2: Tensor,
        *past: Tensor,
    ) -> tuple[Tensor, ...]:
        levels = [level.to(self.model.dtype) for level in (level0, level1, level2)]
        condition = Condition(noisy_latents, levels)  # the denoiser sees no features
        v, after = self.model.denoise(noisy_latents, log_snr, condition, [*past] or None)
        return v.float(), *(x.float() for x in after)


class StepModule(nn.Module):
    """One step of the chain: predicted clean latents, pulled along the flow, and the next ones.

    x0 = c0 x - c1 v; as many pulls of `guide_bounded` as there are `previous`; c2 x0 + c3 x + c4
    noise. Pair t of the motion leads from the frame before frame t; where a shot starts that is
    no frame, and zeros as visibility leave frame 0 as it is.
    """

    def forward(
        self,
        noisy_latents: Tensor,
        v: Tensor,
        previous: Tensor,
        flow_forward: Tensor,
        flow_backward: Tensor,
        visible_forward: Tensor,
        visible_backward: Tensor,
        noise: Tensor,
        coefficients: Tensor,
        strength: Tensor,
    ) -> tuple[Tensor, Tensor]:
        motion = Motion(flow_forward, flow_backward, visible_forward, visible_backward)
        x0 = coefficients[0] * noisy_latents - coefficients[1] * v
        kept = []
        for before in previous.unbind(0):
            kept.append(x0[:, -1:])
            x0 = guide_bounded(torch.cat([before, x0], dim=1), motion, strength=strength)[:, 1:]
        moved = coefficients[2] * x0 + coefficients[3] * noisy_latents
        return moved + coefficients[4] * noise, torch.stack(kept)


class MotionModule(nn.Module):
    """Flow on the body's grid -> where it is visible there, and all four maps for the latents."""

    def forward(self, flow_forward: Tensor, flow_backward: Tensor) -> tuple[Tensor, ...]:
        motion = Motion.from_flow(flow_forward, flow_backward)
        # Half as many pixels, which are twice as large.
        flows = (halve(flow) / 2 for flow in (flow_forward, flow_backward))
        shares = (halve(x) for x in (motion.visible_forward, motion.visible_backward))
        return motion.visible_backward, *flows, *((x >= TRUSTED_SHARE).float() for x in shares)


class DecoderModule(nn.Module):
    """Latents and features of a frame -> what is to be added to the enlarged source, and memory.

    Further inputs: the frame itself, if the model filters it at this scale; and, if it is not the
    first of a shot, the memory, flow and visibility.
    """

    def __init__(self, model: SmallModel, scale: int) -> None:
        super().__init__()
        self.model, self.is_filtered = model, is_fine(scale)

    def forward(
        self, latents: Tensor, features: Tensor, fidelity: Tensor, *others: Tensor
    ) -> tuple[Tensor, Tensor]:
        dtype = self.model.dtype
        source, memory, warp = None, None, None
        if self.is_filtered:
            size = (BODY_STRIDE * features.shape[-2], BODY_STRIDE * features.shape[-1])
            source, others = enlarge(others[0], size), others[1:]
        if others:
            before, flow, visible = others
            memory, warp = before.to(dtype), MemoryWarp(flow, visible)
        residual, after = self.model.decode_residual(
            latents, features.to(dtype), source, fidelity.to(dtype), memory, warp
        )
        return residual.float(), after.float()


class FinishModule(nn.Module):
    """What was decoded, the source and its body -> the frame, with the colours of the source.

    The equation is that of `match_wavelet`, which computes it in bands of rows.
    """

    def forward(self, residual: Tensor, source: Tensor, body: Tensor) -> Tensor:
        size = (residual.shape[-2], residual.shape[-1])
        frame = (enlarge(source, size) + residual).clamp(-1, 1)
        gap = _blur(body - F.avg_pool2d(frame, BODY_STRIDE))
        scale = float(BODY_STRIDE)
        low = F.interpolate(gap, scale_factor=scale, mode="bilinear", align_corners=False)
        return (frame + low).clamp(-1, 1)


def halve(x: Tensor) -> Tensor:
    """(B, P, C, H, W), sides even -> (B, P, C, H/2, W/2), anti-aliased and linear.

    What resizing with a triangle as wide as two new pixels comes to: taps of 1 3 3 1, and at the
    border of those that there are. Written out, as not every runtime resizes so.
    """
    planes = x.flatten(0, 2)[:, None]  # (N, 1, H, W)
    taps = torch.tensor([0.125, 0.375, 0.375, 0.125], device=x.device)
    kernel = torch.outer(taps, taps)[None, None]
    reached = F.conv2d(torch.ones_like(planes[:1]), kernel, stride=2, padding=1)
    return (F.conv2d(planes, kernel, stride=2, padding=1) / reached).reshape(
        *x.shape[:3], x.shape[3] // 2, x.shape[4] // 2
    )


def _blur(x: Tensor) -> Tensor:
    """The Gaussian of `match_wavelet` over (N, 3, H, W), the border repeated."""
    kernel = blur_kernel(x.device)
    channels = x.shape[1]
    padded = F.pad(x, (BLUR_RADIUS,) * 4, mode="replicate")
    down = kernel[None, None, :, None].expand(channels, 1, -1, 1)
    across = kernel[None, None, None, :].expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(padded, down, groups=channels), across, groups=channels)


def make_graphs(model: SmallModel, scales: Sequence[int], steps: int) -> list[Graph]:
    """All graphs of a model, in the order in which they are called.

    Args:
        model: in the dtype that the graphs shall compute in, on the CPU.
        scales: which of its enlargements.
        steps: of denoising, which decides how often a step pulls.
    """
    return [
        *(_condition(model, scale) for scale in scales),
        _motion(),
        _denoiser(model, has_past=False),
        _denoiser(model, has_past=True),
        _step(model, guidance_rounds(steps)),
        *(_decoder(model, scale, has_memory=False) for scale in scales),
        *(_decoder(model, scale, has_memory=True) for scale in scales),
        *(_finish(scale) for scale in scales),
    ]


def _condition(model: SmallModel, scale: int) -> Graph:
    source = Port("source", ("frames", 3, "source_h", "source_w"), "frames, RGB in [-1, 1]")
    body = Port("body", ("frames", 3, "body_h", "body_w"), "the same, averaged onto this grid")
    outputs = (body, _features(model, "frames"), *_levels(model))
    return Graph(f"condition_x{scale}", ConditionModule(model, scale), (source,), outputs, scale)


def _motion() -> Graph:
    return Graph(
        "motion",
        MotionModule(),
        (
            Port("flow_forward", (1, "pairs", 2, "body_h", "body_w"), "to the later frame, pixels"),
            Port("flow_backward", (1, "pairs", 2, "body_h", "body_w"), "to the earlier frame"),
        ),
        (
            Port("body_visible_backward", (1, "pairs", 1, "body_h", "body_w"), "0 or 1"),
            Port("latent_flow_forward", (1, "pairs", 2, "latent_h", "latent_w"), "pixels of these"),
            Port("latent_flow_backward", (1, "pairs", 2, "latent_h", "latent_w"), "likewise"),
            Port("latent_visible_forward", (1, "pairs", 1, "latent_h", "latent_w"), "0 or 1"),
            Port("latent_visible_backward", (1, "pairs", 1, "latent_h", "latent_w"), "0 or 1"),
        ),
    )


def _denoiser(model: SmallModel, *, has_past: bool) -> Graph:
    log_snr = Port("log_snr", (1,), "of the step")
    inputs = (_latents(model, "noisy_latents"), log_snr, *_levels(model))
    past, after = _past(model, "past"), _past(model, "new_past")
    return Graph(
        "denoiser" if has_past else "denoiser_first",
        DenoiserModule(model),
        (*inputs, *past) if has_past else inputs,
        (_latents(model, "v"), *after),
    )


def _step(model: SmallModel, num_pulls: int) -> Graph:
    last = (num_pulls, 1, 1, model.latent_channels, "latent_h", "latent_w")
    flow, visible = ((1, "frames", n, "latent_h", "latent_w") for n in (2, 1))
    return Graph(
        "step",
        StepModule(),
        (
            _latents(model, "noisy_latents"),
            _latents(model, "v"),
            Port("previous", last, "`kept` of the clip before; zeros at the start of a shot"),
            Port("flow_forward", flow, "pair t leads from frame t-1 to frame t"),
            Port("flow_backward", flow, "and back"),
            Port("visible_forward", visible, "0 or 1; pair 0 has zeros at the start of a shot"),
            Port("visible_backward", visible, "likewise"),
            _latents(model, "noise"),
            Port("coefficients", (5,), "of the step"),
            Port("strength", (), "of the pull; 0: none"),
        ),
        (
            _latents(model, "next_latents"),
            Port("kept", last, "the last frame before each pull, for the clip after this one"),
        ),
    )


def _decoder(model: SmallModel, scale: int, *, has_memory: bool) -> Graph:
    body, latent = ("body_h", "body_w"), ("latent_h", "latent_w")
    memory = (1, model.config.lr_channels, *body)
    inputs: tuple[Port, ...] = (
        Port("latents", (1, model.latent_channels, *latent), "of one frame"),
        _features(model, 1),
        Port("fidelity", (), "share of the source's features, 0 to 1"),
    )
    if is_fine(scale):
        inputs = (*inputs, _frame())
    before = (
        Port("memory", memory, "of the frame before"),
        Port("flow", (1, 2, *body), "back to it, pixels"),
        Port("visible", (1, 1, *body), "0 or 1"),
    )
    return Graph(
        f"decoder_x{scale}" if has_memory else f"decoder_first_x{scale}",
        DecoderModule(model, scale),
        (*inputs, *before) if has_memory else inputs,
        (
            Port("residual", (1, 3, "target_h", "target_w"), "to the enlarged source"),
            Port("new_memory", memory, "for the frame after"),
        ),
        scale,
    )


def _finish(scale: int) -> Graph:
    return Graph(
        f"finish_x{scale}",
        FinishModule(),
        (
            Port("residual", (1, 3, "target_h", "target_w"), "of the decoder"),
            _frame(),
            Port("body", (1, 3, "body_h", "body_w"), "of the frame"),
        ),
        (Port("frame", (1, 3, "target_h", "target_w"), "RGB in [-1, 1]"),),
        scale,
    )


def _frame() -> Port:
    return Port("source", (1, 3, "source_h", "source_w"), "the frame, RGB in [-1, 1]")


def _latents(model: SmallModel, name: str) -> Port:
    shape = (1, "frames", model.latent_channels, "latent_h", "latent_w")
    return Port(name, shape, "latents of all frames")


def _features(model: SmallModel, frames: int | str) -> Port:
    shape = (frames, model.config.lr_channels, "body_h", "body_w")
    return Port("features", shape, "of the source")


def _levels(model: SmallModel) -> tuple[Port, ...]:
    sides = (("latent_h", "latent_w"), ("level1_h", "level1_w"), ("level2_h", "level2_w"))
    channels = model.config.condition_channels
    return tuple(
        Port(name, ("frames", channels, *side), "condition of the denoiser")
        for name, side in zip(_LEVELS, sides, strict=True)
    )


def _past(model: SmallModel, name: str) -> tuple[Port, ...]:
    sides = (("latent_h", "latent_w"), ("level1_h", "level1_w"), ("level2_h", "level2_w"))
    return tuple(
        Port(f"{name}{index}", (1, reach, channels, *sides[level]), "of a mixer along time")
        for index, (level, channels, reach) in enumerate(denoiser_levels(model))
    )
