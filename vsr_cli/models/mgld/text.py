"""The embedding of the empty prompt: all that is ever asked of the text encoder."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr_cli.models.mgld.config import NUM_TOKENS, MgldConfig

_BEGIN, _END, _PADDING = 49406, 49407, 0  # OpenCLIP's tokens
_VOCABULARY = 49408


def text_shapes(config: MgldConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of OpenCLIP's text tower, its last layer and its projection included."""
    width = config.text_width
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (NUM_TOKENS, width),
        "text_projection": (width, width),
        "logit_scale": (),
        "token_embedding.weight": (_VOCABULARY, width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
    }
    for layer in range(config.text_layers + 1):
        shapes |= {
            f"transformer.resblocks.{layer}.{name}": shape
            for name, shape in {
                "attn.in_proj_weight": (3 * width, width),
                "attn.in_proj_bias": (3 * width,),
                "attn.out_proj.weight": (width, width),
                "attn.out_proj.bias": (width,),
                "ln_1.weight": (width,),
                "ln_1.bias": (width,),
                "ln_2.weight": (width,),
                "ln_2.bias": (width,),
                "mlp.c_fc.weight": (4 * width, width),
                "mlp.c_fc.bias": (4 * width,),
                "mlp.c_proj.weight": (width, 4 * width),
                "mlp.c_proj.bias": (width,),
            }.items()
        }
    return shapes


def embed_empty_prompt(tensors: Mapping[str, Tensor], config: MgldConfig) -> Tensor:
    """Run "" through OpenCLIP's text tower (arXiv 2212.07143), its last layer left out.

    A pre-norm transformer with causal attention, one layer in memory at a time.

    Args:
        tensors: at least those of `text_shapes`.
        config: depth and width.

    Returns:
        (1, 77, C) float32.
    """
    tokens = torch.full((NUM_TOKENS,), _PADDING)
    tokens[0], tokens[1] = _BEGIN, _END
    x = tensors["token_embedding.weight"][tokens].float() + tensors["positional_embedding"].float()
    x = x[None]  # (1, 77, C)
    for layer in range(config.text_layers):
        prefix = f"transformer.resblocks.{layer}."
        own = {
            name.removeprefix(prefix): tensor.float()
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        x = x + _attend(_norm(x, own, "ln_1"), own, config.text_heads)
        hidden = F.gelu(
            F.linear(_norm(x, own, "ln_2"), own["mlp.c_fc.weight"], own["mlp.c_fc.bias"])
        )
        x = x + F.linear(hidden, own["mlp.c_proj.weight"], own["mlp.c_proj.bias"])
    return _norm(x, {name: tensors[name].float() for name in _FINAL}, "ln_final")


_FINAL = ("ln_final.weight", "ln_final.bias")


def _norm(x: Tensor, tensors: Mapping[str, Tensor], name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _attend(x: Tensor, tensors: Mapping[str, Tensor], num_heads: int) -> Tensor:
    """Causal self-attention of (1, N, C)."""
    projected = F.linear(x, tensors["attn.in_proj_weight"], tensors["attn.in_proj_bias"])
    q, k, v = (
        part.unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in projected.chunk(3, dim=-1)
    )  # (1, heads, N, C / heads)
    attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    attended = attended.transpose(1, 2).flatten(2)
    return F.linear(attended, tensors["attn.out_proj.weight"], tensors["attn.out_proj.bias"])
