"""The causal video autoencoder of SeedVR2, which works through a video piece by piece.

No frame depends on a later one, and norms look at single frames, so that pieces of a video give
exactly what the whole would. Modules are called as in the published files.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.models.seedvr2.config import FRAME_STRIDE, LATENT_CHANNELS, SeedVr2Config

_EPS = 1e-6  # of every norm
_LEAST_LOG_VARIANCE, _MOST_LOG_VARIANCE = -30.0, 20.0


class Stream:
    """What layers remember of the pieces of one video that they have seen; empty at its start.

    inputs: the last frames (1, C, H, W) that went into a convolution.
    """

    def __init__(self) -> None:
        """Nothing is remembered yet."""
        self.inputs: dict[nn.Module, list[Tensor]] = {}


class CausalConv(nn.Conv3d):
    """A convolution that sees no later frame; before the first one it sees copies of that.

    It is computed as a sum of convolutions of single frames, one for each frame of its kernel:
    those before need not be copied beside the next one, and frames are what is large.

    Shape: (T, C, H, W), the next frames of a stream -> (T', C', H', W').
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int] = (3, 3),
        *,
        stride: tuple[int, int] = (1, 1),
    ) -> None:
        """Kernel and stride are given in time and in space."""
        super().__init__(
            in_channels,
            out_channels,
            (kernel[0], kernel[1], kernel[1]),
            stride=(stride[0], stride[1], stride[1]),
            padding=(0, kernel[1] // 2, kernel[1] // 2) if stride[1] == 1 else 0,
        )

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # type: ignore[override]
        length, step = self.kernel_size[0], self.stride[0]
        before = stream.inputs.get(self, [x[:1]] * (length - 1))
        num_outputs = (len(before) + len(x) - length) // step + 1
        if num_outputs == 1:
            frames = [*before, *x.split(1)]
            seen = frames[:length]
        else:
            joined = torch.cat((*before, x))
            seen = [joined[k : k + (num_outputs - 1) * step + 1 : step] for k in range(length)]
            frames = [frame.clone() for frame in joined[len(joined) - length + step :].split(1)]
        if length > 1:
            stream.inputs[self] = frames[len(frames) - length + step :]
        stride, padding = self.stride[1:], self.padding[1:]
        first, *others = self.weight.unbind(2)
        out = F.conv2d(seen[0], first, self.bias, stride, padding)
        for one, weight in zip(seen[1:], others, strict=True):
            out.add_(F.conv2d(one, weight, None, stride, padding))
        return out


class ResBlock(nn.Module):
    """Two convolutions around which the input is added.  Shape: (T, C, H, W) -> (T, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, eps=_EPS)
        self.conv1 = CausalConv(in_channels, out_channels)
        self.norm2 = nn.GroupNorm(groups, out_channels, eps=_EPS)
        self.conv2 = CausalConv(out_channels, out_channels)
        if in_channels != out_channels:
            self.conv_shortcut = CausalConv(in_channels, out_channels, (1, 1))

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        y = F.silu(self.norm1(x), inplace=True)
        y = self.conv1(y, stream)
        y = F.silu(self.norm2(y), inplace=True)
        y = self.conv2(y, stream)
        return y.add_(self.conv_shortcut(x, stream) if hasattr(self, "conv_shortcut") else x)


class FrameAttention(nn.Module):
    """Attention within each frame, with one head.  Shape: (T, C, h, w) -> (T, C, h, w)."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=_EPS)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        y = self.group_norm(x).flatten(2).transpose(1, 2)[:, None]  # (T, 1, h * w, C)
        y = F.scaled_dot_product_attention(self.to_q(y), self.to_k(y), self.to_v(y))
        return x + self.to_out[0](y[:, 0]).transpose(1, 2).unflatten(2, x.shape[2:])


class MiddleBlock(nn.Module):
    """Two residual blocks around an attention.  Shape: (T, C, h, w) -> (T, C, h, w)."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([FrameAttention(channels, groups)])
        self.resnets = nn.ModuleList(ResBlock(channels, channels, groups) for _ in range(2))

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        x = self.attentions[0](self.resnets[0](x, stream))
        return self.resnets[1](x, stream)


class Downsampler(nn.Module):
    """Halves frames and, if asked to, their number.  Shape: (T, C, H, W) -> (T', C, H/2, W/2)."""

    def __init__(self, channels: int, *, halves_time: bool) -> None:
        super().__init__()
        time = (3, 2) if halves_time else (1, 1)
        self.conv = CausalConv(channels, channels, (time[0], 3), stride=(time[1], 2))

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)), stream)


class Upsampler(nn.Module):
    """Doubles frames and, if asked to, their number.

    Shape: (T, C, h, w) -> (T', C, 2h, 2w). The first frame of a stream stays a single one.
    """

    def __init__(self, channels: int, *, doubles_time: bool) -> None:
        super().__init__()
        self.frames = 2 if doubles_time else 1
        self.upscale_conv = CausalConv(channels, 4 * self.frames * channels, (1, 1))
        self.conv = CausalConv(channels, channels)

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        is_first = self.conv not in stream.inputs
        t, _, h, w = x.shape
        x = self.upscale_conv(x, stream).reshape(t, 2, 2, self.frames, -1, h, w)
        x = x.permute(0, 3, 4, 5, 1, 6, 2)  # (T, frames, C, h, 2, w, 2)
        x = x.reshape(t * self.frames, -1, 2 * h, 2 * w)
        if is_first and self.frames == 2:
            x = torch.cat((x[:1], x[2:]))
        return self.conv(x, stream)


