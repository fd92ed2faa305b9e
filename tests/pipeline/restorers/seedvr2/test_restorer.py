"""SeedVR2 in the pipeline, on the real networks at reduced width."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.models.seedvr2.published import write_published
from tests.models.seedvr2.tiny import TINY
from vsr_cli.config import ClipConfig, SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import ignore
from vsr_cli.models.seedvr2.autoencoder import Stream
from vsr_cli.models.seedvr2.convert import import_seedvr2
from vsr_cli.models.seedvr2.model import SeedVr2Model
from vsr_cli.ops.shots import is_cut
from vsr_cli.pipeline.clips import Clip, ClipState, RestoredClip, RgbFrame
from vsr_cli.pipeline.frames import restore_frames
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.restorers.seedvr2 import restorer as seedvr2
from vsr_cli.pipeline.restorers.seedvr2.memory import SeedVr2RunPlan
from vsr_cli.pipeline.restorers.seedvr2.restorer import SeedVr2Restorer, _fade, num_latents

CONFIG = UpscaleConfig(
    device="cpu", dtype="float32", scene_cut=False, scale=Fraction(2), clip=ClipConfig(length=9)
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    folder = tmp_path_factory.mktemp("published")
    *paths, text = write_published(folder)
    done = import_seedvr2(paths, folder / "m.safetensors", text=text, config=TINY)
    return ModelFile(done.path)


def moving(num_frames: int, size: tuple[int, int] = (12, 18), seed: int = 0) -> Tensor:
    """(T, 3, H, W): a texture that moves to the left by a pixel a frame."""
    coarse = torch.rand(1, 3, 6, 12, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    whole = torch.nn.functional.interpolate(coarse, size=(size[0], size[1] + num_frames))[0]
    return torch.stack([whole[..., k : k + size[1]] for k in range(num_frames)])


def restore(
    file: ModelFile,
    frames: Tensor,
    config: UpscaleConfig = CONFIG,
    *,
    first: int = 0,
    state: ClipState | None = None,
    offload: bool = False,
    tile_size: int | None = None,
    clip_length: int | None = None,
) -> Iterator[RestoredClip]:
    """Clip after clip."""
    config = file.resolve(config)
    run_plan = file.plan(config, (frames.shape[-2], frames.shape[-1]))
    assert isinstance(run_plan, SeedVr2RunPlan)
    run_plan = replace(
        run_plan,
        offload=offload,
        tile_size=tile_size,
        clip_length=clip_length or run_plan.clip_length,
    )
    restorer = file.family.restorer(file.family.load(file.path), config, run_plan, ignore)
    if state is not None:
        state = restorer.read_state(state.tensors())
    rgb = map(RgbFrame, frames)
    yield from restore_frames(rgb, restorer, scene_cut=config.scene_cut, first=first, state=state)


def upscale(
    file: ModelFile,
    frames: Tensor,
    config: UpscaleConfig = CONFIG,
    *,
    offload: bool = False,
    tile_size: int | None = None,
) -> list[Tensor]:
    """SR frames, clip by clip."""
    clips = restore(file, frames, config, offload=offload, tile_size=tile_size)
    return [torch.stack([frame.clone() for frame in clip.frames]) for clip in clips]


@pytest.mark.parametrize("num_frames", [1, 2, 5, 6, 9, 10, 14])
def test_every_frame_comes_out_once_at_the_size_of_the_target(
    file: ModelFile, num_frames: int
) -> None:
    found = torch.cat(upscale(file, moving(num_frames)))
    assert found.shape == (num_frames, 3, 24, 36)
    assert found.isfinite().all()
    assert found.std() > 0.05


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 16), (17, 33)])
@pytest.mark.parametrize("scale", [Fraction(1), Fraction(5, 2), Fraction(4)])
def test_small_and_odd_sizes_work(file: ModelFile, size: tuple[int, int], scale: Fraction) -> None:
    config = replace(CONFIG, scale=scale)
    found = torch.cat(upscale(file, moving(2, size), config))
    assert found.shape == (2, 3, *config.target_size(*size))


def test_the_same_job_gives_the_same_frames_and_another_seed_or_step_others(
    file: ModelFile,
) -> None:
    frames = moving(6)
    first, again, seed, steps = (
        torch.cat(upscale(file, frames, replace(CONFIG, sampler=sampler)))
        for sampler in (
            SamplerConfig(),
            SamplerConfig(),
            SamplerConfig(seed=1),
            SamplerConfig(steps=2),
        )
    )
    assert torch.equal(first, again)
    assert (first - seed).abs().max() > 1e-2
    assert (first - steps).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("num_done", [1, 2])
def test_a_job_goes_on_where_it_was_left(file: ModelFile, num_done: int) -> None:
    frames = moving(20)
    whole = upscale(file, frames)
    assert len(whole) >= 4
    clips = restore(file, frames)
    state, first = None, 0
    for _ in range(num_done):
        clip = next(clips)
        first += sum(1 for _ in clip.frames)
        state = clip.state()
    assert state is not None
    rest = restore(file, frames[first - 5 :], first=first, state=state)
    again = [torch.stack(list(clip.frames)) for clip in rest]
    assert [len(clip) for clip in again] == [len(clip) for clip in whole[num_done:]]
    for found, expected in zip(again, whole[num_done:], strict=True):
        assert torch.equal(found, expected)


@pytest.mark.slow
def test_a_job_goes_on_with_shorter_clips_where_memory_had_run_out(file: ModelFile) -> None:
    frames, config = moving(30), replace(CONFIG, clip=ClipConfig(length=17))
    begun = next(restore(file, frames, config))
    first = sum(1 for _ in begun.frames)
    rest = restore(
        file, frames[first - 5 :], config, first=first, state=begun.state(), clip_length=9
    )
    found = [frame.clone() for clip in rest for frame in clip.frames]
    assert first + len(found) == 30
    whole = torch.cat(upscale(file, frames, config))
    assert (torch.stack(found) - whole[first:]).abs().mean() < 0.5 * whole.std()


@pytest.mark.slow
def test_shots_know_nothing_of_each_other(file: ModelFile) -> None:
    frames = torch.cat((moving(11, (36, 64)), moving(11, (36, 64), seed=1)))
    assert is_cut(frames[10], frames[11])
    config = replace(CONFIG, scene_cut=True)
    both = torch.cat(upscale(file, frames, config))
    changed = frames.clone()
    changed[:11] = changed[:11].flip(0)
    others = torch.cat(upscale(file, changed, config))
    assert torch.equal(both[11:], others[11:])
    assert not torch.equal(both[:11], others[:11])
    alone = torch.cat(upscale(file, frames[:11], config))
    assert torch.equal(both[:11], alone)


def test_where_clips_meet_is_no_different_from_inside(file: ModelFile) -> None:
    """Of a still picture, seams would stand out."""
    frames = moving(1).expand(41, -1, -1, -1).contiguous()
    for length in (9, 17):
        clips = upscale(file, frames, replace(CONFIG, clip=ClipConfig(length=length)))
        found = torch.cat(clips)
        steps = (found[1:] - found[:-1]).abs().mean((1, 2, 3))
        ends = torch.tensor([len(clip) for clip in clips[:-1]]).cumsum(0) - 1
        inside = [k for k in range(4, 40) if k not in ends.tolist()]
        assert steps[ends].mean() < 1.1 * steps[inside].mean()


def test_noise_belongs_to_frames_and_not_to_clips(file: ModelFile) -> None:
    """The latents that neighbours share differ by what they see, not by what they draw."""
    frames = moving(1).expand(21, -1, -1, -1).contiguous()
    config = replace(CONFIG, clip=ClipConfig(length=21))
    long = torch.cat(upscale(file, frames, config))
    short = torch.cat(upscale(file, frames, replace(CONFIG, clip=ClipConfig(length=17))))
    other = torch.cat(upscale(file, frames, replace(config, sampler=SamplerConfig(seed=1))))
    assert (long - short).abs().mean() < 0.3 * (long - other).abs().mean()


def test_frames_are_decoded_as_if_there_were_no_clips(file: ModelFile) -> None:
    model = file.family.load(file.path)
    assert isinstance(model, SeedVr2Model)
    config = replace(file.resolve(CONFIG), color="none")
    run_plan = file.plan(config, (12, 18))
    restorer = file.family.restorer(model, config, run_plan, ignore)
    assert isinstance(restorer, SeedVr2Restorer)
    latents = torch.randn(7, 16, 4, 6, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = torch.stack(list(model.decode(latents, Stream())))[..., :24, :36].clamp(-1, 1)
    found, state, start = list[Tensor](), None, 0
    for fresh in latents.split((3, 2, 2)):
        count = 4 * len(fresh) - 3 * (start == 0)
        clip = Clip(start, torch.zeros(count, 3, 12, 18), 0)
        state, frames = restorer._decode(clip, fresh, state)
        found, start = [*found, *frames], start + count
    assert torch.equal(torch.stack(found), whole)


@pytest.mark.slow
@pytest.mark.parametrize("num_done", [1, 2, 3])
def test_a_stream_that_begins_anew_now_and_then_goes_on_exactly_too(
    file: ModelFile, num_done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seedvr2, "LONGEST_STREAM", 5)
    monkeypatch.setattr(seedvr2, "CONTEXT", 2)
    test_a_job_goes_on_where_it_was_left(file, num_done)


def test_latents_fade_from_one_clip_into_the_next() -> None:
    def clip(start: int) -> Clip:
        return Clip(start, torch.zeros(13, 3, 1, 1), 9 if start else 0)

    own, ahead = torch.zeros(4, 16, 1, 1), torch.ones(4, 16, 1, 1)
    faded = _fade(own, ahead, clip(0), clip(4))
    assert faded[:, 0, 0, 0].tolist() == [0, 0, 0.25, 0.75]
    assert [num_latents(n) for n in (0, 1, 2, 5, 6, 9)] == [0, 1, 2, 2, 3, 3]


def test_what_waits_in_memory_and_how_often_it_is_used_make_no_difference(
    file: ModelFile,
) -> None:
    frames = moving(10)
    whole, waiting = (torch.cat(upscale(file, frames, offload=it)) for it in (False, True))
    assert torch.equal(whole, waiting)
    model = file.family.load(file.path)
    assert isinstance(model, SeedVr2Model)
    config = file.resolve(CONFIG)
    run_plan = file.plan(config, (12, 18))
    assert isinstance(run_plan, SeedVr2RunPlan)
    for offload in (True, False, True):  # the same model for one source after the other
        plan = replace(run_plan, offload=offload)
        restorer = file.family.restorer(model, config, plan, ignore)
        clips = restore_frames(map(RgbFrame, frames), restorer, scene_cut=False)
        found = torch.stack([frame.clone() for clip in clips for frame in clip.frames])
        assert torch.equal(found, whole)


def test_decoding_in_tiles_changes_the_picture_a_little(file: ModelFile) -> None:
    frames = moving(6, (20, 160))
    whole, tiled = (torch.cat(upscale(file, frames, tile_size=side)) for side in (None, 24))
    difference = (whole - tiled).abs().mean()
    assert 0 < difference < 0.5 * whole.std()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"sampler": SamplerConfig(motion_scale=2)}, "--motion-scale"),
        ({"sampler": SamplerConfig(guidance="paper")}, "--guidance"),
        ({"memory": "off"}, "--memory"),
        ({"mgld_mode": "parity"}, "--mgld-mode"),
        ({"flow": "dis"}, "--flow"),
        ({"flow_weights": Path("raft.pth")}, "--flow-weights"),
        ({"fidelity": 0.5}, "--fidelity"),
        ({"compile": True}, "--compile"),
        ({"supersample": True}, "--supersample"),
    ],
)
def test_options_that_mean_nothing_here_are_refused_with_a_reason(
    file: ModelFile, changes: dict[str, object], name: str
) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` means nothing") as error:
        file.resolve(replace(CONFIG, **changes))  # type: ignore[arg-type]
    assert error.value.why


def test_the_header_tells_what_is_planned(file: ModelFile) -> None:
    assert (file.info.family, file.info.default_steps) == ("seedvr2", 1)
    config = file.resolve(UpscaleConfig(device="cpu"))
    assert (config.sampler.steps, config.sampler.motion_scale) == (1, 0)
    lengths = [
        file.plan(replace(config, clip=ClipConfig(length=n)), (16, 16)).clip_length
        for n in (8, 2, 9, 10, 33)
    ]
    assert lengths == [45, 9, 9, 13, 33]
    assert len(file.family.describe_memory(file.path)) == 3
