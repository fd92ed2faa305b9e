"""The text tower is what torch's own transformer computes."""

import torch
from torch import nn

from tests.models.mgld.published import NARROW, random_tensors, text_tower_shapes
from vsr_cli.models.mgld.text import embed_empty_prompt, text_shapes


def test_the_shapes_asked_for_are_those_of_the_published_tower() -> None:
    assert text_shapes(NARROW) == text_tower_shapes(NARROW)


def test_the_empty_prompt_goes_through_all_layers_but_the_last() -> None:
    tensors = random_tensors(text_tower_shapes(NARROW))
    width = NARROW.text_width
    tokens = torch.tensor([49406, 49407] + [0] * 75)
    x = (tensors["token_embedding.weight"][tokens] + tensors["positional_embedding"])[None]
    mask = nn.Transformer.generate_square_subsequent_mask(77)
    names = {
        "self_attn.in_proj_": "attn.in_proj_",
        "self_attn.out_proj": "attn.out_proj",
        "linear1": "mlp.c_fc",
        "linear2": "mlp.c_proj",
        "norm": "ln_",
    }
    for index in range(NARROW.text_layers):
        layer = nn.TransformerEncoderLayer(
            width, NARROW.text_heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        state = {}
        for name in layer.state_dict():
            there = name
            for ours, theirs in names.items():
                there = there.replace(ours, theirs)
            state[name] = tensors[f"transformer.resblocks.{index}.{there}"]
        layer.load_state_dict(state)
        with torch.no_grad():
            x = layer.train()(x, src_mask=mask)
    norm = nn.functional.layer_norm
    expected = norm(x, (width,), tensors["ln_final.weight"], tensors["ln_final.bias"])
    found = embed_empty_prompt(tensors, NARROW)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
