"""Checkpoints with the names and shapes of the published ones, as narrow as one likes.

Written from the description of the published files, and not with the code that reads them.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.models.seedvr2.tiny import TINY
from vsr_cli.models.seedvr2.config import SeedVr2Config

Shapes = dict[str, tuple[int, ...]]


def layer(name: str, *shape: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": shape, **({f"{name}.bias": shape[:1]} if bias else {})}


def denoiser_shapes(config: SeedVr2Config) -> Shapes:
    d, inner = config.width, config.num_heads * config.head_channels
    shapes = {
        **layer("vid_in.proj", d, 132),
        **layer("txt_in", d, config.text_width),
        **layer("emb_in.proj_in", d, config.time_channels),
        **layer("emb_in.proj_hid", d, d),
        **layer("emb_in.proj_out", 6 * d, d),
        "vid_out_norm.weight": (d,),
        "vid_out_ada.out_shift": (d,),
        "vid_out_ada.out_scale": (d,),
        **layer("vid_out.proj", 64, d),
    }
    for index in range(config.num_blocks):
        block = f"blocks.{index}"
        shapes[f"{block}.attn.rope.rope.freqs"] = (config.head_channels // 6,)
        for kind in ("vid", "txt") if index < config.separate_blocks else ("all",):
            shapes |= layer(f"{block}.attn.proj_qkv.{kind}", 3 * inner, d, bias=False)
            shapes |= layer(f"{block}.attn.proj_out.{kind}", d, inner)
            for norm in ("norm_q", "norm_k"):
                shapes[f"{block}.attn.{norm}.{kind}.weight"] = (config.head_channels,)
            for name in ("proj_in_gate", "proj_in"):
                shapes |= layer(f"{block}.mlp.{kind}.{name}", config.hidden_width, d, bias=False)
            shapes |= layer(f"{block}.mlp.{kind}.proj_out", d, config.hidden_width, bias=False)
            for part in ("attn", "mlp"):
                for what in ("shift", "scale", "gate"):
                    shapes[f"{block}.ada.{kind}.{part}_{what}"] = (d,)
    return shapes


def conv(name: str, c_out: int, c_in: int, time: int = 3, side: int = 3) -> Shapes:
    return layer(name, c_out, c_in, time, side, side)


def res_block(name: str, c_in: int, c_out: int) -> Shapes:
    shapes = {
        **layer(f"{name}.norm1", c_in),
        **conv(f"{name}.conv1", c_out, c_in),
        **layer(f"{name}.norm2", c_out),
        **conv(f"{name}.conv2", c_out, c_out),
    }
    return shapes | (conv(f"{name}.conv_shortcut", c_out, c_in, 1, 1) if c_in != c_out else {})


def middle(name: str, c: int) -> Shapes:
    shapes = layer(f"{name}.attentions.0.group_norm", c)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        shapes |= layer(f"{name}.attentions.0.{part}", c, c)
    for index in range(2):
        shapes |= res_block(f"{name}.resnets.{index}", c, c)
    return shapes


def autoencoder_shapes(config: SeedVr2Config) -> Shapes:
    widths = config.autoencoder_channels
    shapes = conv("encoder.conv_in", widths[0], 3)
    for level, (c_in, c) in enumerate(pairwise((widths[0], *widths))):
        block = f"encoder.down_blocks.{level}"
        shapes |= res_block(f"{block}.resnets.0", c_in, c) | res_block(f"{block}.resnets.1", c, c)
        if level < 3:
            shapes |= conv(f"{block}.downsamplers.0.conv", c, c, 3 if level else 1)
    shapes |= middle("encoder.mid_block", widths[-1])
    shapes |= layer("encoder.conv_norm_out", widths[-1])
    shapes |= conv("encoder.conv_out", 32, widths[-1])
    shapes |= conv("decoder.conv_in", widths[-1], 16)
    for level, (c_in, c) in enumerate(pairwise((widths[-1], *widths[::-1]))):
        block = f"decoder.up_blocks.{level}"
        for index in range(3):
            shapes |= res_block(f"{block}.resnets.{index}", c if index else c_in, c)
        if level < 3:
            shapes |= conv(f"{block}.upsamplers.0.conv", c, c)
            copies = 8 if level < 2 else 4
            shapes |= conv(f"{block}.upsamplers.0.upscale_conv", copies * c, c, 1, 1)
    shapes |= middle("decoder.mid_block", widths[-1])
    return (
        shapes | layer("decoder.conv_norm_out", widths[0]) | conv("decoder.conv_out", 3, widths[0])
    )


def random_tensors(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Matrices that keep the size of what goes through, norms about one, all else small."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        x = torch.randn(shape, generator=generator)
        if name.endswith("rope.freqs"):
            n = 2 * shape[0]
            x = torch.tensor([10_000 ** -(2 * k / n) for k in range(shape[0])])
        elif len(shape) > 1:
            x *= x[0].numel() ** -0.5
        else:
            x = 0.1 * x + float("norm" in name and name.endswith("weight"))
        tensors[name] = x
    return tensors


def denoiser_tensors(config: SeedVr2Config = TINY) -> dict[str, Tensor]:
    return random_tensors(denoiser_shapes(config), 1)


def autoencoder_tensors(config: SeedVr2Config = TINY) -> dict[str, Tensor]:
    return random_tensors(autoencoder_shapes(config), 2)


def text_tensor(config: SeedVr2Config = TINY) -> Tensor:
    shape = (config.num_words, config.text_width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3)).bfloat16()


def save(path: Path, tensors: Mapping[str, Tensor] | Tensor) -> Path:
    """Write as the suffix asks for: safetensors in half precision, or torch's format as it is."""
    if path.suffix == ".safetensors" and not isinstance(tensors, Tensor):
        save_file(
            {
                name: x.half() if x.is_floating_point() and x.itemsize == 4 else x
                for name, x in tensors.items()
            },
            path,
        )
    else:
        torch.save(tensors, path)
    return path


def write_published(folder: Path) -> tuple[Path, Path, Path]:
    """The files of the transformer, of the autoencoder and of the prompt."""
    return (
        save(folder / "dit.safetensors", denoiser_tensors()),
        save(folder / "vae.safetensors", autoencoder_tensors()),
        save(folder / "pos_emb.pt", text_tensor()),
    )
