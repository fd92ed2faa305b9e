"""Imported models in the pipeline, on the real networks at reduced width."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.models.mgld.published import NARROW, write_published
from tests.networks import write_tiny_weights
from vsr_cli.config import MgldMode, SamplerConfig, UpscaleConfig
from vsr_cli.errors import DeviceError, WeightsError
from vsr_cli.events import Event, Note, Report, ignore
from vsr_cli.models.mgld.convert import import_published
from vsr_cli.models.mgld.loading import load_mgld
from vsr_cli.models.mgld.model import MgldModel
from vsr_cli.pipeline.clips import ClipState, RestoredClip, RgbFrame
from vsr_cli.pipeline.frames import restore_frames
from vsr_cli.pipeline.restorers.mgld.memory import MgldRunPlan
from vsr_cli.pipeline.restorers.registry import ModelFile

CONFIG = UpscaleConfig(
    device="cpu", dtype="float32", scene_cut=False, sampler=SamplerConfig(motion_scale=1)
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MgldModel:
    folder = tmp_path_factory.mktemp("published")
    done = import_published(write_published(folder), folder / "m.safetensors", config=NARROW)
    return load_mgld(done.path).float()


def moving(num_frames: int, size: tuple[int, int] = (18, 22)) -> Tensor:
    """(T, 3, H, W): a texture that moves to the left by a pixel a frame."""
    coarse = torch.rand(1, 3, 6, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = torch.nn.functional.interpolate(coarse, size=(size[0], size[1] + num_frames))[0]
    return torch.stack([whole[..., k : k + size[1]] for k in range(num_frames)])


def restore(
    model: MgldModel,
    frames: Tensor,
    config: UpscaleConfig = CONFIG,
    *,
    first: int = 0,
    state: ClipState | None = None,
    tile_size: int | None = None,
    batch: int | None = None,
    report: Report = ignore,
) -> Iterator[RestoredClip]:
    """Clip after clip."""
    assert model.path is not None
    file = ModelFile(model.path)
    config = file.resolve(config)
    run_plan = file.plan(config, (frames.shape[-2], frames.shape[-1]))
    assert isinstance(run_plan, MgldRunPlan)
    run_plan = replace(
        run_plan, tile_size=tile_size or run_plan.tile_size, tile_batch=batch or run_plan.tile_batch
    )
    restorer = file.family.restorer(model, config, run_plan, report)
    rgb = map(RgbFrame, frames)
    yield from restore_frames(rgb, restorer, scene_cut=config.scene_cut, first=first, state=state)


def upscale(
    model: MgldModel,
    frames: Tensor,
    config: UpscaleConfig = CONFIG,
    *,
    tile_size: int | None = None,
    batch: int | None = None,
    report: Report = ignore,
) -> Iterator[Tensor]:
    """Clip after clip of SR frames."""
    for clip in restore(model, frames, config, tile_size=tile_size, batch=batch, report=report):
        yield torch.stack(list(clip.frames))


@pytest.mark.slow
@pytest.mark.parametrize("num_frames", [1, 2, 4, 5, 6, 9])
def test_every_frame_comes_out_once_at_the_size_of_the_target(
    model: MgldModel, num_frames: int
) -> None:
    found = torch.cat(list(upscale(model, moving(num_frames))))
    assert found.shape == (num_frames, 3, 72, 88)
    assert found.isfinite().all()
    assert found.std() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["default", "parity"])
@pytest.mark.parametrize("size", [(5, 7), (16, 16), (17, 33)])
@pytest.mark.parametrize("scale", [Fraction(1), Fraction(4)])
def test_small_and_odd_sizes_work_in_both_modes(
    model: MgldModel, mode: MgldMode, size: tuple[int, int], scale: Fraction
) -> None:
    config = replace(
        CONFIG, mgld_mode=mode, scale=scale, sampler=SamplerConfig(motion_scale=0, steps=1)
    )
    found = torch.cat(list(upscale(model, moving(2, size), config)))
    least = min(config.target_size(*size))
    assert found.shape[0] == 2
    if mode == "parity" or least >= NARROW.least_side:
        assert tuple(found.shape[-2:]) == config.target_size(*size)
    else:
        assert min(found.shape[-2:]) == NARROW.least_side


@pytest.mark.slow
def test_the_same_job_gives_the_same_frames_and_another_seed_others(model: MgldModel) -> None:
    frames = moving(6)
    other = replace(CONFIG, sampler=SamplerConfig(seed=1))
    first, second, third = (
        torch.cat(list(upscale(model, frames, config))) for config in (CONFIG, CONFIG, other)
    )
    assert torch.equal(first, second)
    assert (first - third).abs().max() > 1e-2


@pytest.mark.slow
def test_frames_of_the_future_beyond_one_change_nothing(model: MgldModel) -> None:
    """What is finished is final: only one frame is looked ahead."""
    frames = moving(9)
    changed = frames.clone()
    changed[5:] = -changed[5:]
    first, second = (list(upscale(model, some)) for some in (frames, changed))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


@pytest.mark.slow
def test_a_job_goes_on_where_it_was_left(model: MgldModel) -> None:
    frames = moving(10)
    whole = list(upscale(model, frames))
    begun = next(restore(model, frames))
    assert torch.equal(torch.stack(list(begun.frames)), whole[0])
    first = len(whole[0])
    rest = restore(model, frames[first - 1 :], first=first, state=begun.state())
    again = [torch.stack(list(clip.frames)) for clip in rest]
    assert len(again) == len(whole) - 1
    for found, expected in zip(again, whole[1:], strict=True):
        assert torch.equal(found, expected)


@pytest.mark.slow
def test_where_clips_meet_is_no_different_from_inside(model: MgldModel) -> None:
    """Of a still picture under noise that differs from frame to frame, seams would stand out."""
    frames = moving(1).expand(13, -1, -1, -1).contiguous()
    clips = list(upscale(model, frames))
    assert len(clips) >= 4
    found = torch.cat(clips)
    steps = (found[1:] - found[:-1]).abs().mean((1, 2, 3))
    ends, seams = 0, []
    for clip in clips[:-1]:
        ends += len(clip)
        seams.append(ends - 1)
    inside = [k for k in range(3, 9) if k not in seams]
    assert steps[seams[:2]].mean() < 1.5 * steps[inside].mean()


@pytest.mark.slow
def test_the_number_of_tiles_in_a_call_makes_no_difference(model: MgldModel) -> None:
    frames = moving(3, (20, 26))
    # Without guidance: the sign of a difference may turn over on the last bit of it.
    config = replace(CONFIG, sampler=SamplerConfig(motion_scale=0))
    one, many = (torch.cat(list(upscale(model, frames, config, batch=batch))) for batch in (1, 4))
    assert (one - many).abs().max() < 1 / 255  # random networks magnify the last bits


@pytest.mark.slow
def test_when_memory_runs_out_fewer_tiles_are_taken_and_none_is_lost(
    model: MgldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, plain = moving(1, (20, 26)), model.denoise
    config = replace(CONFIG, sampler=SamplerConfig(motion_scale=0, steps=1))
    expected = torch.cat(list(upscale(model, frames, config, batch=1)))

    def scarce(noisy: Tensor, lr: Tensor, t: int) -> Tensor:
        if noisy.shape[0] > 1:
            raise torch.OutOfMemoryError("out of memory")
        return plain(noisy, lr, t)

    monkeypatch.setattr(model, "denoise", scarce)
    events: list[Event] = []
    found = torch.cat(list(upscale(model, frames, config, batch=4, report=events.append)))
    assert torch.equal(found, expected)
    assert [event.code for event in events if isinstance(event, Note)] == ["W_MEMORY_BATCH"] * 2


def test_when_not_even_one_tile_fits_the_user_is_told(
    model: MgldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(model, "denoise", fail)
    with pytest.raises(DeviceError, match="has run out of memory"):
        list(upscale(model, moving(1)))


@pytest.mark.slow
def test_the_shipped_family_does_not_wait_for_the_networks_of_this_one(tmp_path: Path) -> None:
    path = write_tiny_weights(tmp_path / "tiny.safetensors")
    script = (
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from vsr_cli.config import UpscaleConfig\n"
        "from vsr_cli.pipeline.frames import frame_restorer\n"
        "from vsr_cli.pipeline.restorers.registry import ModelFile\n"
        "model = ModelFile(Path(sys.argv[1]))\n"
        "config = UpscaleConfig(device='cpu', dtype='float32')\n"
        "frame_restorer(model, model.resolve(config))(torch.zeros(2, 3, 16, 16))\n"
        "print(*sys.modules)\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "vsr_cli.pipeline.frames" in loaded
    assert [name for name in loaded if "unet_2d" in name or "models.mgld" in name] == []


@pytest.mark.slow
def test_decoding_in_tiles_changes_the_picture_a_little(model: MgldModel) -> None:
    frames = moving(2, (18, 64))
    config = replace(CONFIG, sampler=SamplerConfig(steps=1, motion_scale=0))
    whole, tiled = (
        torch.cat(list(upscale(model, frames, config, tile_size=side))) for side in (None, 28)
    )
    difference = (whole - tiled).abs().mean()
    assert 0 < difference < 0.5 * whole.std()


def test_guidance_pulls_frames_together(model: MgldModel) -> None:
    frames = moving(1, (16, 16)).expand(4, -1, -1, -1).contiguous()

    def flicker(motion_scale: float) -> float:
        config = replace(CONFIG, sampler=SamplerConfig(motion_scale=motion_scale, steps=4))
        found = torch.cat(list(upscale(model, frames, config)))
        return (found[1:] - found[:-1]).abs().mean().item()

    assert flicker(1) < flicker(0)


def test_parity_repeats_its_noise_and_knows_no_neighbouring_segment(model: MgldModel) -> None:
    config = replace(CONFIG, mgld_mode="parity", sampler=SamplerConfig(motion_scale=0, steps=2))
    still = moving(1).expand(7, -1, -1, -1).contiguous()
    first, second = upscale(model, still, config)
    assert (len(first), len(second)) == (5, 2)
    assert torch.equal(second[0], first[0])
    assert torch.equal(second[1], first[4])  # of the last copy of the last frame
    codes = (first + 1) / 2 * 255
    torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_parity_goes_on_at_any_segment(model: MgldModel) -> None:
    config = replace(CONFIG, mgld_mode="parity", sampler=SamplerConfig(motion_scale=0, steps=1))
    frames = moving(9)
    whole = list(upscale(model, frames, config))
    (again,) = restore(model, frames[5:], config, first=5)
    assert torch.equal(torch.stack(list(again.frames)), whole[1])


def test_parity_needs_raft(model: MgldModel) -> None:
    config = replace(CONFIG, mgld_mode="parity")
    with pytest.raises(WeightsError, match="needs RAFT"):
        list(upscale(model, moving(2), config))


def test_the_decoder_sees_features_of_its_own_encoder(tmp_path: Path, model: MgldModel) -> None:
    assert model.feature_encoder is model.encoder
    frames = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    faithful, free = (
        model.decode(torch.zeros(5, 4, 8, 8), model.features(frames), w) for w in (1, 0)
    )
    assert (faithful - free).abs().max() > 1e-2
    assert torch.equal(free, model.decode(torch.zeros(5, 4, 8, 8), (), 0))
