"""Filling and erasing are measured beside what needs no motion."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import MakeClip
from vsr_cli.cli.app import app


def evaluate(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


@pytest.fixture
def clips(tmp_path: Path, make_clip: MakeClip) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    make_clip(folder / "a.mp4", num_frames=7, size=(96, 160))
    return folder


def test_erasing_has_a_row_for_each_method_and_case(clips: Path) -> None:
    result = evaluate(clips, "--task", "erase", "--frames", "6", "--level", "object", "--json")
    assert result.exit_code == 0, result.stderr
    rows = {row["method"]: row for row in json.loads(result.stdout)["clips"]}
    assert list(rows) == ["source", "telea", "ns", "vsr"]
    assert rows["vsr"]["psnr"] > rows["telea"]["psnr"] > rows["source"]["psnr"]
    assert 0 < rows["vsr"]["seen"] <= 1
    assert {row["case"] for row in rows.values()} == {"object"}


def test_filling_has_both_gaps_and_people_can_read_it(clips: Path) -> None:
    result = evaluate(clips, "--task", "fill", "--frames", "7")
    assert result.exit_code == 0, result.stderr
    for start in ("| gap1 | a | copy |", "| gap3 | a | blend |", "| gap1 | mean | vsr |"):
        assert start in result.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--level", "mild"), "`--level mild` is no case of `--task fill`"),
        (("--steps", "4"), "`--task fill` takes `--level`"),
        (("--sharpen",), "`--task fill` takes `--level`"),
    ],
)
def test_options_of_models_are_refused(clips: Path, options: tuple[str, ...], says: str) -> None:
    result = evaluate(clips, "--task", "fill", *options)
    assert result.exit_code == 2
    assert says in result.stderr
