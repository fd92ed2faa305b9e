"""One model, several enlargements: sizes, clips and tiles at each of them."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.networks import TINY, tiny_model, write_tiny_weights
from tests.pipeline.runs import restore, restore_from_file
from vsr_cli.config import ClipConfig, SamplerConfig, UpscaleConfig
from vsr_cli.models.weights import save_weights
from vsr_cli.ops.resize import resize
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.run_plan import RunPlan, native_scale, why_scale

NATIVE = (4, 2, 1)


def moving(num_frames: int, height: int, width: int) -> list[Tensor]:
    texture = torch.rand(3, height, width + num_frames, generator=torch.Generator().manual_seed(3))
    texture = torch.nn.functional.avg_pool2d(texture[None], 3, 1, 1)[0] * 2 - 1
    return [texture[:, :, k : k + width] for k in range(num_frames)]


def config_of(scale: Fraction | int) -> UpscaleConfig:
    return UpscaleConfig(
        scale=Fraction(scale), scene_cut=False, dtype="float32", sampler=SamplerConfig(steps=2)
    )


@pytest.mark.parametrize(
    ("scale", "computed"),
    [("1", 1), ("1.25", 2), ("3/2", 2), ("2", 2), ("2.01", 4), ("3", 4), ("4", 4)],
)
def test_the_next_larger_native_scale_is_computed(scale: str, computed: int) -> None:
    config = config_of(Fraction(scale))
    assert native_scale(NATIVE, config) == computed
    assert native_scale((4,), config) == 4
    assert why_scale(NATIVE, config) == ""


@pytest.mark.parametrize(
    ("scale", "computed", "told"),
    [
        ("1", 2, "enlarged 2 times, then reduced, which leaves noise"),
        ("1.25", 4, "enlarged 4 times"),
        ("2", 4, "enlarged 4 times"),
        ("3", 4, "changes nothing"),
        ("4", 4, "changes nothing"),
    ],
)
def test_to_supersample_is_to_compute_at_twice_the_scale_where_there_is_one(
    scale: str, computed: int, told: str
) -> None:
    config = replace(config_of(Fraction(scale)), supersample=True)
    assert native_scale(NATIVE, config) == computed
    assert told in why_scale(NATIVE, config)


def test_supersampled_frames_are_those_of_the_larger_scale_reduced(tmp_path: Path) -> None:
    path = write_tiny_weights(tmp_path / "tiny.safetensors")
    frames = torch.stack(moving(3, 24, 32))
    larger = restore_from_file(path, frames, config_of(4))
    found = restore_from_file(path, frames, replace(config_of(2), supersample=True))
    plain = restore_from_file(path, frames, config_of(2))
    torch.testing.assert_close(found, resize(larger, (48, 64)), atol=1e-4, rtol=0)
    assert (found - plain).abs().max() > 0.01


@pytest.mark.parametrize("scale", ["1", "1.5", "2", "3", "4"])
@pytest.mark.parametrize("size", [(13, 21), (16, 16), (1, 9)])
def test_any_source_gets_exactly_its_targets_size(
    scale: str, size: tuple[int, int], tmp_path: Path
) -> None:
    path = write_tiny_weights(tmp_path / "tiny.safetensors")
    config = config_of(Fraction(scale))
    restored = restore_from_file(path, torch.stack(moving(2, *size)), config)
    assert restored.shape == (2, 3, *config.target_size(*size))
    assert restored.abs().max() <= 1.2  # a reduction may overshoot a little


def test_what_a_scale_needs_is_planned_for_the_offered_one_that_is_computed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tiny.safetensors"
    config = replace(TINY, offered_scales=(4, 2))
    save_weights(path, tiny_model().state_dict(), config)
    model, size = ModelFile(path), (180, 320)

    def peak(scale: int) -> int | None:
        return model.plan(model.resolve(config_of(scale)), size).peak_bytes

    assert peak(1) == peak(2)
    assert peak(1) != ModelFile(write_tiny_weights(path)).plan(config_of(1), size).peak_bytes


def run(scale: int, *, length: int = 5, tile: int | None = None) -> Tensor:
    run_plan = RunPlan(torch.device("cpu"), torch.float32, length, tile, ())
    config = config_of(scale)
    config = UpscaleConfig(
        scale=config.scale,
        scene_cut=False,
        sampler=config.sampler,
        clip=ClipConfig(length=5, overlap=1),
    )
    side = (48 * 4 // scale, 272 * 4 // scale) if tile else (48, 64)
    frames = moving(2 if tile else 5, *side)
    return restore(tiny_model(), frames, config, run_plan)


@pytest.mark.parametrize("scale", NATIVE)
def test_where_clips_are_cut_changes_nothing_at_any_scale(scale: int) -> None:
    torch.testing.assert_close(run(scale, length=2), run(scale), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scale", [2, 1])
def test_tiles_differ_little_from_whole_frames_at_any_scale(scale: int) -> None:
    whole, tiled = run(scale, tile=200), run(scale, tile=72)
    assert whole.shape == tiled.shape == (2, 3, 192, 1088)
    assert 0 < (whole - tiled).abs().mean() * 127.5 < 1
