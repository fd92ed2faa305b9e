"""The time-aware structure encoder: what the LR latents say, at every level of the denoiser."""

from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d_blocks import AttnDownBlock2D, DownBlock2D, UNetMidBlock2D
from torch import Tensor, nn

from vsr_cli.models.mgld.config import LATENT_CHANNELS, MgldConfig

_NORM_EPS = 1e-5


class StructureEncoder(nn.Module):
    """Half a U-Net over the LR latents (time-aware guidance encoder of arXiv 2305.07015).

    It knows the diffusion time but not the noisy latents, and looks at every frame by itself.

    Shape: LR latents (N, 4, h, w), t (N,) -> one (N, S, ., .) for each level of the denoiser, the
    finest first: h, h/2, h/4, h/8 (rounded up).
    """

    def __init__(self, config: MgldConfig) -> None:
        super().__init__()
        widths, features = config.structure_channels, config.structure_features
        time = 4 * widths[0]
        # Cosines first, as the published weights expect.
        self.waves = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time = TimestepEmbedding(widths[0], time)
        self.conv_in = nn.Conv2d(LATENT_CHANNELS, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            AttnDownBlock2D(
                in_channels=widths[max(level - 1, 0)],
                out_channels=width,
                temb_channels=time,
                num_layers=2,
                resnet_eps=_NORM_EPS,
                attention_head_dim=width // config.structure_heads,
            )
            for level, width in enumerate(widths[:-1])
        )
        self.down_blocks.append(
            DownBlock2D(
                in_channels=widths[-2],
                out_channels=widths[-1],
                temb_channels=time,
                num_layers=2,
                resnet_eps=_NORM_EPS,
                add_downsample=False,
            )
        )
        self.mid_block = UNetMidBlock2D(
            in_channels=widths[-1],
            temb_channels=time,
            resnet_eps=_NORM_EPS,
            attention_head_dim=widths[-1] // config.structure_heads,
        )
        self.heads = nn.ModuleList(
            ResnetBlock2D(
                in_channels=width, out_channels=features, temb_channels=time, eps=_NORM_EPS
            )
            for width in widths
        )

    def forward(self, lr_latents: Tensor, t: Tensor) -> list[Tensor]:
        time = self.time(self.waves(t).to(lr_latents.dtype))
        x = self.conv_in(lr_latents)
        sources = []
        for block in self.down_blocks:
            x, outputs = block(x, time)
            sources.append(outputs[1])  # after both blocks of the level, not yet halved
        sources[-1] = self.mid_block(x, time)
        return [head(source, time) for head, source in zip(self.heads, sources, strict=True)]
