import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from tests.conftest import MakeClip, read_file
from vsr_cli.cli.app import app
from vsr_cli.ops.resize import crop
from vsr_cli.quality.clips import read_footage
from vsr_cli.quality.degrade import Degradation


@pytest.fixture
def source(tmp_path: Path, make_clip: MakeClip) -> Path:
    return make_clip(tmp_path / "in.mkv", num_frames=4, size=(50, 70), audio=["pcm_s16le"])


def truth(source: Path) -> torch.Tensor:
    """The frames of `source`, cut to multiples of 4."""
    return crop(read_footage(source, 4).frames, (48, 68))


def vsr(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["degrade", *map(str, words)])


def pictures(path: Path) -> NDArray[np.uint8]:
    """RGB codes of every frame, (T, H, W, 3)."""
    with av.open(f"file:{path}") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_the_file_holds_exactly_what_the_degradation_makes(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    result = vsr(source, target, "--level", "mild", "--seed", "3")
    assert result.exit_code == 0, result.stderr
    expected = Degradation("mild")(truth(source), 3)
    codes = ((expected + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert codes.shape == (4, 12, 17, 3)
    np.testing.assert_array_equal(pictures(target), codes)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_clip_becomes_as_much_smaller_as_is_asked(
    source: Path, tmp_path: Path, scale: int
) -> None:
    target = tmp_path / "out.mkv"
    result = vsr(source, target, "--level", "heavy", "--seed", "3", "--scale", str(scale))
    assert result.exit_code == 0, result.stderr
    assert pictures(target).shape == (4, 50 // scale, 70 // scale, 3)


def test_the_same_seed_gives_the_same_clip_and_another_another(
    source: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        target = tmp_path / f"{name}.mkv"
        assert vsr(source, target, "--level", "heavy", "--seed", seed).exit_code == 0
    first, second, other = (pictures(tmp_path / f"{name}.mkv") for name in "abc")
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_frame_times_are_those_of_the_source_and_sound_is_left_out(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    times = [0, 40, 100, 120, 400]
    source = make_clip(
        tmp_path / "in.mkv", pts=times, time_base=Fraction(1, 1000), audio=["pcm_s16le"]
    )
    assert vsr(source, tmp_path / "out.mkv").exit_code == 0
    contents = read_file(tmp_path / "out.mkv")
    assert contents.times == [Fraction(time, 1000) for time in times]
    assert contents.sounds == []


def test_an_existing_target_is_kept_unless_told_otherwise(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    target.write_text("mine")
    result = vsr(source, target)
    assert (result.exit_code, target.read_text()) == (4, "mine")
    assert "hint: use `--overwrite`" in result.stderr
    assert vsr(source, target, "-y").exit_code == 0
    assert len(pictures(target)) == 4


def test_the_source_is_never_replaced(source: Path) -> None:
    before = source.read_bytes()
    assert vsr(source, source, "-y").exit_code == 4
    assert source.read_bytes() == before


def test_a_container_that_cannot_hold_it_is_a_usage_error(source: Path, tmp_path: Path) -> None:
    result = vsr(source, tmp_path / "out.mp4")
    assert result.exit_code == 2
    assert "hint: use a name that ends in `.mkv`" in result.stderr
    assert sorted(tmp_path.iterdir()) == [source]


def test_a_longer_source_is_cut_and_that_is_said(source: Path, tmp_path: Path) -> None:
    for count, is_cut in (("3", True), ("4", False)):
        result = vsr(source, tmp_path / f"{count}.mkv", "--frames", count)
        assert result.exit_code == 0
        assert len(pictures(tmp_path / f"{count}.mkv")) == int(count)
        assert ("W_SOURCE_CUT" in result.stderr) == is_cut


def test_what_was_drawn_is_said(source: Path, tmp_path: Path) -> None:
    result = vsr(source, tmp_path / "a.mkv", "--level", "mixed", "--seed", "5")
    lines = Degradation("mixed").explained(truth(source), 5)[1]
    assert lines[0] in ("level clean", "level mild", "level heavy")
    assert all(line in result.stderr for line in lines)
    assert result.stdout == ""
    result = vsr(source, tmp_path / "b.mkv", "--level", "mixed", "--seed", "5", "--json")
    drawn, done = (json.loads(line) for line in result.stdout.splitlines())
    assert (drawn["type"], drawn["seed"], drawn["steps"]) == ("degradation", 5, list(lines))
    assert (done["type"], done["frames_out"], done["width"]) == ("done", 4, 17)


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two frames of 50x70 pixels at 80 bytes each fit, three do not.
    monkeypatch.setattr("vsr_cli.evaluation.degrade_clip.free_memory", lambda _: 50 * 70 * 200)
    result = vsr(source, tmp_path / "out.mkv", "--level", "clean")
    assert result.exit_code == 6
    assert "hint: use `--frames 2`" in result.stderr
    assert sorted(tmp_path.iterdir()) == [source]
    assert vsr(source, tmp_path / "out.mkv", "--level", "clean", "--frames", "2").exit_code == 0


def test_a_picture_of_a_few_pixels_is_refused(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", size=(8, 64), codec="ffv1")
    assert vsr(source, tmp_path / "out.mkv").exit_code == 3


@pytest.mark.parametrize("options", ["--level awful", "--seed -1", "--frames 0", "--frames 5000"])
def test_a_bad_value_is_a_usage_error(source: Path, tmp_path: Path, options: str) -> None:
    assert vsr(source, tmp_path / "out.mkv", *options.split()).exit_code == 2
