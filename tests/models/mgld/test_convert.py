"""Importing published checkpoints: what is right arrives, what is wrong is named."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import prod
from pathlib import Path
from types import ModuleType

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors import safe_open
from torch import Tensor
from torchvision.models.optical_flow import raft_large

from tests.models.mgld.published import (
    NARROW,
    decoder_shapes,
    encoder_shapes,
    random_tensors,
    save_checkpoint,
    structure_shapes,
    text_tower_shapes,
    unet_shapes,
    unet_tensors,
    video_tensors,
    write_published,
)
from vsr_cli.errors import OutputError, WeightsError
from vsr_cli.events import Event, Progress
from vsr_cli.models.files import verify
from vsr_cli.models.flow import RaftFlow, read_raft
from vsr_cli.models.imports import ImportedWeights
from vsr_cli.models.mgld.config import PUBLISHED
from vsr_cli.models.mgld.convert import import_published
from vsr_cli.models.mgld.flow import add_flow
from vsr_cli.models.mgld.loading import load_mgld
from vsr_cli.models.raft import published_name
from vsr_cli.pipeline.restorers.registry import ModelFile

Change = Callable[[dict[str, Tensor]], None]


def convert(
    folder: Path, *, unet: Change | None = None, video: Change | None = None
) -> ImportedWeights:
    """Import a pair of files after changing what is in them."""
    paths = []
    for name, tensors, change in (
        ("unet.ckpt", unet_tensors(), unet),
        ("video.ckpt", video_tensors(), video),
    ):
        if change:
            change(tensors)
        paths.append(save_checkpoint(folder / name, tensors))
    return import_published(paths, folder / "m.safetensors", config=NARROW)


def test_the_layout_of_these_tests_is_that_of_the_published_files() -> None:
    sizes = [
        (len(shapes), sum(map(prod, shapes.values())))
        for shapes in (
            unet_shapes(PUBLISHED),
            structure_shapes(PUBLISHED),
            decoder_shapes(PUBLISHED, temporal=True),
        )
    ]
    assert sizes == [(876, 935_321_287), (200, 52_494_080), (255, 80_810_128 + 20)]
    assert len(encoder_shapes(PUBLISHED)) + len(decoder_shapes(PUBLISHED, temporal=False)) == 248
    assert len(text_tower_shapes(PUBLISHED)) == 294


@pytest.mark.slow
def test_every_tensor_arrives_where_diffusers_converter_puts_it(tmp_path: Path) -> None:
    # Widths differ from level to level as the published ones do, so that shortcuts exist.
    widths = (32, 64, 96, 96)
    config = replace(NARROW, denoiser_channels=widths, autoencoder_channels=widths)
    unet, video = unet_tensors(config), video_tensors(config)
    paths = [
        save_checkpoint(tmp_path / name, tensors)
        for name, tensors in (("unet.ckpt", unet), ("video.ckpt", video))
    ]
    done = import_published(paths, tmp_path / "m.safetensors", config=config)
    ours = load_mgld(done.path).state_dict()
    places = {"0": "0", "2": "1", "4": "2"}
    plain = {
        re.sub(r"middle_block\.([024])", lambda m: f"middle_block.{places[m[1]]}", name): tensor
        for name, tensor in unet.items()
        if name.startswith("model.") and not re.search(r"\.spade\.|middle_block\.[135]\.", name)
    }
    blocks = {"class_embed_type": None, "layers_per_block": 2}
    from_unet = convert_ldm_unet_checkpoint(plain, blocks)  # type: ignore[no-untyped-call]
    expected = {f"denoiser.unet.{name}": tensor for name, tensor in from_unet.items()}
    shell = {"down_block_types": [0] * 4, "up_block_types": [0] * 4}
    frames = {n: x for n, x in video.items() if not re.search("temporal|fusion|loss", n)}
    from_frames = convert_ldm_vae_checkpoint(frames, shell)  # type: ignore[no-untyped-call]
    for name, tensor in from_frames.items():
        network = "decoder" if name.startswith(("decoder", "post")) else "feature_encoder"
        expected[f"{network}.{name}"] = tensor
    assert len(expected) == 686 + 248
    found = {
        re.sub(r"(mid_block\.\w+\.\d)\.layer", r"\1", name).replace("conv2.conv.", "conv2."): tensor
        for name, tensor in ours.items()
    }
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor.half()), name


def test_both_files_come_in_any_order_and_give_one_verified_model(tmp_path: Path) -> None:
    paths = write_published(tmp_path)
    heard: list[Event] = []
    target = tmp_path / "weights" / "mgld.safetensors"
    done = import_published(paths[::-1], target, config=NARROW, report=heard.append)
    assert verify(target) in (target.parent / "SHA256SUMS").read_text()
    model = ModelFile(target).model
    assert (model.family, model.default_steps, model.dtype) == ("mgld", 2, torch.float16)
    last = heard[-1]
    assert isinstance(last, Progress)
    assert last.frame == last.num_frames
    assert last.frame > 1000
    with safe_open(target, framework="pt") as file:
        assert "non-commercial" in file.metadata()["license"]
    assert any("same encoder" in line for line in done.findings)
    assert any(re.search(r"along time: 0\.\d{4}, 0\.\d{4}, 0\.\d{4}", s) for s in done.findings)


@pytest.mark.slow
def test_encoders_that_differ_are_both_kept(tmp_path: Path) -> None:
    done = convert(tmp_path)
    assert any("different encoders" in line for line in done.findings)
    model = load_mgld(done.path)
    assert model.feature_encoder is not model.encoder


def test_layers_that_do_nothing_are_pointed_out(tmp_path: Path) -> None:
    def kill(unet: dict[str, Tensor]) -> None:
        unet["model.diffusion_model.middle_block.2.proj_out.weight"].zero_()
        unet["model.diffusion_model.middle_block.3.temporal_alpha"].zero_()

    findings = convert(tmp_path, unet=kill).findings
    assert any("1 do nothing" in line for line in findings)
    assert any("attention's projection is zero" in line for line in findings)
    assert any("last convolution of the middle block is alive" in line for line in findings)


SPADE = "model.diffusion_model.input_blocks.4.0.spade.mlp_gamma.weight"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "name", "value", "what"),
    [
        ("unet", SPADE, None, "1 tensor is missing"),
        ("unet", "structcond_stage_model.input_blocks.4.1.qkv.bias", None, "is missing"),
        ("unet", "first_stage_model.quant_conv.bias", None, "is missing"),
        ("unet", "cond_stage_model.model.ln_final.bias", None, "is missing"),
        ("unet", "model.diffusion_model.extra.weight", torch.zeros(1), "is unknown"),
        ("unet", SPADE, torch.zeros(3, 3), "has another shape"),
        ("unet", "cond_stage_model.model.positional_embedding", torch.zeros(76, 32), "shape"),
        ("video", "decoder.up.2.temporal_mixing.1.temporal_alpha", None, "is missing"),
        ("video", "decoder.fusion_layer_1.encode_enc_2.0.conv5.weight", None, "is missing"),
        ("video", "encoder.more", torch.zeros(1), "is unknown"),
        ("video", "decoder.mid.attn_1.q.weight", torch.zeros(32, 32), "has another shape"),
    ],
)
def test_a_wrong_tensor_is_named_and_nothing_is_written(
    tmp_path: Path, network: str, name: str, value: Tensor | None, what: str
) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value

    with pytest.raises(WeightsError) as refused:
        convert(
            tmp_path,
            unet=change if network == "unet" else None,
            video=None if network == "unet" else change,
        )
    assert refused.value.exit_code == 5
    why = refused.value.why or ""
    assert f"`{name}`" in why
    assert what in why
    assert not list(tmp_path.glob("m.safetensors*"))


@pytest.mark.slow
def test_values_beyond_half_precision_are_refused_and_fit_in_float32(tmp_path: Path) -> None:
    paths = write_published(tmp_path)
    tensors = video_tensors()
    tensors["decoder.conv_in.bias"][0] = 1e6
    save_checkpoint(paths[1], tensors)
    target = tmp_path / "m.safetensors"
    with pytest.raises(WeightsError, match=r"decoder\.conv_in\.bias"):
        import_published(paths, target, config=NARROW)
    import_published(paths, target, config=NARROW, half=False)
    assert load_mgld(target).state_dict()["decoder.decoder.conv_in.bias"][0] == 1e6


def test_two_files_of_a_kind_are_refused(tmp_path: Path) -> None:
    paths = write_published(tmp_path)
    with pytest.raises(WeightsError, match="one file of a U-Net and one") as refused:
        import_published([paths[0], paths[0]], tmp_path / "m.safetensors", config=NARROW)
    assert refused.value.why == "the same file was given twice"
    again = save_checkpoint(tmp_path / "again.ckpt", unet_tensors())
    with pytest.raises(WeightsError) as refused:
        import_published([paths[0], again], tmp_path / "m.safetensors", config=NARROW)
    assert "2 of 2 files" in (refused.value.why or "")


def test_a_file_that_was_cut_off_is_refused_by_name(tmp_path: Path) -> None:
    paths = write_published(tmp_path)
    paths[0].write_bytes(paths[0].read_bytes()[:-5000])
    with pytest.raises(WeightsError, match=r"unet\.ckpt` cannot be read as a checkpoint"):
        import_published(paths, tmp_path / "m.safetensors", config=NARROW)


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_that_would_run_code_is_refused_by_name_and_runs_none(
    tmp_path: Path, new_format: bool
) -> None:
    paths = write_published(tmp_path)
    content = {"state_dict": unet_tensors(), "callbacks": Trap(tmp_path / "proof")}
    torch.save(content, paths[0], _use_new_zipfile_serialization=new_format)
    with pytest.raises(WeightsError, match=r"unet\.ckpt` is refused") as refused:
        import_published(paths, tmp_path / "m.safetensors", config=NARROW)
    assert "`posix.system`" in (refused.value.why or "")
    assert not (tmp_path / "proof").exists()


def test_records_that_lightning_leaves_are_no_obstacle(tmp_path: Path) -> None:
    paths = write_published(tmp_path)
    # A module of that name exists while the file is written, and not when it is read.
    module = ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    record = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = record  # type: ignore[attr-defined]
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
        sys.modules[name] = module
    try:
        state = record()
        state.best = 1.0
        content = {"state_dict": unet_tensors(), "callbacks": {record: {"best": state}}}
        torch.save(content, paths[0])
    finally:
        for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
            del sys.modules[name]
    import_published(paths, tmp_path / "m.safetensors", config=NARROW)


@pytest.mark.slow
def test_an_existing_target_is_kept_unless_asked(tmp_path: Path) -> None:
    paths = write_published(tmp_path)
    target = tmp_path / "m.safetensors"
    target.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        import_published(paths, target, config=NARROW)
    assert target.read_text() == "mine"
    import_published(paths, target, config=NARROW, overwrite=True)
    load_mgld(target)


@pytest.mark.slow
def test_a_pruned_checkpoint_takes_its_text_encoder_from_another_file(tmp_path: Path) -> None:
    whole = convert(tmp_path).path
    tower = random_tensors(text_tower_shapes(NARROW))
    unet = {n: x for n, x in unet_tensors().items() if not n.startswith("cond_stage")}
    paths = [
        save_checkpoint(tmp_path / "unet.ckpt", unet),
        save_checkpoint(tmp_path / "video.ckpt", video_tensors()),
    ]
    with pytest.raises(WeightsError, match="has no text encoder") as refused:
        import_published(paths, tmp_path / "n.safetensors", config=NARROW)
    assert "--text" in (refused.value.hint or "")
    tower["visual.conv1.weight"] = torch.zeros(3)
    text = tmp_path / "open_clip.bin"
    torch.save(tower, text)
    done = import_published(paths, tmp_path / "n.safetensors", config=NARROW, text=text)
    assert load_mgld(done.path).context.shape == load_mgld(whole).context.shape


def test_the_base_of_the_u_net_is_compared_with_stable_diffusion(tmp_path: Path) -> None:
    unet = unet_tensors()
    base = {name: x for name, x in unet.items() if name.startswith("cond_stage")}
    first, attention, last = (f"model.diffusion_model.middle_block.{k}." for k in (0, 2, 4))
    base |= {
        f"{first}in_layers.0.weight": unet[f"{first}in_layers.0.weight"],
        "model.diffusion_model.middle_block.1.proj_in.bias": unet[f"{attention}proj_in.bias"],
        "model.diffusion_model.middle_block.2.in_layers.0.bias": unet[f"{last}in_layers.0.bias"],
        "model.diffusion_model.out.2.bias": unet["model.diffusion_model.out.2.bias"] + 1,
    }
    paths = write_published(tmp_path)
    text = save_checkpoint(tmp_path / "v2-1.ckpt", base)
    done = import_published(paths, tmp_path / "m.safetensors", config=NARROW, text=text)
    assert any(line.startswith("3 of 4 tensors of the U-Net") for line in done.findings)


def raft_file(path: Path, prefix: str) -> Path:
    """RAFT under its own names, norms of shortcuts twice."""
    torch.manual_seed(0)
    tensors = {}
    for name, tensor in raft_large(weights=None).state_dict().items():
        there = prefix + published_name(name)
        tensors[there] = tensor
        if "downsample.1" in there:
            tensors[there.replace("downsample.1", "norm3")] = tensor
    assert len(tensors) == 179
    torch.save(tensors, path)
    return path


@pytest.mark.slow
def test_raft_arrives_with_the_model_or_by_itself_and_gives_the_same_flow(tmp_path: Path) -> None:
    raft = raft_file(tmp_path / "raft-things.pth", "module.")
    paths = write_published(tmp_path)
    target = tmp_path / "m.safetensors"
    import_published(paths, target, config=NARROW, flow=raft)
    assert load_mgld(target).has_flow
    frames = torch.rand(1, 2, 3, 128, 136, generator=torch.manual_seed(1)) * 2 - 1
    network = raft_large(weights=None).eval()
    torch.manual_seed(0)
    network.load_state_dict(raft_large(weights=None).state_dict())
    with torch.no_grad():
        expected = network(frames[:, 0], frames[:, 1], num_flow_updates=2)[-1]
    for path in (target, raft):
        forward, _ = RaftFlow(path, num_updates=2)(frames)
        torch.testing.assert_close(forward[:, 0], expected, atol=1e-4, rtol=1e-4)


def test_raft_that_misses_a_tensor_is_refused_by_name(tmp_path: Path) -> None:
    raft = raft_file(tmp_path / "raft-things.pth", "module.")
    tensors = torch.load(raft)
    del tensors["module.update_block.mask.2.bias"]
    torch.save(tensors, raft)
    with pytest.raises(WeightsError) as refused:
        import_published(
            write_published(tmp_path), tmp_path / "m.safetensors", config=NARROW, flow=raft
        )
    assert "raft-things.pth" in str(refused.value)
    assert "update_block.mask.2.bias" in (refused.value.why or "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("unet", "model_ema.decay"),
        ("unet", "logvar"),
        ("unet", "lvlb_weights"),
        ("unet", "scale_factor"),
        ("unet", "first_stage_model.loss.logvar"),
        ("unet", "somebody.else.weight"),
        ("video", "loss.discriminator.main.0.weight"),
        ("video", "decoder.fusion_w"),
        ("video", "colorize"),
    ],
)
def test_what_lies_beside_the_networks_is_left_out_and_named(
    tmp_path: Path, network: str, name: str
) -> None:
    def add(tensors: dict[str, Tensor]) -> None:
        tensors[name] = torch.zeros(1)

    done = convert(tmp_path, **{network: add})
    named = [line for line in done.findings if f"`{name}`" in line and "left out" in line]
    assert len(named) == (name != "decoder.fusion_w")  # which is known
    load_mgld(done.path)


@pytest.mark.slow
def test_what_is_unknown_within_a_network_is_left_out_only_if_asked(tmp_path: Path) -> None:
    paths = write_published(tmp_path)
    tensors = unet_tensors()
    tensors["model.diffusion_model.more.weight"] = torch.zeros(1)
    save_checkpoint(paths[0], tensors)
    target = tmp_path / "m.safetensors"
    with pytest.raises(WeightsError) as refused:
        import_published(paths, target, config=NARROW)
    assert "--ignore-unknown" in (refused.value.hint or "")
    done = import_published(paths, target, config=NARROW, ignore_unknown=True)
    assert any("`model.diffusion_model.more.weight`" in line for line in done.findings)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_programs_put_before_names_is_no_obstacle(tmp_path: Path, prefix: str) -> None:
    unet = {prefix + name: tensor for name, tensor in unet_tensors().items()}
    video = {f"first_stage_model.{name}": tensor for name, tensor in video_tensors().items()}
    paths = [
        save_checkpoint(tmp_path / name, tensors)
        for name, tensors in (("unet.ckpt", unet), ("video.ckpt", video))
    ]
    done = import_published(paths, tmp_path / "m.safetensors", config=NARROW)
    assert load_mgld(done.path).config == NARROW


def test_a_flow_network_that_is_no_raft_counts_as_none(tmp_path: Path) -> None:
    def add(unet: dict[str, Tensor]) -> None:
        unet["flownet_model.basic_module.0.weight"] = torch.zeros(1)

    done = convert(tmp_path, unet=add)
    assert any("is no RAFT" in line and "--flow raft-things.pth" in line for line in done.findings)
    assert not load_mgld(done.path).has_flow


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["published", "torchvision", "without counters"])
def test_raft_can_be_added_later_from_any_of_its_files(tmp_path: Path, kind: str) -> None:
    done = convert(tmp_path)
    assert any("vsr weights import --flow" in line for line in done.findings)
    before = load_mgld(done.path).state_dict()
    raft = raft_file(tmp_path / "raft.pth", "module.")
    torch.manual_seed(0)
    tensors = raft_large(weights=None).state_dict()
    if kind == "torchvision":
        torch.save(tensors, raft)
    elif kind == "without counters":
        torch.save({n: x for n, x in torch.load(raft).items() if "num_batches" not in n}, raft)
    again = add_flow(done.path, raft)
    model = load_mgld(again.path)
    assert model.has_flow
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert verify(done.path)
    found = read_raft(done.path)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    with pytest.raises(OutputError, match="has a flow network"):
        add_flow(done.path, raft)
    assert load_mgld(add_flow(done.path, raft, overwrite=True).path).has_flow
    with pytest.raises(WeightsError, match="neither `raft_large` nor"):
        add_flow(done.path, save_checkpoint(tmp_path / "other.ckpt", {"a": torch.zeros(1)}))
    with pytest.raises(WeightsError, match="there is no model `none`"):
        add_flow(tmp_path / "none.safetensors", raft)


def test_torch_s_advice_to_run_what_a_file_asks_for_is_not_passed_on(tmp_path: Path) -> None:
    paths = write_published(tmp_path)
    content = {"state_dict": unet_tensors(), "note": Fraction(1, 2)}
    torch.save(content, paths[0], _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError) as refused:
        import_published(paths, tmp_path / "m.safetensors", config=NARROW)
    assert "weights_only" not in f"{refused.value} {refused.value.why} {refused.value.hint}"
