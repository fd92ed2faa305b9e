"""What the published family adds to the U-Net of Stable Diffusion 2.1."""

from collections.abc import Sequence
from dataclasses import dataclass

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.models.mgld.config import LATENT_CHANNELS, MgldConfig
from vsr_cli.models.mgld.structure import StructureEncoder
from vsr_cli.models.mgld.temporal import TemporalAttention, TemporalConv


@dataclass
class CallContext:
    """What the added layers must know of the call they are in; diffusers' U-Net cannot pass it.

    num_frames: T, of every clip in the batch.
    structure: of the structure encoder, one (N, S, ., .) for each level.
    """

    num_frames: int = 1
    structure: Sequence[Tensor] = ()


class StructuredConv(nn.Module):
    """A convolution whose output the LR structure S modulates (SPADE, arXiv 1903.07291).

    norm(conv(x)) (1 + gamma(S)) + beta(S); the norm is affine, too.

    Shape: (N, C, h, w) -> (N, C, h, w), with the structure of its level at (h, w).
    """

    def __init__(self, conv: nn.Conv2d, config: MgldConfig, call: CallContext, level: int) -> None:
        super().__init__()
        width, hidden = conv.out_channels, config.spade_channels
        self.call, self.level = call, level
        self.conv = conv
        self.norm = nn.GroupNorm(32, width, eps=1e-5)
        self.shared = nn.Conv2d(config.structure_features, hidden, 3, padding=1)
        self.gamma = nn.Conv2d(hidden, width, 3, padding=1)
        self.beta = nn.Conv2d(hidden, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        structure = F.relu(self.shared(self.call.structure[self.level]))
        return self.norm(self.conv(x)) * (1 + self.gamma(structure)) + self.beta(structure)


class WithTemporal(nn.Module):
    """A layer of the U-Net, followed by one along time.

    Shape: (B*T, C, h, w) -> (B*T, C, h, w); attentions return it in a tuple, as they did.
    """

    def __init__(self, layer: nn.Module, temporal: nn.Module, call: CallContext) -> None:
        super().__init__()
        self.layer, self.temporal, self.call = layer, temporal, call

    def forward(self, *args: object, **options: object) -> Tensor | tuple[Tensor]:
        output = self.layer(*args, **options)
        x = output[0] if isinstance(output, tuple) else output
        clips = x.unflatten(0, (-1, self.call.num_frames))  # (B, T, C, h, w)
        mixed = self.temporal(clips).flatten(0, 1)
        return (mixed,) if isinstance(output, tuple) else mixed


def add_structure(unet: UNet2DConditionModel, config: MgldConfig, call: CallContext) -> None:
    """Modulate the second convolution of all residual blocks by the LR structure."""
    last = len(config.denoiser_channels) - 1
    levels = [
        *((level, block) for level, block in enumerate(unet.down_blocks)),
        (last, unet.mid_block),
        *((last - index, block) for index, block in enumerate(unet.up_blocks)),
    ]
    for level, block in levels:
        for resnet in block.resnets:
            resnet.conv2 = StructuredConv(resnet.conv2, config, call, level)


def add_temporal(unet: UNet2DConditionModel, config: MgldConfig, call: CallContext) -> None:
    """Follow every layer of the middle block by one along time; there are none elsewhere."""
    width = config.denoiser_channels[-1]
    middle = unet.mid_block
    for index in range(2):
        middle.resnets[index] = WithTemporal(middle.resnets[index], TemporalConv(width), call)
    attention = TemporalAttention(width, width // config.head_channels)
    middle.attentions[0] = WithTemporal(middle.attentions[0], attention, call)


class Denoiser(nn.Module):
    """Predicts the noise in latents of a clip, given the LR latents.

    Shape: noisy and LR latents (B, T, 4, h, w), h and w multiples of 8, t (B, T), context
    (B or 1, 77, C) of the prompt -> noise (B, T, 4, h, w).
    """

    def __init__(self, config: MgldConfig) -> None:
        super().__init__()
        heads = tuple(width // config.head_channels for width in config.denoiser_channels)
        self.call = CallContext()
        self.structure = StructureEncoder(config)
        self.unet = UNet2DConditionModel(
            sample_size=config.tile_size,
            in_channels=LATENT_CHANNELS,
            out_channels=LATENT_CHANNELS,
            block_out_channels=config.denoiser_channels,
            layers_per_block=2,
            cross_attention_dim=config.context_channels,
            attention_head_dim=heads,  # the number of heads, whatever its name
            use_linear_projection=True,
        )
        add_structure(self.unet, config, self.call)
        add_temporal(self.unet, config, self.call)

    def forward(
        self, noisy_latents: Tensor, lr_latents: Tensor, t: Tensor, context: Tensor
    ) -> Tensor:
        b, num_frames = noisy_latents.shape[:2]
        times = t.flatten()  # (B*T,)
        self.call.structure = self.structure(lr_latents.flatten(0, 1), times)
        self.call.num_frames = num_frames
        contexts = context.expand(b, -1, -1).repeat_interleave(num_frames, dim=0)  # (B*T, 77, C)
        try:
            noise = self.unet(noisy_latents.flatten(0, 1), times, contexts, return_dict=False)[0]
        finally:
            self.call.structure = ()  # memory is scarce when frames are decoded
        return noise.unflatten(0, (b, num_frames))
