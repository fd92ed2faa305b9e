"""Where each tensor of this package's networks is found in the published checkpoints.

The published names are those of the latent-diffusion code base; here the networks are diffusers',
which count blocks in another way. Names are translated from here to there, so that what is missing
can be called by the name it has in the user's file.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

UNET = "model.diffusion_model."
STRUCTURE = "structcond_stage_model."
FIRST_STAGE = "first_stage_model."
TEXT = "cond_stage_model.model."
FLOW = "flownet_model."

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_STRUCTURED = {
    **_RESNET,
    "conv2.conv": "out_layers.3",
    "conv2.norm": "spade.param_free_norm",
    "conv2.shared": "spade.mlp_shared.0",
    "conv2.gamma": "spade.mlp_gamma",
    "conv2.beta": "spade.mlp_beta",
}
_TEMPORAL = {
    "alpha": "temporal_alpha",
    "conv": "temporal_conv",
    "to_q": "temporal_attn.to_q",
    "to_k": "temporal_attn.to_k",
    "to_v": "temporal_attn.to_v",
    "to_out": "temporal_attn.to_out.0",
}
_LEGACY_ATTENTION = {
    "group_norm": "norm",
    "to_q": "qkv",
    "to_k": "qkv",
    "to_v": "qkv",
    "to_out.0": "proj_out",
}
_FRAME_RESNET = {"conv_shortcut": "nin_shortcut"}
_FRAME_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
_FUSION = {
    "first": "encode_enc_1",
    "first.conv_shortcut": "encode_enc_1.conv_out",
    **{
        f"dense.{block}.convs.{index}": f"encode_enc_2.{block}.conv{index + 1}"
        for block in range(2)
        for index in range(5)
    },
    "last": "encode_enc_3",
}


@dataclass(frozen=True)
class PublishedTensor:
    """Name and shape of a published tensor, and what makes it one of ours."""

    name: str
    shape: tuple[int, ...]
    convert: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Part:
    """A part of a network: how its names begin here and there, and what differs inside."""

    here: str  # a pattern; its groups are numbers
    there: Callable[..., str]
    inside: Mapping[str, str] = field(default_factory=dict)


def _upsampler(index: int) -> str:
    """The lowest level has no attention, so its up-sampler is one place further up front."""
    return f"output_blocks.{3 * index + 2}.{1 if index == 0 else 2}.conv"


def _down_block(level: int, index: int) -> str:
    return f"input_blocks.{3 * level + index + 1}"


_UNET_PARTS = [
    _Part(r"time_embedding\.linear_(\d)", lambda n: f"time_embed.{2 * n - 2}"),
    _Part(r"conv_in", lambda: "input_blocks.0.0"),
    _Part(r"down_blocks\.(\d)\.resnets\.(\d)", lambda n, k: f"{_down_block(n, k)}.0", _STRUCTURED),
    _Part(r"down_blocks\.(\d)\.attentions\.(\d)", lambda n, k: f"{_down_block(n, k)}.1"),
    _Part(r"down_blocks\.(\d)\.downsamplers\.0\.conv", lambda n: f"{_down_block(n, 2)}.0.op"),
    _Part(r"mid_block\.resnets\.(\d)\.layer", lambda k: f"middle_block.{4 * k}", _STRUCTURED),
    _Part(r"mid_block\.resnets\.(\d)\.temporal", lambda k: f"middle_block.{4 * k + 1}", _TEMPORAL),
    _Part(r"mid_block\.attentions\.0\.layer", lambda: "middle_block.2"),
    _Part(r"mid_block\.attentions\.0\.temporal", lambda: "middle_block.3", _TEMPORAL),
    _Part(
        r"up_blocks\.(\d)\.resnets\.(\d)", lambda n, k: f"output_blocks.{3 * n + k}.0", _STRUCTURED
    ),
    _Part(r"up_blocks\.(\d)\.attentions\.(\d)", lambda n, k: f"output_blocks.{3 * n + k}.1"),
    _Part(r"up_blocks\.(\d)\.upsamplers\.0\.conv", _upsampler),
    _Part(r"conv_norm_out", lambda: "out.0"),
    _Part(r"conv_out", lambda: "out.2"),
]
_STRUCTURE_PARTS = [
    _Part(r"time\.linear_(\d)", lambda n: f"time_embed.{2 * n - 2}"),
    _Part(r"conv_in", lambda: "input_blocks.0.0"),
    _Part(r"down_blocks\.(\d)\.resnets\.(\d)", lambda n, k: f"{_down_block(n, k)}.0", _RESNET),
    _Part(
        r"down_blocks\.(\d)\.attentions\.(\d)",
        lambda n, k: f"{_down_block(n, k)}.1",
        _LEGACY_ATTENTION,
    ),
    _Part(r"down_blocks\.(\d)\.downsamplers\.0\.conv", lambda n: f"{_down_block(n, 2)}.0.op"),
    _Part(r"mid_block\.resnets\.(\d)", lambda k: f"middle_block.{2 * k}", _RESNET),
    _Part(r"mid_block\.attentions\.0", lambda: "middle_block.1", _LEGACY_ATTENTION),
    _Part(r"heads\.(\d)", lambda k: f"fea_tran.{k}", _RESNET),
]
_MIDDLE_PARTS = [
    _Part(r"mid_block\.resnets\.(\d)", lambda k: f"mid.block_{k + 1}"),
    _Part(r"mid_block\.attentions\.0", lambda: "mid.attn_1", _FRAME_ATTENTION),
    _Part(r"conv_norm_out", lambda: "norm_out"),
]
_ENCODER_PARTS = [
    *_MIDDLE_PARTS,
    _Part(r"down_blocks\.(\d)\.resnets\.(\d)", lambda n, k: f"down.{n}.block.{k}", _FRAME_RESNET),
    _Part(r"down_blocks\.(\d)\.downsamplers\.0", lambda n: f"down.{n}.downsample"),
]
_DECODER_PARTS = [
    *_MIDDLE_PARTS,
    _Part(r"up_blocks\.(\d)\.resnets\.(\d)", lambda n, k: f"up.{3 - n}.block.{k}", _FRAME_RESNET),
    _Part(r"up_blocks\.(\d)\.upsamplers\.0", lambda n: f"up.{3 - n}.upsample"),
]
_DECODER_EXTRAS = [
    _Part(r"mid_mixer", lambda: "temporal_mixing", _TEMPORAL),
    _Part(r"mixers\.(\d)\.(\d)", lambda n, k: f"up.{3 - n}.temporal_mixing.{k}", _TEMPORAL),
    _Part(r"fusions\.(\d)", lambda k: f"fusion_layer_{k + 1}", _FUSION),
]


def denoiser_source(name: str, shape: tuple[int, ...], structure_heads: int) -> PublishedTensor:
    """The origin of a tensor of `Denoiser`, in the file of the U-Net."""
    network, _, rest = name.partition(".")
    if network == "unet":
        return _plain(UNET + _translate(rest, _UNET_PARTS), shape)
    there = STRUCTURE + _translate(rest, _STRUCTURE_PARTS)
    if ".attentions." not in name:
        return _plain(there, shape)
    if third := re.search(r"\.to_([qkv])\.", name):
        return _third(there, shape, "qkv".index(third[1]), structure_heads)
    return _plain(there, shape, ones=1 if name.endswith("to_out.0.weight") else 0)


def encoder_source(name: str, shape: tuple[int, ...]) -> PublishedTensor:
    """The origin of a tensor of `FrameEncoder`, in a file of an autoencoder."""
    network, _, rest = name.partition(".")
    there = f"encoder.{_translate(rest, _ENCODER_PARTS)}" if network == "encoder" else name
    return _plain(there, shape, ones=_ones_of_attention(name))


def decoder_source(name: str, shape: tuple[int, ...]) -> PublishedTensor:
    """The origin of a tensor of `MgldDecoder`, in the file of the video autoencoder."""
    network, _, rest = name.partition(".")
    if network == "post_quant_conv":
        return _plain(name, shape)
    if network == "decoder":
        there = f"decoder.{_translate(rest, _DECODER_PARTS)}"
        return _plain(there, shape, ones=_ones_of_attention(name))
    return _plain(f"decoder.{_translate(name, _DECODER_EXTRAS)}", shape)


def _translate(name: str, parts: list[_Part]) -> str:
    """The published name; what no part covers is called alike in both."""
    for part in parts:
        if match := re.match(rf"{part.here}(?=\.|$)", name):
            there = part.there(*map(int, match.groups()))
            return there + _inside(name[match.end() :], part.inside)
    return name


def _inside(rest: str, names: Mapping[str, str]) -> str:
    """`.rest` with its longest known beginning replaced."""
    rest = rest.removeprefix(".")
    for here in sorted(names, key=len, reverse=True):
        if rest == here or rest.startswith(f"{here}."):
            rest = names[here] + rest[len(here) :]
            break
    return f".{rest}" if rest else ""


def _ones_of_attention(name: str) -> int:
    """The autoencoder's attention consisted of 1x1 convolutions."""
    is_projection = re.search(r"attentions\.0\.to_(q|k|v|out\.0)\.weight$", name)
    return 2 if is_projection else 0


def _plain(there: str, shape: tuple[int, ...], ones: int = 0) -> PublishedTensor:
    """The same values; kernels may have had further axes of length one."""
    if there.endswith("temporal_conv.weight"):
        ones = 2
    return PublishedTensor(there, (*shape, *(1,) * ones), lambda tensor: tensor.reshape(shape))


def _third(there: str, shape: tuple[int, ...], index: int, num_heads: int) -> PublishedTensor:
    """Queries, keys or values, which lay side by side for every head."""
    ones = (1,) if there.endswith(".weight") else ()
    whole = (3 * shape[0], *shape[1:], *ones)

    def convert(tensor: Tensor) -> Tensor:
        return tensor.reshape(num_heads, 3, -1, *shape[1:])[:, index].reshape(shape)

    return PublishedTensor(there, whole, convert)
