"""Checkpoints with the names and shapes of the published ones, as narrow as one likes.

Written from the description of the published files, and not with the code that reads them.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.models.mgld.config import MgldConfig

Shapes = dict[str, tuple[int, ...]]

NARROW = MgldConfig(
    denoiser_channels=(32, 32, 64, 64),
    head_channels=16,
    context_channels=32,
    structure_channels=(32, 32, 32, 32),
    structure_heads=2,
    structure_features=32,
    spade_channels=8,
    autoencoder_channels=(32, 32, 32, 32),
    fusion_growth=4,
    tile_size=8,
    tile_overlap=4,
    pixel_tile=120,
    pixel_stride=94,
    default_steps=2,
    text_layers=2,
    text_heads=2,
    text_width=32,
)


def layer(name: str, *shape: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": shape, **({f"{name}.bias": shape[:1]} if bias else {})}


def prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def res_block(c_in: int, c_out: int, time: int, spade: tuple[int, int] | None = None) -> Shapes:
    shapes = {
        **layer("in_layers.0", c_in),
        **layer("in_layers.2", c_out, c_in, 3, 3),
        **layer("emb_layers.1", c_out, time),
        **layer("out_layers.0", c_out),
        **layer("out_layers.3", c_out, c_out, 3, 3),
    }
    if c_in != c_out:
        shapes |= layer("skip_connection", c_out, c_in, 1, 1)
    if spade:
        features, hidden = spade
        shapes |= layer("spade.param_free_norm", c_out)
        shapes |= layer("spade.mlp_shared.0", hidden, features, 3, 3)
        shapes |= layer("spade.mlp_gamma", c_out, hidden, 3, 3)
        shapes |= layer("spade.mlp_beta", c_out, hidden, 3, 3)
    return shapes


def transformer(c: int, context: int) -> Shapes:
    block: Shapes = {}
    for name, keys in (("attn1", c), ("attn2", context)):
        block |= layer(f"{name}.to_q", c, c, bias=False)
        block |= layer(f"{name}.to_k", c, keys, bias=False)
        block |= layer(f"{name}.to_v", c, keys, bias=False)
        block |= layer(f"{name}.to_out.0", c, c)
    block |= {**layer("ff.net.0.proj", 8 * c, c), **layer("ff.net.2", c, 4 * c)}
    for index in (1, 2, 3):
        block |= layer(f"norm{index}", c)
    return {
        **layer("norm", c),
        **layer("proj_in", c, c),
        **layer("proj_out", c, c),
        **prefixed("transformer_blocks.0.", block),
    }


def temporal_conv(c: int) -> Shapes:
    return {"temporal_alpha": (1,), **layer("temporal_conv", c, c, 3, 1, 1)}


def temporal_attention(c: int) -> Shapes:
    shapes: Shapes = {"temporal_alpha": (1,), **layer("norm", c)}
    for name in ("to_q", "to_k", "to_v"):
        shapes |= layer(f"temporal_attn.{name}", c, c, bias=False)
    return shapes | layer("temporal_attn.to_out.0", c, c)


def down_levels(widths: tuple[int, ...]) -> Iterator[tuple[int, int, int, int]]:
    """Block, level, width in and width out of the residual blocks on the way down."""
    before = widths[0]
    for level, width in enumerate(widths):
        for index in range(2):
            yield 3 * level + index + 1, level, before, width
            before = width


def unet_shapes(config: MgldConfig) -> Shapes:
    widths, context = config.denoiser_channels, config.context_channels
    spade = config.structure_features, config.spade_channels
    time, last = 4 * widths[0], widths[-1]
    shapes: Shapes = {
        **layer("time_embed.0", time, widths[0]),
        **layer("time_embed.2", time, time),
        **layer("input_blocks.0.0", widths[0], 4, 3, 3),
        **layer("out.0", widths[0]),
        **layer("out.2", 4, widths[0], 3, 3),
    }
    skips = [widths[0]]
    for block, level, c_in, c_out in down_levels(widths):
        shapes |= prefixed(f"input_blocks.{block}.0.", res_block(c_in, c_out, time, spade))
        if level < 3:
            shapes |= prefixed(f"input_blocks.{block}.1.", transformer(c_out, context))
        skips.append(c_out)
        if level < 3 and block % 3 == 2:
            shapes |= layer(f"input_blocks.{block + 1}.0.op", c_out, c_out, 3, 3)
            skips.append(c_out)
    for block, inside in enumerate(
        (
            res_block(last, last, time, spade),
            temporal_conv(last),
            transformer(last, context),
            temporal_attention(last),
            res_block(last, last, time, spade),
            temporal_conv(last),
        )
    ):
        shapes |= prefixed(f"middle_block.{block}.", inside)
    before = last
    for block in range(12):
        level = 3 - block // 3
        width = widths[level]
        name = f"output_blocks.{block}"
        shapes |= prefixed(f"{name}.0.", res_block(before + skips.pop(), width, time, spade))
        if level < 3:
            shapes |= prefixed(f"{name}.1.", transformer(width, context))
        if block % 3 == 2 and level > 0:
            shapes |= layer(f"{name}.{2 if level < 3 else 1}.conv", width, width, 3, 3)
        before = width
    return prefixed("model.diffusion_model.", shapes)


def structure_shapes(config: MgldConfig) -> Shapes:
    widths, features = config.structure_channels, config.structure_features
    time = 4 * widths[0]

    def attention(c: int) -> Shapes:
        return {**layer("norm", c), **layer("qkv", 3 * c, c, 1), **layer("proj_out", c, c, 1)}

    shapes: Shapes = {
        **layer("time_embed.0", time, widths[0]),
        **layer("time_embed.2", time, time),
        **layer("input_blocks.0.0", widths[0], 4, 3, 3),
    }
    for block, level, c_in, c_out in down_levels(widths):
        shapes |= prefixed(f"input_blocks.{block}.0.", res_block(c_in, c_out, time))
        if level < 3:
            shapes |= prefixed(f"input_blocks.{block}.1.", attention(c_out))
        if level < 3 and block % 3 == 2:
            shapes |= layer(f"input_blocks.{block + 1}.0.op", c_out, c_out, 3, 3)
    last = widths[-1]
    shapes |= prefixed("middle_block.0.", res_block(last, last, time))
    shapes |= prefixed("middle_block.1.", attention(last))
    shapes |= prefixed("middle_block.2.", res_block(last, last, time))
    for index, width in enumerate(widths):
        shapes |= prefixed(f"fea_tran.{index}.", res_block(width, features, time))
    return prefixed("structcond_stage_model.", shapes)


def frame_block(c_in: int, c_out: int, shortcut: str = "nin_shortcut") -> Shapes:
    shapes = {
        **layer("norm1", c_in),
        **layer("conv1", c_out, c_in, 3, 3),
        **layer("norm2", c_out),
        **layer("conv2", c_out, c_out, 3, 3),
    }
    return shapes | (layer(shortcut, c_out, c_in, 1, 1) if c_in != c_out else {})


def middle(c: int) -> Shapes:
    shapes = {**prefixed("mid.block_1.", frame_block(c, c)), **layer("mid.attn_1.norm", c)}
    for name in ("q", "k", "v", "proj_out"):
        shapes |= layer(f"mid.attn_1.{name}", c, c, 1, 1)
    return shapes | prefixed("mid.block_2.", frame_block(c, c))


def encoder_shapes(config: MgldConfig) -> Shapes:
    widths = config.autoencoder_channels
    shapes = {**layer("conv_in", widths[0], 3, 3, 3), **middle(widths[-1])}
    for level, (before, width) in enumerate(pairwise((widths[0], *widths))):
        shapes |= prefixed(f"down.{level}.block.0.", frame_block(before, width))
        shapes |= prefixed(f"down.{level}.block.1.", frame_block(width, width))
        if level < 3:
            shapes |= layer(f"down.{level}.downsample.conv", width, width, 3, 3)
    shapes |= {**layer("norm_out", widths[-1]), **layer("conv_out", 8, widths[-1], 3, 3)}
    return prefixed("encoder.", shapes) | layer("quant_conv", 8, 8, 1, 1)


def decoder_shapes(config: MgldConfig, *, temporal: bool) -> Shapes:
    widths, growth = config.autoencoder_channels, config.fusion_growth
    shapes = {**layer("conv_in", widths[-1], 4, 3, 3), **middle(widths[-1])}
    before = widths[-1]
    for level in (3, 2, 1, 0):
        for index in range(3):
            shapes |= prefixed(f"up.{level}.block.{index}.", frame_block(before, widths[level]))
            before = widths[level]
        if level:
            shapes |= layer(f"up.{level}.upsample.conv", before, before, 3, 3)
    shapes |= {**layer("norm_out", widths[0]), **layer("conv_out", 3, widths[0], 3, 3)}
    if temporal:
        shapes |= prefixed("temporal_mixing.", temporal_conv(widths[-1]))
        for level, width in enumerate(widths):
            for index in range(3):
                name = f"up.{level}.temporal_mixing.{index}."
                shapes |= prefixed(name, temporal_conv(width))
        for level in (1, 2):
            c = widths[level]
            shapes |= prefixed(
                f"fusion_layer_{level}.encode_enc_1.", frame_block(2 * c, c, "conv_out")
            )
            for block in range(2):
                for index in range(5):
                    name = f"fusion_layer_{level}.encode_enc_2.{block}.conv{index + 1}"
                    shapes |= layer(name, growth if index < 4 else c, c + growth * index, 3, 3)
            shapes |= prefixed(f"fusion_layer_{level}.encode_enc_3.", frame_block(c, c))
    return prefixed("decoder.", shapes) | layer("post_quant_conv", 4, 4, 1, 1)


def text_tower_shapes(config: MgldConfig) -> Shapes:
    c = config.text_width
    shapes: Shapes = {
        "positional_embedding": (77, c),
        "text_projection": (c, c),
        "logit_scale": (),
        **layer("token_embedding", 49408, c, bias=False),
        **layer("ln_final", c),
    }
    for index in range(config.text_layers + 1):
        block = {
            "attn.in_proj_weight": (3 * c, c),
            "attn.in_proj_bias": (3 * c,),
            **layer("attn.out_proj", c, c),
            **layer("ln_1", c),
            **layer("ln_2", c),
            **layer("mlp.c_fc", 4 * c, c),
            **layer("mlp.c_proj", c, 4 * c),
        }
        shapes |= prefixed(f"transformer.resblocks.{index}.", block)
    return shapes


def random_tensors(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Weights that keep activations in range: matrices by fan-in, norms about 1."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            tensors[name] = noise / torch.tensor(shape[1:]).prod().sqrt()
        elif name.endswith("weight"):
            tensors[name] = 1 + 0.1 * noise
        else:
            tensors[name] = 0.3 + 0.05 * noise if "alpha" in name else 0.1 * noise
    return tensors


def unet_tensors(config: MgldConfig = NARROW) -> dict[str, Tensor]:
    """All that the U-Net's file holds, but RAFT."""
    shapes = {
        **unet_shapes(config),
        **structure_shapes(config),
        **prefixed("first_stage_model.", encoder_shapes(config)),
        **prefixed("first_stage_model.", decoder_shapes(config, temporal=False)),
        **prefixed("cond_stage_model.model.", text_tower_shapes(config)),
        "betas": (1000,),
        "alphas_cumprod": (1000,),
    }
    return random_tensors(shapes)


def video_tensors(config: MgldConfig = NARROW) -> dict[str, Tensor]:
    """All that the video autoencoder's file holds."""
    shapes = {
        **encoder_shapes(config),
        **decoder_shapes(config, temporal=True),
        "loss.logvar": (),
    }
    return random_tensors(shapes, seed=1)


def save_checkpoint(path: Path, tensors: dict[str, Tensor]) -> Path:
    """As Lightning writes it."""
    torch.save({"state_dict": tensors, "global_step": 42_000, "epoch": 3}, path)
    return path


def write_published(folder: Path, config: MgldConfig = NARROW) -> list[Path]:
    """Both files; the encoder of the first stage is that of the video autoencoder."""
    unet, video = unet_tensors(config), video_tensors(config)
    for name in encoder_shapes(config):
        unet[f"first_stage_model.{name}"] = video[name]
    return [
        save_checkpoint(folder / "unet.ckpt", unet),
        save_checkpoint(folder / "video.ckpt", video),
    ]
