"""Shards and samples."""

import random
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tests.conftest import MakeClip
from vsr_cli.errors import InputError
from vsr_cli.ops.warp import backward_warp
from vsr_cli.training import scenes
from vsr_cli.training.dataset import (
    SCALE_SHARES,
    ClipDataset,
    Sample,
    _crop,
    read_shards,
    write_shards,
)


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "_POOL", 4)
    monkeypatch.setattr(scenes, "_PICTURE", 96)


@pytest.fixture
def shards(make_clip: MakeClip, tmp_path: Path) -> Path:
    """Two clips of one source, one of another, and a photograph that is a smooth wave."""
    footage = tmp_path / "footage"
    footage.mkdir()
    for name in ("walk_1", "walk_2", "sea"):
        make_clip(footage / f"{name}.mp4", num_frames=6, size=(64, 80))
    y, x = np.mgrid[:128, :128]
    wave = np.sin(x / 10 + y / 14)[..., None] * [60, 40, 50] + 128
    Image.fromarray(wave.astype(np.uint8)).save(footage / "photo_7.png")
    write_shards([footage], tmp_path / "shards")
    return tmp_path / "shards"


CPU = torch.device("cpu")


def sample_of(dataset: ClipDataset, number: int) -> Sample:
    """The sample of a number, of whichever kind it is."""
    if dataset.is_scene(number):
        return dataset.scene(number, CPU)
    return dataset.footage(number)


def same(first: Sample, second: Sample) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_index_knows_sizes_and_sources(shards: Path) -> None:
    found = {s.path.name: (s.source, s.num_frames, s.height, s.width) for s in read_shards(shards)}
    assert found == {
        "footage-walk_1.mp4.npy": ("walk", 6, 64, 80),
        "footage-walk_2.mp4.npy": ("walk", 6, 64, 80),
        "footage-sea.mp4.npy": ("sea", 6, 64, 80),
        "footage-photo_7.png.npy": ("photo_7", 1, 128, 128),
    }


def test_clips_of_one_source_share_its_place_in_the_draw(shards: Path) -> None:
    dataset = ClipDataset(shards, num_frames=2, crop_size=32)
    assert sorted(len(group) for group in dataset.clips) == [1, 2]
    assert len(dataset.stills) == 1


def test_decoding_again_keeps_what_is_there(shards: Path, tmp_path: Path) -> None:
    path = shards / "footage-sea.mp4.npy"
    before = path.stat().st_mtime_ns
    write_shards([tmp_path / "footage"], shards)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("num_frames", [1, 3])
@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)])
def test_samples_have_the_shapes_they_promise(
    shards: Path, num_frames: int, shares: tuple[float, float]
) -> None:
    scene_share, still_share = shares
    dataset = ClipDataset(
        shards,
        num_frames=num_frames,
        crop_size=48,
        scene_share=scene_share,
        still_share=still_share,
    )
    for index in range(4):
        sample = sample_of(dataset, index)
        pairs = num_frames - 1
        assert sample.hr.shape == (num_frames, 3, 48, 48)
        side = 48 // dataset.scale(index)
        assert sample.scale == dataset.scale(index)
        assert sample.lr.shape == (num_frames, 3, side, side)
        assert sample.flow_forward.shape == sample.flow_backward.shape == (pairs, 2, 12, 12)
        assert sample.visible_forward.shape == sample.visible_backward.shape == (pairs, 1, 12, 12)
        assert sample.hr.abs().max() <= 1
        assert sample.lr.abs().max() <= 1


def test_real_footage_claims_no_motion(shards: Path) -> None:
    dataset = ClipDataset(shards, num_frames=3, crop_size=32, scene_share=0, still_share=0)
    sample = dataset.footage(0)
    assert not sample.has_motion
    assert not sample.visible_forward.any()


def test_a_camera_over_a_photograph_moves_as_its_flow_says(shards: Path) -> None:
    dataset = ClipDataset(
        shards,
        num_frames=3,
        crop_size=48,
        level="clean",
        scales={4: 1.0},
        scene_share=0,
        still_share=1,
    )
    moved = 0.0
    for index in range(6):
        sample = dataset.footage(index)
        assert sample.has_motion
        gap = backward_warp(sample.lr[1:], sample.flow_forward) - sample.lr[:-1]
        assert (gap * sample.visible_forward)[..., 1:-1, 1:-1].abs().mean() < 0.03
        moved = max(moved, sample.flow_forward.abs().max().item())
    assert moved > 0.25


