"""Frames restored region by region: everything is covered, handed on, and hardly differs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.networks import tiny_model
from tests.pipeline.runs import restore
from vsr_cli.config import ClipConfig, SamplerConfig, UpscaleConfig
from vsr_cli.events import ignore
from vsr_cli.models.small.model import SmallModel
from vsr_cli.pipeline.clips import ClipState, RgbFrame
from vsr_cli.pipeline.frames import restore_frames
from vsr_cli.pipeline.restorers.small import restorer
from vsr_cli.pipeline.restorers.small.regions import Regions, cut, plan_regions, within
from vsr_cli.pipeline.restorers.small.restorer import SmallRestorer
from vsr_cli.pipeline.restorers.small.storage import Shape, Storage
from vsr_cli.pipeline.run_plan import RunPlan

CPU = torch.device("cpu")
CONFIG = UpscaleConfig(
    scene_cut=False, sampler=SamplerConfig(steps=2), clip=ClipConfig(length=3, overlap=1)
)


@pytest.fixture(scope="module")
def model() -> SmallModel:
    return tiny_model()


def plan(side: int | None, *, folder: Path | None = None) -> RunPlan:
    return RunPlan(
        CPU, torch.float32, 3, side, (), is_state_on_disk=folder is not None, scratch=folder
    )


def moving(num_frames: int) -> list[Tensor]:
    texture = torch.rand(3, 90, 130 + 2 * num_frames, generator=torch.Generator().manual_seed(3))
    texture = torch.nn.functional.avg_pool2d(texture[None], 5, 1, 2)[0] * 2 - 1
    return [texture[:, :, 2 * k : 2 * k + 130] for k in range(num_frames)]


def run(
    model: SmallModel,
    frames: Iterable[Tensor],
    run_plan: RunPlan,
    *,
    first: int = 0,
    state: ClipState | None = None,
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """All frames, and copies of the state after each clip."""
    restorer = SmallRestorer(model, CONFIG, run_plan, ignore)
    found: list[Tensor] = []
    states: list[dict[str, Tensor]] = []
    rgb = map(RgbFrame, frames)
    for clip in restore_frames(rgb, restorer, scene_cut=False, first=first, state=state):
        found += list(clip.frames)
        after = clip.state()
        assert after is not None
        states.append({name: x.clone() for name, x in after.tensors().items()})
    return torch.stack(found), states


@pytest.mark.parametrize("size", [(45, 65), (16, 100), (33, 32), (7, 9)])
@pytest.mark.parametrize("side", [16, 32, None])
def test_every_place_of_every_grid_is_the_core_of_one_region(
    size: tuple[int, int], side: int | None
) -> None:
    regions = plan_regions(size, side, 8, 4)
    counts = [torch.zeros(size) for size in (*regions.level_sizes, regions.body_size)]
    for region in regions.all:
        for count, core, area in zip(
            counts,
            (*region.core_levels, region.core_body),
            (*region.levels, region.body),
            strict=True,
        ):
            cut(count, core).add_(1)
            rows, columns = within(core, area)
            assert rows.start >= 0
            assert rows.stop <= area[0].size
            assert columns.stop <= area[1].size
    assert all(bool((count == 1).all()) for count in counts)
    assert regions.is_whole == (side is None or side >= max(size))


def test_a_core_lies_as_far_within_its_region_on_either_side() -> None:
    regions = plan_regions((64, 200), 32, 16, 4)
    for region in regions.all:
        for core, area, end in zip(
            region.core_levels[0], region.latents, regions.level_sizes[0], strict=True
        ):
            assert core.start - area.start >= (8 if area.start else 0)
            assert area.stop - core.stop >= (8 if area.stop < end else 0)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_region_is_the_same_place_on_every_grid(scale: int) -> None:
    regions: Regions = plan_regions((45, 65), 24, 8, scale)
    for region in regions.all:
        for latents, body, source, output in zip(
            region.latents, region.body, region.source, region.output, strict=True
        ):
            assert 2 * latents.start == body.start
            assert 4 * body.start == output.start == scale * source.start
            assert 8 * latents.size == 4 * body.size == output.size == scale * source.size


@pytest.mark.slow
def test_regions_change_the_picture_by_less_than_one_code(model: SmallModel) -> None:
    frames = moving(6)
    whole = restore(model, frames, CONFIG, plan(None))
    tiled = restore(model, frames, CONFIG, plan(32))
    assert whole.shape == tiled.shape
    assert 0 < (whole - tiled).abs().mean() * 127.5 < 1


@pytest.mark.slow
def test_frames_merged_on_disk_are_the_same(
    model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path | None] = []

    def made(shapes: Mapping[str, Shape], folder: Path | None) -> Storage:
        folders.append(folder)
        return Storage(shapes, folder)

    monkeypatch.setattr(restorer, "Storage", made)
    frames, on_disk = moving(6), plan(32, folder=tmp_path)
    expected = restore(model, frames, CONFIG, plan(32))
    found = restore(model, frames, CONFIG, replace(on_disk, is_out_of_core=True))
    assert torch.equal(found, expected)
    assert set(folders) == {None, tmp_path}
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_shot_goes_on_from_a_checkpoint_bit_by_bit(model: SmallModel) -> None:
    frames = moving(7)
    whole, states = run(model, frames, plan(32))
    # Clips hold three frames and share one: after two of them, five frames are done.
    restorer = SmallRestorer(model, CONFIG, plan(32), ignore)
    rest, _ = run(model, frames[4:], plan(32), first=5, state=restorer.read_state(states[1]))
    assert torch.equal(rest, whole[5:])


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(32, 24), (32, None), (None, 32)])
def test_other_regions_go_on_from_the_same_state(
    model: SmallModel, before: int | None, after: int | None
) -> None:
    frames = moving(7)
    whole, states = run(model, frames, plan(before))
    restorer = SmallRestorer(model, CONFIG, plan(after), ignore)
    state = restorer.read_state(states[1])
    rest, _ = run(model, frames[4:], plan(after), first=5, state=state)
    assert (rest - whole[5:]).abs().mean() * 127.5 < 1
    forgotten, _ = run(model, frames[5:], plan(after))
    assert (forgotten - whole[5:]).abs().mean() > 3 * (rest - whole[5:]).abs().mean()


@pytest.mark.slow
def test_on_disk_states_are_the_same_and_leave_no_file(model: SmallModel, tmp_path: Path) -> None:
    frames = moving(5)
    in_memory, kept = run(model, frames, plan(32))
    on_disk, states = run(model, frames, plan(32, folder=tmp_path))
    assert torch.equal(in_memory, on_disk)
    for expected, found in zip(kept, states, strict=True):
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[name], x) for name, x in expected.items())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_a_region_has_one_piece_of_memory_for_each_row_of_a_state(
    model: SmallModel, tmp_path: Path, is_on_disk: bool
) -> None:
    restorer = SmallRestorer(
        model, CONFIG, plan(32, folder=tmp_path if is_on_disk else None), ignore
    )
    clips = restore_frames(map(RgbFrame, moving(3)), restorer, scene_cut=False)
    for clip in clips:
        assert len(list(clip.frames)) > 0
        state = clip.state()
        assert state is not None
        assert all(x.movedim(-3, -1).is_contiguous() for x in state.tensors().values())


def test_the_number_of_threads_changes_no_bit(model: SmallModel) -> None:
    found = []
    before = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(restore(model, moving(4), CONFIG, plan(None)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
