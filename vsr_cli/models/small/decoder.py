"""The sequence decoder: latents and LR features -> frames, remembering along the flow."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.models.small.blocks import FeatureWrapping, ResBlocks, shuffle_init, zero_init
from vsr_cli.models.small.filters import FilterBank
from vsr_cli.models.small.fused import (
    cat_channels,
    conv_activate,
    conv_add,
    conv_shuffle,
    convolve,
    runs_on_cpu,
    unshuffle_conv,
)
from vsr_cli.ops.warp import backward_warp

_BAND_PIXELS, _BAND_REACH = 2**16, 5  # of the body's grid; rows
SOFTNESS = 0.4  # how much of the memory is blurred from frame to frame


@dataclass(frozen=True)
class MemoryWarp:
    """What the decoder may remember for one frame: the way back to the frame before it.

    flow: (B, 2, H, W), pixels of the body's grid, at the current frame (`flow_backward`).
    visible: (B, 1, H, W), 1 where the flow can be trusted.
    """

    flow: Tensor
    visible: Tensor


class Memory(nn.Module):
    """Adds the previous frame's features, warped onto the current frame by the flow.

    Published ablations find that memory without the warp gains nothing. Where the flow
    cannot be trusted the memory is blank. Starts as the identity.

    The memory of a memory is softened each time. Where a flow ends between pixels, looking it up
    does that anyway; where nothing moves, or by whole pixels, nothing else would keep patterns
    as fine as the grid from building up over many frames.

    Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels + 1, channels, 3, padding=1)
        self.out = zero_init(nn.Conv2d(channels, channels, 1))

    def forward(self, h: Tensor, memory_features: Tensor, warp: MemoryWarp) -> Tensor:
        visible = warp.visible.to(h.dtype)
        warped = backward_warp(soften(memory_features), warp.flow).to(h.dtype) * visible
        mixed = conv_activate(self.mix, cat_channels(h, warped, visible))
        return conv_add(self.out, mixed, h)


def soften(x: Tensor) -> Tensor:
    """Partly blurred with [1 2 1] / 4 both ways: patterns of two pixels fall to 1 - SOFTNESS.

    Shape: (B, C, H, W) -> (B, C, H, W).
    """
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    blurred = F.avg_pool2d(F.avg_pool2d(padded, 2, stride=1), 2, stride=1)
    return torch.lerp(x, blurred.to(x.dtype), SOFTNESS)  # autocast pools in float32


class SequenceDecoder(nn.Module):
    """One frame after the other: latents (grid H/2), features (grid H) -> residual (grid 4H).

    Feature wrapping at three scales; a memory on the body's grid, where the flow was estimated.
    Where the source is finer than that grid, its own pixels are filtered as features decide.

    Shape: latents (B, L, H/2, W/2), features (B, C, H, W), the enlarged source (B, 3, 4H, 4W) or
    None -> residual to the enlarged source (B, 3, 4H, 4W), and the features to remember
    (B, C, H, W).
    """

    def __init__(
        self,
        channels: int,
        latent_channels: int,
        *,
        num_blocks: int,
        num_coarse_blocks: int,
        output_channels: int,
    ) -> None:
        """Build the decoder.

        Args:
            channels: C.
            latent_channels: L.
            num_blocks: residual blocks on the body's grid.
            num_coarse_blocks: residual blocks on the grid of the latents.
            output_channels: features at full size, mixed by a last convolution there.
        """
        super().__init__()
        wide, narrow = 2 * channels, channels // 2
        self.stem = nn.Conv2d(latent_channels, wide, 3, padding=1)
        self.lr_coarse = nn.Conv2d(4 * channels, wide, 1)
        self.wrap_coarse = FeatureWrapping(wide)
        self.coarse = ResBlocks(wide, num_coarse_blocks)
        self.up_middle = nn.Conv2d(wide, 4 * channels, 3, padding=1)
        self.wrap_middle = FeatureWrapping(channels)
        self.memory = Memory(channels)
        self.middle = ResBlocks(channels, num_blocks)
        self.up_fine = nn.Conv2d(channels, 4 * narrow, 3, padding=1)
        self.lr_fine = nn.Conv2d(channels, 4 * narrow, 1)
        self.wrap_fine = FeatureWrapping(narrow)
        self.fine = ResBlocks(narrow, 2)
        self.up_output = shuffle_init(nn.Conv2d(narrow, 4 * output_channels, 3, padding=1))
        self.output = zero_init(nn.Conv2d(output_channels, 3, 3, padding=1))
        self.filters = FilterBank(output_channels)

    def forward(
        self,
        latents: Tensor,
        lr_features: Tensor,
        source: Tensor | None,
        fidelity: float | Tensor,
        memory_features: Tensor | None,
        warp: MemoryWarp | None,
    ) -> tuple[Tensor, Tensor]:
        lr_coarse = unshuffle_conv(self.lr_coarse, lr_features)
        h = self.coarse(self.wrap_coarse(self.stem(latents), lr_coarse, fidelity))
        h = conv_shuffle(self.up_middle, h)
        h = self.wrap_middle(h, lr_features, fidelity)
        if memory_features is not None and warp is not None:
            h = self.memory(h, memory_features, warp)
        middle = self.middle(h)
        return self._in_bands(middle, lr_features, source, fidelity), middle

    def _in_bands(
        self,
        middle: Tensor,
        lr_features: Tensor,
        source: Tensor | None,
        fidelity: float | Tensor,
    ) -> Tensor:
        """As `_enlarge`, a band of rows after the other where the frame is large.

        On finer grids than the body's, features would take more memory than all else. A pixel of
        the result depends on `_BAND_REACH` rows of the body's grid up and down, so that bands which
        overlap by as much give what the whole gives.
        """
        height, width = middle.shape[-2:]
        size = max(_BAND_PIXELS // width, 10 * _BAND_REACH)
        if size >= height or not runs_on_cpu(middle):
            return self._enlarge(middle, lr_features, source, fidelity)
        bands = []
        for start in range(0, height, size):
            top, stop = max(start - _BAND_REACH, 0), min(start + size, height)
            rows = slice(top, stop + _BAND_REACH)
            seen = None
            if source is not None:
                seen = source[..., 4 * top : 4 * (stop + _BAND_REACH), :]
            band = self._enlarge(middle[..., rows, :], lr_features[..., rows, :], seen, fidelity)
            bands.append(band[..., 4 * (start - top) : 4 * (stop - top), :])
        return torch.cat(bands, dim=-2)

    def _enlarge(
        self,
        middle: Tensor,
        lr_features: Tensor,
        source: Tensor | None,
        fidelity: float | Tensor,
    ) -> Tensor:
        """Features (B, C, H, W), the decoder's own and the source's -> residual (B, 3, 4H, 4W)."""
        h = conv_shuffle(self.up_fine, middle)
        lr_fine = conv_shuffle(self.lr_fine, lr_features)
        h = self.fine(self.wrap_fine(h, lr_fine, fidelity))
        h = conv_shuffle(self.up_output, h, is_activated=True)
        residual = convolve(self.output, h)
        if source is None:
            return residual
        return self.filters(source, h, residual)