def test_a_sample_depends_on_seed_and_number_alone(shards: Path) -> None:
    first, second = (ClipDataset(shards, num_frames=2, crop_size=32) for _ in range(2))
    other = ClipDataset(shards, num_frames=2, crop_size=32, seed=1)
    for index in (0, 1, 5):
        assert same(sample_of(first, index), sample_of(second, index))
        assert not same(sample_of(first, index), sample_of(other, index))
    assert not same(sample_of(first, 0), sample_of(first, 1))


def test_a_batch_has_one_scale_and_scales_have_their_shares(shards: Path) -> None:
    dataset = ClipDataset(shards, num_frames=1, crop_size=32, batch=4)
    scales = [dataset.scale(number) for number in range(4000)]
    assert all(len(set(scales[first : first + 4])) == 1 for first in range(0, 4000, 4))
    shares = [scales.count(scale) / 4000 for scale in SCALE_SHARES]
    assert shares == pytest.approx([*SCALE_SHARES.values()], abs=0.05)


def test_crops_are_lively_where_liveliness_is_asked_for() -> None:
    pixels = np.zeros((1, 64, 2048, 3), np.uint8)
    pixels[:, :, :48:2] = 200  # stripes at the left, nothing elsewhere

    def num_lively(least_detail: float) -> int:
        crops = [_crop(pixels, 32, random.Random(seed), least_detail) for seed in range(100)]
        return sum(bool(crop.diff(dim=-1).abs().max() > 0.5) for crop in crops)

    assert num_lively(10.0) > 2 * num_lively(0.0) > 0


def test_a_manifest_says_what_was_cut_from_one_source(shards: Path, tmp_path: Path) -> None:
    manifest = "file,repo,path\nsea.mp4,one,a.mp4\nphoto_7.png,one,a.mp4\n"
    (tmp_path / "footage" / "manifest.csv").write_text(manifest)
    found = write_shards([tmp_path / "footage"], shards)
    assert sorted(shard.source for shard in found) == ["one/a.mp4", "one/a.mp4", "walk", "walk"]


def test_a_later_start_goes_on_where_another_run_ended(shards: Path) -> None:
    whole = ClipDataset(shards, num_frames=1, crop_size=32)
    rest = ClipDataset(shards, num_frames=1, crop_size=32, start=3)
    later = islice(whole.complete(whole, CPU), 3, 5)
    assert all(same(*pair) for pair in zip(later, rest.complete(rest, CPU), strict=False))


@pytest.mark.parametrize("scene_share", [0.0, 0.5, 1.0])
def test_batches_hold_scenes_and_footage_in_the_order_of_their_numbers(
    shards: Path, scene_share: float
) -> None:
    dataset = ClipDataset(shards, num_frames=2, crop_size=32, scene_share=scene_share, batch=3)
    loader = DataLoader(dataset, batch_size=None, num_workers=2)
    kinds = set()
    for turn, batch in enumerate(islice(dataset.complete(loader, CPU), 4)):
        assert batch.hr.shape == (3, 2, 3, 32, 32)
        for place in range(3):
            number = 3 * turn + place
            kinds.add(dataset.is_scene(number))
            assert same(Sample(*(x[place] for x in batch)), sample_of(dataset, number))
    assert kinds == {0.0: {False}, 0.5: {False, True}, 1.0: {True}}[scene_share]


def test_processes_that_train_together_take_batches_in_turn(shards: Path) -> None:
    alone = ClipDataset(shards, num_frames=2, crop_size=32, batch=2)
    together = [
        ClipDataset(shards, num_frames=2, crop_size=32, batch=2, rank=rank, num_ranks=2)
        for rank in range(2)
    ]
    taken = [[drawn.first for drawn in islice(dataset, 2)] for dataset in together]
    assert taken == [[0, 4], [2, 6]]
    second = next(together[1].complete(together[1], CPU))
    assert same(second, next(islice(alone.complete(alone, CPU), 1, None)))


def test_folders_without_footage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no videos or images"):
        write_shards([tmp_path], tmp_path / "out")


def test_folders_without_an_index_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training data"):
        ClipDataset(tmp_path, num_frames=1, crop_size=32)


def test_crops_larger_than_all_footage_are_refused(shards: Path) -> None:
    with pytest.raises(InputError, match="256x256"):
        ClipDataset(shards, num_frames=1, crop_size=256)


@pytest.mark.parametrize("crop_size", [0, 24])
def test_crops_that_are_no_multiple_of_16_are_refused(shards: Path, crop_size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        ClipDataset(shards, num_frames=1, crop_size=crop_size)
