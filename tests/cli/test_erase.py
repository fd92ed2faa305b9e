from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.fakes import FakePipeline
from tests.conftest import MakeClip
from vsr_cli.cli.app import app
from vsr_cli.repair_config import Box, DirtConfig, EraseConfig


def vsr(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_every_option_reaches_the_config(pipeline: FakePipeline) -> None:
    options = (
        "--box 1610,40,250,90 --box=-9,-120,1920,110@0:10-0:14.5 --mask m.png --mask-threshold 90 "
        "--invert-mask --grow 1 --feather 0 --reach 12 --unseen stop"
    )
    assert vsr("erase", "in.mp4", "out.mp4", *options.split()).exit_code == 0
    [(_, _, config)] = pipeline.jobs
    assert not config.has_model
    assert config.erase == EraseConfig(
        boxes=(
            Box(x=1610, y=40, width=250, height=90),
            Box(x=-9, y=-120, width=1920, height=110, start=Fraction(10), stop=Fraction(29, 2)),
        ),
        mask=Path("m.png"),
        mask_threshold=90,
        invert_mask=True,
        grow=1,
        feather=0,
        reach=12,
        unseen="stop",
    )


@pytest.mark.parametrize("box", ["-250,-90,240,80", "1,2,3,4"])
def test_a_box_may_begin_with_a_minus(pipeline: FakePipeline, box: str) -> None:
    assert vsr("erase", "in.mp4", "out.mp4", "--box", box).exit_code == 0
    [(_, _, config)] = pipeline.jobs
    assert config.erase is not None
    assert config.erase.boxes[0].text == box


def test_before_enlarging_the_same_options_erase(pipeline: FakePipeline) -> None:
    assert vsr("upscale", "in.mp4", "out.mp4", "--mask", "m.png").exit_code == 0
    [(_, _, config)] = pipeline.jobs
    assert (config.has_model, config.erase) == (True, EraseConfig(mask=Path("m.png")))


def test_dirt_is_taken_off_with_or_without_a_mask(pipeline: FakePipeline) -> None:
    assert vsr("erase", "in.mp4", "out.mp4", "--dirt").exit_code == 0
    options = ["--dirt-level", "0.8", "--dirt-most", "0.01", "--mask", "m.png"]
    assert vsr("erase", "in.mp4", "out.mp4", *options).exit_code == 0
    alone, both = (config for _, _, config in pipeline.jobs)
    assert (alone.dirt, alone.erase) == (DirtConfig(), None)
    assert both.dirt == DirtConfig(level=0.8, most=0.01)
    assert both.erase == EraseConfig(mask=Path("m.png"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("", "there is nothing to erase"),
        ("--box 1,2,3", "`--box 1,2,3` is no rectangle"),
        ("--box 1,2,0,4", "`--box 1,2,0,4` is empty"),
        ("--box 1,2,3,4@9-5", "ends before it starts"),
        ("--box 1,2,3,4@9", "is no rectangle"),
        ("--box 1,2,3,4@9-", "`--box 1,2,3,4@9-` does not say when it ends"),
        ("--box 1,2,3,4@-9", "`--box 1,2,3,4@-9` does not say when it starts"),
        ("--box 1,2,3,4@x-9", "`--box 1,2,3,4@x-9` has a time that is none: `x`"),
        ("--dirt-level 2", "`--dirt-level 2` is out of range"),
        ("--mask m.png --grow 99", "`--grow 99` is out of range"),
    ],
)
def test_bad_values_are_refused(pipeline: FakePipeline, options: str, says: str) -> None:
    result = vsr("erase", "in.mp4", "out.mp4", *options.split())
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_mask_is_shown_without_a_target_and_nothing_is_erased_without_one(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    source, picture = make_clip(tmp_path / "in.mkv"), tmp_path / "look.png"
    result = vsr("erase", str(source), "--box", "8,8,8,8", "--show-mask", str(picture))
    assert (result.exit_code, picture.is_file()) == (0, True)
    result = vsr("erase", str(source), "--box", "8,8,8,8")
    assert result.exit_code == 2
    assert "there is no TARGET\nhint: name one, or use `--show-mask`" in result.stderr
