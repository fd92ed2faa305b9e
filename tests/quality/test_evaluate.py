"""Tables of restorers."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import MakeClip
from vsr_cli.errors import InputError
from vsr_cli.events import Event, Progress
from vsr_cli.quality.evaluate import bicubic, evaluate, lanczos, read_clip
from vsr_cli.quality.sheets import compare_clips, contact_sheet, temporal_profile


@pytest.fixture
def folder(make_clip: MakeClip, tmp_path: Path) -> Path:
    clips = tmp_path / "clips"
    clips.mkdir()
    make_clip(clips / "a.mp4", num_frames=3, size=(50, 70))
    make_clip(clips / "b.mkv", num_frames=5, size=(64, 64))
    (clips / "notes.txt").write_text("not a clip")
    return clips


@pytest.mark.parametrize("restorer", [bicubic, lanczos])
def test_a_flat_clip_stays_flat_four_times_as_large(restorer: object) -> None:
    assert callable(restorer)
    flat = torch.tensor([-0.5, 0.0, 0.7])[None, :, None, None].expand(2, 3, 5, 7)
    expected = torch.tensor([-0.5, 0.0, 0.7])[None, :, None, None].expand(2, 3, 20, 28)
    torch.testing.assert_close(restorer(flat), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("restorer", [bicubic, lanczos])
def test_a_ramp_is_continued_at_the_right_places(restorer: object) -> None:
    assert callable(restorer)
    ramp = (torch.arange(12.0) / 12).expand(1, 3, 12, 12)
    wide = ((torch.arange(48.0) + 0.5) / 4 - 0.5) / 12
    torch.testing.assert_close(restorer(ramp)[0, 0, 20, 16:32], wide[16:32], atol=4e-3, rtol=0)


def test_every_clip_level_and_restorer_has_a_row_and_a_share_of_the_mean(folder: Path) -> None:
    def worse(lr_frames: Tensor) -> Tensor:
        return bicubic(lr_frames) * 0.3

    heard: list[Event] = []
    table = evaluate(
        folder,
        {"bicubic": bicubic, "worse": worse},
        ["clean", "mild"],
        num_frames=4,
        report=heard.append,
    )
    keys = [(row.clip, row.degradation, row.restorer) for row in table.rows]
    assert len(set(keys)) == len(keys) == 8
    first, second = table.means()[:2]
    assert (first.restorer, second.restorer) == ("bicubic", "worse")
    assert first.psnr > second.psnr
    psnrs = [r.psnr for r in table.rows if (r.restorer, r.degradation) == ("bicubic", "clean")]
    assert first.psnr == pytest.approx(sum(psnrs) / 2)
    last = heard[-1]
    assert isinstance(last, Progress)
    assert last.frame == last.num_frames


def test_the_tables_hold_every_row_for_people_and_for_programs(folder: Path) -> None:
    table = evaluate(folder, {"bicubic": bicubic}, ["clean"], num_frames=2)
    lines = table.markdown().splitlines()
    assert len({line.count("|") for line in lines if line}) == 1
    assert sum("bicubic" in line for line in lines) == 3
    parsed = json.loads(table.json())
    assert [row["clip"] for row in parsed["clips"]] == ["a", "b"]
    assert parsed["means"][0]["lpips"] is None


def test_the_same_evaluation_gives_the_same_figures(folder: Path) -> None:
    tables = [evaluate(folder, {"b": bicubic}, ["heavy"], num_frames=3) for _ in range(2)]
    first, second = ([(r.psnr, r.tof) for r in table.rows] for table in tables)
    assert first == second


def test_a_clip_is_degraded_alike_whoever_its_neighbours_are(folder: Path) -> None:
    both = evaluate(folder, {"b": bicubic}, ["mild"], num_frames=2)
    (folder / "a.mp4").unlink()
    alone = evaluate(folder, {"b": bicubic}, ["mild"], num_frames=2)
    assert alone.rows[0].psnr == both.rows[1].psnr


def test_a_sheet_is_written_for_each_clip_and_level(folder: Path, tmp_path: Path) -> None:
    evaluate(folder, {"b": bicubic}, ["clean"], num_frames=2, pictures=tmp_path / "sheets")
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert names == ["a_clean.png", "b_clean.png"]


def test_clips_are_cut_to_multiples_of_four(folder: Path) -> None:
    assert read_clip(folder / "a.mp4", 2).shape == (2, 3, 48, 68)


def test_a_restorer_of_the_wrong_size_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        evaluate(folder, {"same": lambda lr_frames: lr_frames}, ["clean"], num_frames=2)


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no videos"):
        evaluate(tmp_path, {"b": bicubic}, ["clean"])


def test_a_single_frame_is_no_clip(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "one.mp4", num_frames=1)
    with pytest.raises(InputError, match="fewer than two"):
        read_clip(clip, 5)


def test_a_profile_shows_one_line_of_every_frame() -> None:
    frames = torch.rand(3, 3, 6, 5)
    profile = temporal_profile(frames, 4)
    assert profile.shape == (3, 24, 5)
    for t in range(3):
        assert torch.equal(profile[:, 8 * t + 7], frames[t, :, 4])


def test_a_sheet_keeps_every_picture_whole() -> None:
    pictures = [torch.rand(3, 4, 5) for _ in range(4)]
    sheet = contact_sheet([pictures[:2], pictures[2:]])
    assert sheet.shape == (3, 4 + 4 + 4, 5 + 4 + 5)
    assert torch.equal(sheet[:, -4:, -5:], pictures[3])


def test_the_part_shown_is_the_liveliest_of_the_truth() -> None:
    truth = torch.zeros(2, 3, 64, 64)
    truth[..., 32:, 32:] = torch.rand(32, 32)
    sheet = compare_clips([truth * 0, truth], side=32)
    assert torch.equal(sheet[:, :32, -32:], truth[1, :, 32:, 32:])
