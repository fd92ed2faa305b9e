"""Where the inputs of an evaluation come from, and the results of other tools."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import MakeClip
from tests.quality.files import write_pictures
from vsr_cli.errors import InputError, OutputError
from vsr_cli.events import Event, Note
from vsr_cli.quality.cases import Case, Results, plan_degraded, plan_given, write_inputs
from vsr_cli.quality.clips import Pictures, read_footage


@pytest.fixture
def folder(make_clip: MakeClip, tmp_path: Path) -> Path:
    clips = tmp_path / "clips"
    clips.mkdir()
    make_clip(clips / "walk.mp4", num_frames=3, size=(50, 70))
    make_clip(clips / "walk_fast.mkv", num_frames=5, size=(64, 64))
    (clips / "notes.txt").write_text("not a clip")
    return clips


def inputs(cases: list[Case], seed: int = 0) -> dict[str, Tensor]:
    return {
        case.name: case.lr_frames(case.truth(read_footage(case.source, 9)), seed) for case in cases
    }


def test_the_truth_is_cut_to_four_times_the_input(folder: Path) -> None:
    first, second = plan_degraded(folder, ["clean"], 4, scale=4)
    assert (first.name, first.num_frames, first.lr_size) == ("walk_clean", 3, (12, 17))
    assert (second.name, second.num_frames, second.lr_size) == ("walk_fast_clean", 4, (16, 16))
    footage = read_footage(first.source, 9)
    truth = first.truth(footage)
    assert truth.shape == (3, 3, 48, 68)
    assert torch.equal(truth, footage.frames[..., :48, :68])


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no videos"):
        plan_degraded(tmp_path, ["clean"], 4, scale=4)
    with pytest.raises(InputError, match="is no folder"):
        plan_degraded(tmp_path / "none", ["clean"], 4, scale=4)


def test_a_single_frame_is_no_clip(make_clip: MakeClip, tmp_path: Path) -> None:
    make_clip(tmp_path / "one.mp4", num_frames=1)
    with pytest.raises(InputError, match="fewer than two"):
        plan_degraded(tmp_path, ["clean"], 5, scale=4)


def test_two_clips_of_one_name_are_refused(folder: Path, make_clip: MakeClip) -> None:
    make_clip(folder / "walk.mkv")
    with pytest.raises(InputError, match="two clips `walk`"):
        plan_degraded(folder, ["clean"], 5, scale=4)


def test_written_inputs_are_read_back_as_they_were_made(folder: Path, tmp_path: Path) -> None:
    made = plan_degraded(folder, ["clean", "heavy"], 4, scale=4)
    (tmp_path / "lr").mkdir()
    write_inputs(made, tmp_path / "lr", 6, overwrite=False)
    given = plan_given(folder, tmp_path / "lr", 4, scale=4)
    assert {(case.name, case.num_frames, case.lr_size) for case in given} == {
        (case.name, case.num_frames, case.lr_size) for case in made
    }
    expected, found = inputs(made, 6), inputs(given)
    for name, lr_frames in expected.items():
        torch.testing.assert_close(found[name], lr_frames, atol=1e-6, rtol=0)


def test_inputs_that_exist_are_kept_and_then_nothing_is_written(
    folder: Path, tmp_path: Path
) -> None:
    cases = plan_degraded(folder, ["clean"], 2, scale=4)
    there = tmp_path / "walk_fast_clean.mkv"
    there.write_text("mine")
    with pytest.raises(OutputError, match=r"walk_fast_clean\.mkv` exists"):
        write_inputs(cases, tmp_path, 0, overwrite=False)
    assert there.read_text() == "mine"
    assert not (tmp_path / "walk_clean.mkv").exists()
    write_inputs(cases, tmp_path, 0, overwrite=True)
    assert len(list(Pictures(there))) == 2


def test_given_inputs_name_the_degradation_and_belong_to_the_longest_clip_name(
    folder: Path, make_clip: MakeClip, tmp_path: Path
) -> None:
    lr = tmp_path / "lr"
    lr.mkdir()
    for name, size in (
        ("walk_real_low", (12, 17)),
        ("walk_bicubic", (11, 17)),
        ("walk_fast_real_low", (16, 16)),
        ("other_real_low", (16, 16)),
    ):
        make_clip(lr / f"{name}.mkv", num_frames=4, size=size, codec="ffv1", pix_fmt="bgr0")
    cases = plan_given(folder, lr, 9, scale=4)
    # The truth of `walk` has 3 frames, the inputs have 4.
    assert [(c.clip, c.degradation, c.num_frames, c.lr_size) for c in cases] == [
        ("walk", "bicubic", 3, (11, 17)),
        ("walk", "real", 3, (12, 17)),
        ("walk_fast", "real", 4, (16, 16)),
    ]
    assert cases[0].truth(read_footage(cases[0].source, 9)).shape == (3, 3, 44, 68)
    heard: list[Event] = []
    assert len(plan_given(folder, lr, 9, only=["bicubic"], report=heard.append, scale=4)) == 1
    (note,) = heard
    assert isinstance(note, Note)
    assert "`walk_fast.mkv` is left out" in note.text
    with pytest.raises(InputError, match="holds no input") as caught:
        plan_given(folder, lr, 9, only=["heavy"], scale=4)
    assert "`heavy`" in str(caught.value.hint)


def test_inputs_that_do_not_fit_their_truth_are_refused(
    folder: Path, make_clip: MakeClip, tmp_path: Path
) -> None:
    make_clip(tmp_path / "walk_half.mkv", size=(24, 35), codec="ffv1", pix_fmt="bgr0")
    with pytest.raises(InputError, match=r"35x24, which is not `walk\.mp4` at scale 4"):
        plan_given(folder, tmp_path, 4, scale=4)


def test_two_files_for_one_input_are_refused(
    folder: Path, make_clip: MakeClip, tmp_path: Path
) -> None:
    for name in ("walk_real", "walk_real_low"):
        make_clip(tmp_path / f"{name}.mkv", size=(12, 17), codec="ffv1", pix_fmt="bgr0")
    with pytest.raises(InputError, match="are both there"):
        plan_given(folder, tmp_path, 4, scale=4)


def test_a_missing_result_is_named_before_anything_is_read(folder: Path, tmp_path: Path) -> None:
    cases = plan_degraded(folder, ["clean"], 2, scale=4)
    write_pictures(tmp_path / "other" / "walk_clean", torch.zeros(2, 3, 48, 68))
    with pytest.raises(InputError) as caught:
        Results(tmp_path / "other", cases)
    assert str(caught.value) == f"`{tmp_path / 'other' / 'walk_fast_clean.mkv'}` does not exist"
    assert "numbered PNG" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("shape", "what"),
    [((2, 3, 48, 64), "is 64x48, not 68x48"), ((2, 3, 48, 68), "has 2 frames, not 3")],
)
def test_a_result_of_another_size_or_length_is_refused(
    folder: Path, tmp_path: Path, shape: tuple[int, ...], what: str
) -> None:
    write_pictures(tmp_path / "walk_clean", torch.zeros(shape))
    cases = plan_degraded(folder, ["clean"], 3, scale=4)[:1]
    with pytest.raises(InputError, match=what):
        Results(tmp_path, cases)


def test_numbered_pictures_come_in_the_order_of_their_numbers(
    folder: Path, make_clip: MakeClip, tmp_path: Path
) -> None:
    make_clip(folder / "long.mkv", num_frames=11, size=(48, 48))
    (case,) = (c for c in plan_degraded(folder, ["clean"], 11, scale=4) if c.clip == "long")
    frames = torch.arange(11.0)[:, None, None, None].expand(11, 3, 48, 48) / 10 - 0.5
    write_pictures(tmp_path / case.name, frames)  # 10.png is the second by name
    torch.testing.assert_close(Results(tmp_path, [case]).read(case), frames, atol=5e-3, rtol=0)


def test_a_video_is_a_result_too_and_may_be_longer(
    folder: Path, make_clip: MakeClip, tmp_path: Path
) -> None:
    make_clip(tmp_path / "walk_clean.mov", num_frames=5, size=(48, 68))
    cases = plan_degraded(folder, ["clean"], 3, scale=4)[:1]
    assert Results(tmp_path, cases).read(cases[0]).shape == (3, 3, 48, 68)
    write_pictures(tmp_path / "walk_clean", torch.zeros(3, 3, 48, 68))
    with pytest.raises(InputError, match="are both there"):
        Results(tmp_path, cases)


def test_pictures_without_a_number_are_refused(tmp_path: Path, folder: Path) -> None:
    cases = plan_degraded(folder, ["clean"], 2, scale=4)[:1]
    (tmp_path / "walk_clean").mkdir()
    with pytest.raises(InputError, match="holds no PNG files"):
        Results(tmp_path, cases)
    (tmp_path / "walk_clean" / "first.png").write_bytes(b"")
    with pytest.raises(InputError, match="has no number"):
        Results(tmp_path, cases)
