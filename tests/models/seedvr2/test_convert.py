"""Importing published checkpoints: what is right arrives, what is wrong is named."""

import json
import os
from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from tests.models.seedvr2.published import (
    autoencoder_shapes,
    autoencoder_tensors,
    denoiser_shapes,
    denoiser_tensors,
    save,
    text_tensor,
    write_published,
)
from tests.models.seedvr2.tiny import TINY
from tests.parity import FOLDER
from vsr_cli.errors import ConfigError, OutputError, WeightsError
from vsr_cli.events import Event, Progress
from vsr_cli.models.imports import ImportedWeights
from vsr_cli.models.published import find_family, import_checkpoints
from vsr_cli.models.seedvr2.config import PUBLISHED
from vsr_cli.models.seedvr2.convert import import_seedvr2
from vsr_cli.models.seedvr2.loading import load_seedvr2
from vsr_cli.models.seedvr2.model import SeedVr2Model

Change = Callable[[dict[str, Tensor]], None]


def convert(
    folder: Path, *, dit: Change | None = None, vae: Change | None = None, suffix: str = ".pth"
) -> ImportedWeights:
    """Import the files after changing what is in them."""
    paths = []
    for name, tensors, change in (
        ("dit", denoiser_tensors(), dit),
        ("vae", autoencoder_tensors(), vae),
    ):
        if change:
            change(tensors)
        paths.append(save(folder / f"{name}{suffix}", tensors))
    text = save(folder / "pos_emb.pt", text_tensor())
    return import_seedvr2(paths, folder / "m.safetensors", text=text, config=TINY)


def test_the_layout_of_these_tests_is_that_of_the_published_files() -> None:
    shapes = denoiser_shapes(PUBLISHED), autoencoder_shapes(PUBLISHED)
    assert [len(of) for of in shapes] == [635, 250]
    assert [round(sum(map(prod, of.values())) / 1e6, 3) for of in shapes] == [3391.476, 250.648]
    keys = FOLDER / "seedvr2_keys.json"
    if not keys.is_file():
        pytest.skip(f"no list of keys `{keys}`: set VSR_PARITY_DIR to the folder that has it")
    published = json.loads(keys.read_text())
    for ours, theirs in zip(shapes, (published["dit"], published["vae"]), strict=True):
        assert ours == {name: tuple(shape) for name, shape in theirs.items()}


def test_the_network_of_full_width_has_all_tensors_of_the_published_one() -> None:
    with torch.device("meta"):
        model = SeedVr2Model(PUBLISHED)
    found = {name: tuple(x.shape) for name, x in model.denoiser.state_dict().items()}
    expected = denoiser_shapes(PUBLISHED)
    assert found == {name: s for name, s in expected.items() if not name.endswith("rope.freqs")}
    found = {name: tuple(x.shape) for name, x in model.autoencoder.state_dict().items()}
    assert found == autoencoder_shapes(PUBLISHED)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_every_tensor_arrives_whatever_the_order_of_files(tmp_path: Path, suffix: str) -> None:
    heard: list[Event] = []
    paths = [
        save(tmp_path / f"dit{suffix}", denoiser_tensors()),
        save(tmp_path / f"vae{suffix}", autoencoder_tensors()),
    ]
    text, target = save(tmp_path / "pos_emb.pt", text_tensor()), tmp_path / "m.safetensors"
    done = import_seedvr2(paths[::-1], target, text=text, config=TINY, report=heard.append)
    model = load_seedvr2(target)
    assert model.config == TINY
    for network, tensors in (
        (model.denoiser, denoiser_tensors()),
        (model.autoencoder, autoencoder_tensors()),
    ):
        for name, found in network.state_dict().items():
            assert torch.equal(found, tensors[name].half()), name
    assert torch.equal(model.text, text_tensor().half())
    last = heard[-1]
    assert isinstance(last, Progress)
    assert (last.frame, last.unit) == (last.num_frames, "tensors")
    with safe_open(target, framework="pt") as file:
        header = file.metadata()
    assert "Apache License 2.0" in header["license"]
    assert json.loads(header["sources"]) == [paths[0].name, paths[1].name, "pos_emb.pt"]
    assert done.num_tensors == len(model.state_dict())


def test_what_programs_put_before_names_is_no_obstacle(tmp_path: Path) -> None:
    def wrap(tensors: dict[str, Tensor]) -> None:
        plain = dict(tensors)
        tensors.clear()
        tensors.update({f"module._orig_mod.{name}": x for name, x in plain.items()})

    assert convert(tmp_path, dit=wrap, vae=wrap).num_tensors > 100


def test_a_repackaged_file_brings_its_words(tmp_path: Path) -> None:
    tensors = denoiser_tensors() | {
        "positive_conditioning": text_tensor(),
        "negative_conditioning": torch.zeros(3, TINY.text_width),
    }
    paths = [
        save(tmp_path / "dit.safetensors", tensors),
        save(tmp_path / "vae.safetensors", autoencoder_tensors()),
    ]
    import_seedvr2(paths, tmp_path / "m.safetensors", config=TINY)
    assert torch.equal(load_seedvr2(tmp_path / "m.safetensors").text, text_tensor().half())


