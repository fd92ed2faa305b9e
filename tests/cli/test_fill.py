import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.fakes import FakePipeline
from tests.conftest import MakeClip
from vsr_cli.cli.app import app
from vsr_cli.repair_config import FillConfig


def vsr(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["fill", *map(str, arguments)])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", FillConfig()),
        ("--find frozen,damaged", FillConfig(find=("damaged", "frozen"))),
        (
            "--frames-list 120,300-303",
            FillConfig(find=("damaged",), frames=((120, 120), (300, 303))),
        ),
        ("--find black --most 4", FillConfig(find=("black",), most=4)),
    ],
)
def test_options_reach_the_config(
    pipeline: FakePipeline, options: str, expected: FillConfig
) -> None:
    assert vsr("in.mp4", "out.mp4", *options.split()).exit_code == 0
    [(_, _, config)] = pipeline.jobs
    assert (config.fill, config.has_model, float(config.scale)) == (expected, False, 1.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--find wet", "`--find wet` is not known"),
        ("--frames-list 5-3", "holds no frame from 5 to 3"),
        ("--frames-list five", "is no list of frames"),
        ("--most 0", "`--most 0` is out of range"),
    ],
)
def test_bad_values_are_refused(pipeline: FakePipeline, options: str, says: str) -> None:
    result = vsr("in.mp4", "out.mp4", *options.split())
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_target_is_needed_except_to_list(pipeline: FakePipeline) -> None:
    result = vsr("in.mp4")
    assert result.exit_code == 2
    assert "there is no TARGET" in result.stderr


def test_a_list_tells_which_frames_and_writes_nothing(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=8)
    result = vsr(source, "--list", "--json", "--frames-list", "2,5-6")
    assert result.exit_code == 0
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(gap["first"], gap["last"], gap["start"]) for gap in found] == [
        (2, 2, 0.08),
        (5, 6, 0.2),
    ]
    assert {gap["type"] for gap in found} == {"gap"}
    assert list(tmp_path.iterdir()) == [source]
    people = vsr(source, "--list", "--frames-list", "2,5-6")
    assert people.stdout.splitlines()[1] == "5-6\t0.200 s\tlisted"
    assert "3 frames would be made anew" in people.stderr
