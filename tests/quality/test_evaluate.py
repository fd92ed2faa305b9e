"""Tables of restorers."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import MakeClip
from tests.quality.files import write_pictures
from vsr_cli.events import Event, Progress
from vsr_cli.quality.baselines import bicubic, sharpen
from vsr_cli.quality.cases import Results, plan_degraded
from vsr_cli.quality.clips import read_footage, to_codes
from vsr_cli.quality.degrade import Level
from vsr_cli.quality.evaluate import Evaluation, Restorer, evaluate, unaided
from vsr_cli.quality.sheets import compare_clips, contact_sheet, label, temporal_profile
from vsr_cli.quality.table import Settings, Table


@pytest.fixture
def folder(make_clip: MakeClip, tmp_path: Path) -> Path:
    clips = tmp_path / "clips"
    clips.mkdir()
    make_clip(clips / "a.mp4", num_frames=3, size=(50, 70))
    make_clip(clips / "b.mkv", num_frames=5, size=(64, 64))
    (clips / "notes.txt").write_text("not a clip")
    return clips


def measure(
    folder: Path, restorers: dict[str, Restorer], levels: list[Level], num_frames: int
) -> Table:
    return evaluate(
        plan_degraded(folder, levels, num_frames, scale=4), Evaluation(restorers=restorers)
    )


FOURFOLD = unaided(partial(bicubic, scale=4))


def distance(first: Tensor, second: Tensor) -> Tensor:
    """A stand-in for LPIPS."""
    return (first - second).abs().flatten(1).mean(dim=1)


def test_every_clip_level_and_restorer_has_a_row_and_a_share_of_the_mean(folder: Path) -> None:
    def worse(lr_frames: Tensor, hr_frames: Tensor) -> Tensor:
        return bicubic(lr_frames, 4) * 0.3

    heard: list[Event] = []
    table = evaluate(
        plan_degraded(folder, ["clean", "mild"], 4, scale=4),
        Evaluation(restorers={"bicubic": FOURFOLD, "worse": worse}),
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
    assert last.frame == last.num_frames == 2 * 2 * (3 + 4)  # the first clip is shorter


def test_the_tables_hold_every_row_for_people_and_for_programs(folder: Path) -> None:
    table = measure(folder, {"bicubic": FOURFOLD}, ["clean"], 2)
    lines = table.markdown().splitlines()
    assert len({line.count("|") for line in lines if line}) == 1
    assert sum("bicubic" in line for line in lines) == 3
    parsed = json.loads(table.json())
    assert [row["clip"] for row in parsed["clips"]] == ["a", "b"]
    assert parsed["means"][0]["lpips"] is None


def test_a_mesh_is_told_of_frames_that_are_large_enough(folder: Path) -> None:
    def meshed(lr_frames: Tensor, hr_frames: Tensor) -> Tensor:
        frames = bicubic(lr_frames, 4)
        frames[..., 1::4, 1::4] += 0.3
        return frames

    table = measure(folder, {"bicubic": FOURFOLD, "meshed": meshed}, ["clean"], 2)
    small, _, plain, found = table.rows
    assert (small.clip, small.lattice, small.true_lattice) == ("a", None, None)
    assert plain.lattice is not None
    assert found.lattice is not None
    assert found.lattice > plain.lattice + 10
    assert found.true_lattice == plain.true_lattice != found.lattice
    assert f"| {found.lattice:.1f} ({found.true_lattice:.1f}) |" in table.markdown()


def test_the_same_evaluation_gives_the_same_figures(folder: Path) -> None:
    tables = [measure(folder, {"b": FOURFOLD}, ["heavy"], 3) for _ in range(2)]
    first, second = ([(r.psnr, r.tof) for r in table.rows] for table in tables)
    assert first == second


def test_a_clip_is_degraded_alike_whoever_its_neighbours_are(folder: Path) -> None:
    both = measure(folder, {"b": FOURFOLD}, ["mild"], 2)
    (folder / "a.mp4").unlink()
    alone = measure(folder, {"b": FOURFOLD}, ["mild"], 2)
    assert alone.rows[0].psnr == both.rows[1].psnr


def test_a_sheet_is_written_for_each_clip_and_level(folder: Path, tmp_path: Path) -> None:
    cases = plan_degraded(folder, ["clean"], 2, scale=4)
    (tmp_path / "sheets").mkdir()
    evaluate(cases, Evaluation(restorers={"b": FOURFOLD}), pictures=tmp_path / "sheets")
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert names == ["a_clean.png", "b_clean.png"]


def test_a_restorer_of_the_wrong_size_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        measure(folder, {"same": unaided(lambda lr_frames: lr_frames)}, ["clean"], 2)


def test_settings_are_those_of_each_row_and_what_is_common_in_the_means(folder: Path) -> None:
    evaluation = Evaluation(
        restorers={"b": FOURFOLD, "m": FOURFOLD}, settings={"m": Settings(steps=4, device="cpu")}
    )
    table = evaluate(plan_degraded(folder, ["clean"], 4, scale=4), evaluation, seed=7)
    parsed = json.loads(table.json())
    assert [row["settings"] for row in parsed["clips"]] == [
        {"frames": 3, "seed": 7, "scale": 4},
        {"frames": 3, "seed": 7, "scale": 4, "steps": 4, "device": "cpu"},
        {"frames": 4, "seed": 7, "scale": 4},
        {"frames": 4, "seed": 7, "scale": 4, "steps": 4, "device": "cpu"},
    ]
    assert [row["settings"] for row in parsed["means"]] == [
        {"seed": 7, "scale": 4},
        {"seed": 7, "scale": 4, "steps": 4, "device": "cpu"},
    ]


def test_sharpening_is_as_good_as_the_restorer_it_is_matched_with(folder: Path) -> None:
    def sharp(lr_frames: Tensor, hr_frames: Tensor) -> Tensor:
        return sharpen(lr_frames, 4, 1.5)

    table = evaluate(
        plan_degraded(folder, ["clean"], 3, scale=4),
        Evaluation(restorers={"b": FOURFOLD, "sharp": sharp}, sharpen_like="sharp"),
        lpips=distance,
    )
    rows = {row.restorer: row for row in table.rows if row.clip == "b"}
    assert list(rows) == ["b", "sharp", "sharpen"]
    assert rows["sharpen"].settings.amount == 1.5
    assert rows["sharpen"].psnr == pytest.approx(rows["sharp"].psnr)
    with pytest.raises(ValueError, match="expected LPIPS"):
        evaluate(
            plan_degraded(folder, ["clean"], 3, scale=4),
            Evaluation(restorers={"b": FOURFOLD}, sharpen_like="b"),
        )


def test_results_of_others_are_judged_like_restorers_but_have_no_time(
    folder: Path, tmp_path: Path
) -> None:
    cases = plan_degraded(folder, ["mild"], 3, scale=4)
    other = tmp_path / "other"
    for case in cases:
        frames = to_codes(bicubic(case.lr_frames(case.truth(read_footage(case.source, 3)), 5), 4))
        write_pictures(other / case.name, frames)
    table = evaluate(
        cases,
        Evaluation(restorers={"b": FOURFOLD}, results={"other": Results(other, cases)}),
        seed=5,
    )
    ours, theirs = table.rows[:2]
    assert (theirs.restorer, theirs.seconds, theirs.settings.folder) == ("other", None, str(other))
    assert (theirs.psnr, theirs.tof) == pytest.approx((ours.psnr, ours.tof))
    assert table.means()[1].seconds is None
    assert table.markdown().splitlines()[3].endswith("| - |")


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
    sheet = compare_clips({"grey": truth * 0, "truth": truth}, side=32)
    top = label("", 32).shape[1] + 4
    assert torch.equal(sheet[:, top : top + 32, -32:], truth[1, :, 32:, 32:])


def test_every_column_of_a_sheet_has_its_name_above_it() -> None:
    truth = torch.rand(2, 3, 64, 80)
    sheet = compare_clips({"small@4": truth, "truth": truth}, side=64)
    height = label("", 64).shape[1]
    assert torch.equal(sheet[:, :height, :64], label("small@4", 64))
    assert torch.equal(sheet[:, :height, -64:], label("truth", 64))
    assert (label("small@4", 64) < 0).any()  # dark on white
    assert (label("", 64) == 1).all()
    assert not torch.equal(label("small@4", 64), label("small@5", 64))


@pytest.mark.parametrize("scale", [1, 2])
def test_clips_are_degraded_and_judged_at_their_scale(folder: Path, scale: int) -> None:
    cases = plan_degraded(folder, ["mild"], 3, scale=scale)
    seen: list[tuple[torch.Size, torch.Size]] = []

    def enlarge(lr_frames: Tensor, hr_frames: Tensor) -> Tensor:
        seen.append((lr_frames.shape, hr_frames.shape))
        return bicubic(lr_frames, scale)

    table = evaluate(cases, Evaluation(restorers={"b": enlarge}))
    assert [row.settings.scale for row in table.rows] == [scale, scale]
    for small, large in seen:
        assert large[-2:] == (small[-2] * scale, small[-1] * scale)


def test_what_looks_for_faults_is_given_the_truth(folder: Path) -> None:
    cases = plan_degraded(folder, ["heavy"], 3, scale=4)
    table = evaluate(cases, Evaluation(restorers={"oracle": lambda _, hr_frames: hr_frames}))
    assert all(row.psnr > 50 for row in table.rows)