def test_eight_bits_are_read_and_said(tmp_path: Path) -> None:
    eight = {
        name: x.to(torch.float8_e4m3fn) if x.ndim > 1 else x.half()
        for name, x in denoiser_tensors().items()
    }
    save_file(eight, tmp_path / "dit.safetensors")
    vae = save(tmp_path / "vae.safetensors", autoencoder_tensors())
    text = save(tmp_path / "pos_emb.pt", text_tensor())
    target = tmp_path / "m.safetensors"
    done = import_seedvr2([tmp_path / "dit.safetensors", vae], target, text=text, config=TINY)
    assert "8 bits" in done.findings[0]
    found = load_seedvr2(target).denoiser.state_dict()["vid_in.proj.weight"]
    assert torch.equal(found, eight["vid_in.proj.weight"].half())


def drop(name: str) -> Change:
    return lambda tensors: tensors.__delitem__(name)


def put(name: str, tensor: Tensor) -> Change:
    return lambda tensors: tensors.update({name: tensor})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (drop("txt_in.bias"), "1 tensor is missing: `txt_in.bias`"),
        (drop("blocks.1.attn.rope.rope.freqs"), "missing: `blocks.1.attn.rope.rope.freqs`"),
        (put("vid_in.extra", torch.zeros(1)), "1 tensor is unknown: `vid_in.extra`"),
        (put("txt_in.bias", torch.zeros(3)), "`txt_in.bias` is (3,) and not (32,)"),
        (put("blocks.0.attn.rope.rope.freqs", torch.ones(2)), "holds other frequencies"),
        (put("txt_in.bias", torch.full((32,), torch.nan)), "the file is damaged"),
        (put("txt_in.bias", torch.full((32,), 1e6)), "do not fit half precision"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, change: Change, why: str) -> None:
    with pytest.raises(WeightsError) as error:
        convert(tmp_path, dit=change)
    assert why in str(error.value.why)
    assert not (tmp_path / "m.safetensors").exists()


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    dit, vae, text = write_published(tmp_path)
    target = tmp_path / "m.safetensors"
    for paths in ([dit], [dit, dit], [vae, vae], [vae]):
        with pytest.raises(WeightsError, match="one file of SeedVR2's transformer"):
            import_seedvr2(paths, target, text=text, config=TINY)
    with pytest.raises(WeightsError, match="no embedding of the prompt"):
        import_seedvr2([dit, vae], target, config=TINY)
    other = save(tmp_path / "neg_emb.pt", torch.zeros(64, TINY.text_width))
    with pytest.raises(WeightsError, match="does not hold the embedding"):
        import_seedvr2([dit, vae], target, text=other, config=TINY)
    with pytest.raises(WeightsError, match="more or less than a tensor"):
        import_seedvr2([dit, vae], target, text=vae, config=TINY)


class Evil:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch was_run",)


def test_nothing_in_a_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dit, vae, _ = write_published(tmp_path)
    torch.save({"x": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="could run code"):
        import_seedvr2(
            [dit, vae], tmp_path / "m.safetensors", text=tmp_path / "evil.pt", config=TINY
        )
    assert not (tmp_path / "was_run").exists()


def test_a_model_of_that_name_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"mine")
    with pytest.raises(OutputError):
        convert(tmp_path)
    assert (tmp_path / "m.safetensors").read_bytes() == b"mine"


def test_the_family_is_told_by_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSR_WEIGHTS_DIR", str(tmp_path / "user"))
    dit, vae, text = write_published(tmp_path)
    other = save(tmp_path / "other.pth", {"model.diffusion_model.out.0.bias": torch.zeros(1)})
    assert find_family([vae, dit]) == "seedvr2"
    assert find_family([other, other]) == "mgld"
    with pytest.raises(ConfigError, match="means nothing to SeedVR2"):
        import_checkpoints([dit, vae], text=text, flow=other)


def test_damaged_and_foreign_files_are_refused_on_loading(tmp_path: Path) -> None:
    convert(tmp_path)
    path = tmp_path / "m.safetensors"
    tensors = load_seedvr2(path).state_dict()
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    changed = {n: x for n, x in tensors.items() if n != "text"}
    save_file(changed, tmp_path / "n.safetensors", metadata=header)
    with pytest.raises(WeightsError, match="not the published"):
        load_seedvr2(tmp_path / "n.safetensors")
    for key, value in (("num_heads", 0), ("separate_blocks", 9), ("width", "32"), ("extra", 1)):
        config = json.loads(header["config"]) | {key: value}
        other = header | {"config": json.dumps(config)}
        save_file(tensors, tmp_path / "o.safetensors", metadata=other)
        with pytest.raises(WeightsError):
            load_seedvr2(tmp_path / "o.safetensors")
    save_file(tensors, tmp_path / "p.safetensors", metadata={"family": "mgld"})
    with pytest.raises(WeightsError, match="holds no SeedVR2"):
        load_seedvr2(tmp_path / "p.safetensors")
