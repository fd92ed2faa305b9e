"""What a stage takes over from weights of another form."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.networks import TINY, tiny_model, write_tiny_weights
from vsr_cli.models.small.model import SmallConfig, SmallModel, reduce_to_body
from vsr_cli.models.weights import load_weights, save_weights
from vsr_cli.training import warm_start as module
from vsr_cli.training.warm_start import warm_start

OLD = replace(
    TINY,
    latent_channels=6,
    coarse_blocks=2,
    output_channels=0,
    scales=(4,),
    encodes_variance=True,
    activation="silu",
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Weights of the former form, in which every part is awake."""
    torch.manual_seed(0)
    model = SmallModel(OLD)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    model.latent_std.copy_(torch.linspace(0.5, 2, 6))
    save_weights(tmp_path / "old.safetensors", model.state_dict(), OLD)
    return tmp_path / "old.safetensors"


def test_configs_written_before_fields_existed_still_load() -> None:
    assert SmallConfig().scales == (4,)
    assert SmallConfig().encodes_variance


def test_weights_of_the_new_form_are_taken_as_they_are(tmp_path: Path) -> None:
    found = warm_start(write_tiny_weights(tmp_path / "tiny.safetensors"))
    assert found.config == TINY
    expected = tiny_model().state_dict()
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=1e-3, rtol=1e-3)


def test_tensors_whose_shape_stays_are_taken_over(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NEW_MODEL", TINY)
    before, after = load_weights(old).state_dict(), warm_start(old).state_dict()
    for name in ("trunk.blocks.0.conv1.weight", "decoder.middle.0.conv2.bias", "denoiser.to1.bias"):
        assert torch.equal(before[name], after[name])
    assert torch.equal(after["latent_std"], torch.ones(4))


@torch.no_grad()
def test_stems_of_finer_sources_begin_as_the_coarse_one_on_their_mean(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NEW_MODEL", TINY)
    model = warm_start(old)
    source = torch.rand(1, 1, 3, 32, 32) * 2 - 1
    for scale in (2, 1):
        expected = model.features(reduce_to_body(source, scale), 4)
        torch.testing.assert_close(model.features(source, scale), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_kept_channels_are_those_that_move_the_decoder_most(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NEW_MODEL", TINY)
    before, after = load_weights(old), warm_start(old)
    stem = before.decoder.stem.weight * before.latent_std[:, None, None]
    energies = stem.square().sum(dim=(0, 2, 3)).sort(descending=True).values
    kept = after.decoder.stem.weight.square().sum()
    assert energies[:4].sum() - 1e-5 <= kept <= energies.sum() + 1e-5