class Level(nn.Module):
    """Residual blocks of one size, and the way to the next size."""

    def __init__(self, blocks: list[ResBlock], **sampler: nn.Module) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(blocks)
        for name, module in sampler.items():  # `downsamplers` or `upsamplers`
            self.add_module(name, nn.ModuleList([module]))

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        for part in self.children():
            assert isinstance(part, nn.ModuleList)
            for module in part:
                x = module(x, stream)
        return x


class Encoder(nn.Module):
    """Frames -> mean and log-variance of latents, one latent frame for the first and then for four.

    Shape: (T, 3, H, W) in [-1, 1], H and W multiples of 8, at a stream's start 4n+1 frames and
    then 4n -> (T', 32, H/8, W/8).
    """

    def __init__(self, config: SeedVr2Config) -> None:
        super().__init__()
        widths, groups = config.autoencoder_channels, config.norm_groups
        self.conv_in = CausalConv(3, widths[0])
        self.down_blocks = nn.ModuleList()
        for index, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False)):
            blocks = [ResBlock(before, width, groups), ResBlock(width, width, groups)]
            if index == len(widths) - 1:
                self.down_blocks.append(Level(blocks))
                continue
            down = Downsampler(width, halves_time=index > 0)
            self.down_blocks.append(Level(blocks, downsamplers=down))
        self.mid_block = MiddleBlock(widths[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=_EPS)
        self.conv_out = CausalConv(widths[-1], 2 * LATENT_CHANNELS)

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        first = [self.down_blocks[0](self.conv_in(frame, stream), stream) for frame in x.split(1)]
        x = torch.cat(first)
        del first
        for level in list(self.down_blocks)[1:]:
            x = level(x, stream)
        x = F.silu(self.conv_norm_out(self.mid_block(x, stream)), inplace=True)
        return self.conv_out(x, stream)


class Decoder(nn.Module):
    """Latents -> frames; what is large is worked on frame by frame.

    Shape: (T, 16, h, w) -> frames (1, 3, 8h, 8w), four for each latent frame and one for the
    first of a stream.
    """

    def __init__(self, config: SeedVr2Config) -> None:
        super().__init__()
        widths, groups = config.autoencoder_channels[::-1], config.norm_groups
        self.conv_in = CausalConv(LATENT_CHANNELS, widths[0])
        self.mid_block = MiddleBlock(widths[0], groups)
        self.up_blocks = nn.ModuleList()
        for index, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False)):
            blocks = [ResBlock(before if k == 0 else width, width, groups) for k in range(3)]
            if index == len(widths) - 1:
                self.up_blocks.append(Level(blocks))
                continue
            up = Upsampler(width, doubles_time=index < 2)
            self.up_blocks.append(Level(blocks, upsamplers=up))
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=_EPS)
        self.conv_out = CausalConv(widths[-1], 3)

    def forward(self, latents: Tensor, stream: Stream) -> Iterator[Tensor]:
        x = self.mid_block(self.conv_in(latents, stream), stream)
        for frame in self._enlarged(x, 0, stream):
            y = F.silu(self.conv_norm_out(frame), inplace=True)
            yield self.conv_out(y, stream)

    def _enlarged(self, x: Tensor, level: int, stream: Stream) -> Iterator[Tensor]:
        """Each frame that comes of (T, C, h, w) at a level, all the way up: (1, C', H, W)."""
        if level == len(self.up_blocks):
            yield x
            return
        for frame in x.split(1):
            for larger in self.up_blocks[level](frame, stream).split(1):
                yield from self._enlarged(larger, level + 1, stream)


class VideoAutoencoder(nn.Module):
    """Frames <-> latents, a few frames at a time."""

    def __init__(self, config: SeedVr2Config) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, frames: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (T', 16, h, w), float32, of 4n+1 frames (3, 8h, 8w) in [-1, 1].

        Frames are taken as they are needed, and no more of them are held than four.
        """
        stream, dtype = Stream(), self.encoder.conv_in.weight.dtype
        remaining, size, moments = iter(frames), 1, []
        while piece := list(islice(remaining, size)):
            if len(piece) < size:
                raise ValueError(f"expected 4n+1 frames, got {len(piece)} at the end")
            moments.append(self.encoder(torch.stack(piece).to(dtype), stream).float())
            size = FRAME_STRIDE
        mean, log_variance = torch.cat(moments).chunk(2, dim=1)
        return mean, log_variance.clamp(_LEAST_LOG_VARIANCE, _MOST_LOG_VARIANCE)

    def decode(self, latents: Tensor, stream: Stream, *, skip: int = 0) -> Iterator[Tensor]:
        """Frames (3, 8h, 8w), float32 and not clamped, of latents (T, 16, h, w), one by one.

        Args:
            latents: as the autoencoder has them.
            stream: which they go on with.
            skip: leave out so many frames at the front, which are computed nonetheless.
        """
        dtype, count = self.decoder.conv_in.weight.dtype, 0
        for piece in latents.split(1):
            for frame in self.decoder(piece.to(dtype), stream):
                count += 1
                if count > skip:
                    yield frame[0].float()
