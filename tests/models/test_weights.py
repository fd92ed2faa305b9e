import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.networks import TINY, roundable_model, write_roundable_weights, write_tiny_weights
from vsr_cli.digest import sha256
from vsr_cli.errors import WeightsError
from vsr_cli.models.files import shipped_weights, verify
from vsr_cli.models.small.model import SmallModel
from vsr_cli.models.weights import load_weights, save_weights


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return write_tiny_weights(tmp_path / "tiny.safetensors")


def test_a_saved_model_comes_back_with_its_config_and_values(saved: Path) -> None:
    model = load_weights(saved)
    assert model.config == TINY
    assert model.default_steps == 2
    for name, tensor in load_file(saved).items():
        torch.testing.assert_close(model.state_dict()[name], tensor.float())


def test_ranges_of_eight_bits_come_back_and_must_fit(tmp_path: Path) -> None:
    path = write_roundable_weights(tmp_path / "roundable.safetensors")
    config = load_weights(path).config
    assert config.activation_ranges
    name, (low, high) = next(iter(config.activation_ranges.items()))
    changed = replace(config, activation_ranges={name: (low, high[:-1])})
    save_weights(path, roundable_model().state_dict(), changed)
    with pytest.raises(WeightsError, match="does not fit"):
        load_weights(path)


def test_a_missing_file_is_refused_with_exit_code_5(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights at") as refused:
        load_weights(tmp_path / "nothing.safetensors")
    assert refused.value.exit_code == 5
    assert refused.value.hint


def test_a_file_that_is_not_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_text("these are not weights")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_weights(path)


def test_a_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_weights(saved)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="holds no vsr model"):
        load_weights(path)


STRANGE_RANGES: list[object] = [
    *(None, 1.0, [], [[-1.0] * 32], [-1.0, 1.0], [[-1.0] * 32, 1.0], [["a"] * 32, [1.0] * 32]),
    *([[1.0] * 32, [2.0] * 32], [[-2.0] * 32, [-1.0] * 32], [[math.nan] * 32, [1.0] * 32]),
    [[-math.inf] * 32, [1.0] * 32],
]
STRANGE: list[dict[str, object]] = [
    {"trunk_blocks": 10**9},
    {"trunk_blocks": -1},
    {"denoiser_channels": 10**7},
    {"latent_channels": 0},
    {"lr_channels": 7},
    {"default_steps": 0},
    {"default_steps": 10**6},
    {"scales": []},
    {"scales": [3]},
    {"offered_scales": []},
    {"scales": [4], "offered_scales": [4, 2]},
    {"scales": [4] * 1000},
    {"scales": [[4]]},
    {"noise_scale": 1.5},
    {"noise_scale": -0.5},
    {"time_power": 0.5},
    {"damping": -0.1},
    {"activation_ranges": []},
    {"activation_ranges": {"trunk.stem": [[-1.0] * 3, [1.0] * 3]}},
    {"activation_ranges": {"nothing": [[-1.0], [1.0]]}},
]
STRANGE += [{"activation_ranges": {"denoiser.up1.0.conv1": ranges}} for ranges in STRANGE_RANGES]


def changed_config(entries: dict[str, object]) -> str:
    return json.dumps({**asdict(TINY), **entries})


@pytest.mark.parametrize(
    "config",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[" * 100_000, id="very deep"),
        pytest.param("[]", id="no table"),
        *(pytest.param(changed_config(entries), id=str(entries)) for entries in STRANGE),
    ],
)
def test_a_config_that_no_model_has_is_refused_before_one_is_built(
    tmp_path: Path, config: str
) -> None:
    path = tmp_path / "strange.safetensors"
    tensors = {name: tensor.half() for name, tensor in SmallModel(TINY).state_dict().items()}
    save_file(tensors, path, metadata={"family": "small", "config": config})
    with pytest.raises(WeightsError) as refused:
        load_weights(path)
    assert refused.value.exit_code == 5


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "nan"])
def test_tensors_that_differ_from_the_model_are_named(tmp_path: Path, change: str) -> None:
    tensors = dict(SmallModel(TINY).state_dict())
    if change == "missing":
        del tensors["trunk.stem.bias"]
    elif change == "extra":
        tensors["trunk.stem.extra"] = torch.zeros(1)
    elif change == "shape":
        tensors["trunk.stem.bias"] = torch.zeros(9)
    else:
        tensors["trunk.stem.bias"] = torch.full((8,), torch.nan)
    path = tmp_path / "changed.safetensors"
    save_weights(path, tensors, TINY)
    with pytest.raises(WeightsError) as refused:
        load_weights(path)
    assert "trunk.stem." in str(refused.value.why)


def test_a_digest_that_differs_from_the_list_is_refused(saved: Path) -> None:
    sums = saved.parent / "SHA256SUMS"
    sums.write_text(f"{sha256(saved)}  {saved.name}\n")
    assert verify(saved) == sha256(saved)
    sums.write_text(f"{'0' * 64}  {saved.name}\n")
    with pytest.raises(WeightsError, match="is damaged"):
        load_weights(saved)


@pytest.mark.weights
def test_the_shipped_weights_are_listed_intact_and_under_60_mib() -> None:
    path = shipped_weights()
    assert f"  {path.name}" in (path.parent / "SHA256SUMS").read_text()
    model = load_weights(path)
    assert model.default_steps >= 1
    assert path.stat().st_size < 60 * 2**20
