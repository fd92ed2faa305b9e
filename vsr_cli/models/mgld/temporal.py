"""Layers along time that the published family adds to image networks."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TemporalConv(nn.Module):
    """Convolution along time, blended with its input: alpha conv(x) + (1 - alpha) x.

    Frames beyond the clip are zero. Starts as the identity; a trained alpha is used as it is,
    without a sigmoid.

    Shape: (B, T, C, h, w) -> (B, T, C, h, w), for any T.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1))
        self.conv = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack(self.mix(list(x.unbind(1))), dim=1)

    def mix(self, frames: list[Tensor]) -> list[Tensor]:
        """The same for frames (B, C, h, w) in a list, which is overwritten and returned.

        Only three frames exist twice at a time, which counts where frames are large.
        """
        # Over single frames the convolution is three 1x1 convolutions, one for each tap.
        earlier_tap, own_tap, later_tap = self.conv.weight[..., None].unbind(2)  # (C, C, 1) each
        earlier: Tensor | None = None
        for index, frame in enumerate(frames):
            mixed = F.conv2d(frame, own_tap[..., None], self.conv.bias)
            if earlier is not None:
                mixed += F.conv2d(earlier, earlier_tap[..., None])
            if index + 1 < len(frames):
                mixed += F.conv2d(frames[index + 1], later_tap[..., None])
            frames[index] = torch.lerp(frame, mixed, self.alpha)
            earlier = frame
        return frames


class TemporalAttention(nn.Module):
    """Attention of every pixel over its frames, blended: alpha attend(norm(x)) + (1 - alpha) x.

    Frames have no positions and nothing is masked, so any number of them will do.

    Shape: (B, T, C, h, w) -> (B, T, C, h, w).
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.alpha = nn.Parameter(torch.zeros(1))
        self.norm = nn.LayerNorm(channels)
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        b, _, _, h, w = x.shape
        columns = x.permute(0, 3, 4, 1, 2).flatten(0, 2)  # (B*h*w, T, C)
        normed = self.norm(columns)
        q, k, v = (
            project(normed).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )  # (B*h*w, heads, T, C / heads)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        mixed = torch.lerp(columns, self.to_out(attended), self.alpha)
        return mixed.unflatten(0, (b, h, w)).permute(0, 3, 4, 1, 2)


def for_each(frames: list[Tensor], work: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Replace every frame by what `work` makes of it, one at a time: old ones are let go."""
    for index in range(len(frames)):
        frames[index] = work(frames[index])
    return frames


def layers_of(block: nn.Module, kind: str) -> list[nn.Module]:
    """The layers of one kind in a block of diffusers; none where it has none."""
    return list(getattr(block, kind) or ())
