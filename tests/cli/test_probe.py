"""`vsr probe`: what is understood of a source, for people and for programs."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import MakeClip
from tests.media.test_hdr import MASTERING, write_pq
from vsr_cli import api
from vsr_cli.cli.app import app
from vsr_cli.cli.probe import lines_for_people


def probe(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["probe", *map(str, arguments)])


@pytest.fixture
def clip(tmp_path: Path, make_clip: MakeClip) -> Path:
    return make_clip(
        tmp_path / "in.mp4",
        audio=["aac", "aac"],
        rotation=90,
        sample_aspect_ratio=Fraction(8, 9),
        colorspace=5,
        color_range=2,
        options={"x264-params": "bff=1"},
    )


def test_people_read_what_is_special(clip: Path) -> None:
    result = probe(clip)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "container: mov,mp4,m4a,3gp,3g2,mj2, 0.240 s",
        "picture: 64x48, pixels 8/9, h264 yuvj420p",
        "  25 frames/s, 6 frames",
        "  players turn it by 90 degrees counter-clockwise",
        "  interlaced, bottom field first: fields are joined to frames",
        "colour: matrix bt470bg, range full, primaries unknown, transfer unknown",
        "audio 1: aac, eng",
        "audio 2: aac, deu",
        "output: 256x192, libx264 yuv420p",
    ]


def test_programs_read_all(clip: Path) -> None:
    result = probe(clip, "--json")
    found = json.loads(result.stdout)
    assert found["type"] == "probe"
    video = found["video"]
    assert (video["size"], video["num_frames"], video["is_vfr"]) == ([48, 64], 6, False)
    assert (video["rotation"], video["sample_aspect_ratio"]) == (90, "8/9")
    assert (video["interlaced"], video["field_order"]) == (True, "bottom")
    assert video["tags"]["matrix"] == video["color"]["matrix"] == "bt470bg"
    assert [stream["language"] for stream in found["streams"]] == ["eng", "deu"]
    assert found["output"]["size"] == [192, 256]


def test_the_options_of_a_job_change_what_is_shown(clip: Path) -> None:
    options = [
        "--scale",
        "2",
        "-c:v",
        "ffv1",
        "--in-matrix",
        "bt709",
        "--frames",
        "2:4",
        "--deinterlace",
        "off",
    ]
    found = json.loads(probe(clip, "out.mkv", "--json", *options).stdout)
    assert (found["video"]["num_frames"], found["start"]) == (2, 0.08)
    assert found["video"]["color"]["matrix"] == "bt709"
    assert found["video"]["tags"]["matrix"] == "bt709"
    assert "as asked for" in found["video"]["color_reason"]
    assert (found["output"]["size"], found["output"]["codec"]) == ([96, 128], "ffv1")
    text = probe(clip, *options).stdout
    assert "fields are kept as they are" in text
    assert "read from 0.080 s" in text


def test_light_is_told_in_candelas(tmp_path: Path) -> None:
    path = write_pq(tmp_path / "in.mkv", MASTERING)
    lines = probe(path).stdout.splitlines()
    assert "  HDR (PQ)" in lines
    assert "  mastered for 0.005 to 1000 cd/m2" in lines
    assert "  at most 1000 cd/m2, 400 cd/m2 on average of a frame" in lines
    found = json.loads(probe(path, "--json").stdout)
    assert found["video"]["dynamic_range"] == "pq"
    assert found["video"]["hdr"]["max_cll"] == 1000
    assert "CONTENT_LIGHT_LEVEL" in found["video"]["side_data"]


def test_how_a_gap_in_the_tags_was_filled_is_said_once(tmp_path: Path, make_clip: MakeClip) -> None:
    text = probe(make_clip(tmp_path / "in.mp4")).stdout
    assert text.count("untagged source: BT.601") == 1


def test_what_is_missing_is_an_error_of_the_input(tmp_path: Path) -> None:
    result = probe(tmp_path / "missing.mp4")
    assert result.exit_code == 3
    assert "does not exist" in result.stderr


def test_standard_input_is_left_to_the_loop_around_it(clip: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"next.mp4\n")
    os.close(writing)
    command = [sys.executable, "-m", "vsr_cli", "probe", str(clip)]
    with os.fdopen(reading, "rb") as stdin:
        subprocess.run(command, stdin=stdin, check=True, capture_output=True)
        assert stdin.read() == b"next.mp4\n"


def test_a_pipe_is_probed_by_what_it_starts_with(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mkv", audio=["flac"])
    command = [sys.executable, "-m", "vsr_cli", "probe", "-"]
    result = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=True)
    assert b"picture: 64x48, h264 yuv420p" in result.stdout
    assert b"audio 1: flac" in result.stdout


@pytest.mark.parametrize(
    ("rotation", "says"),
    [
        (90, "players turn it by 90 degrees counter-clockwise"),
        (-90, "players turn it by 90 degrees clockwise"),
        (180, "players turn it by 180 degrees\n"),
    ],
)
def test_a_turn_is_told_by_the_way_it_goes(
    make_clip: MakeClip, tmp_path: Path, rotation: int, says: str
) -> None:
    assert says in probe(make_clip(tmp_path / "in.mp4", rotation=rotation)).stdout


@pytest.mark.parametrize(
    ("rotation", "matrix", "says"),
    [
        (180, (-1, 0, 0, 0, 1, 0, 0, 0, 1), ["  players mirror it"]),
        (90, (0, 1, 0, 1, 0, 0, 0, 0, 1), ["  players mirror and turn it"]),
        (0, (1, 0, 0, 0, 1, 0, 0, 0, 1), []),
    ],
)
def test_a_mirrored_picture_is_not_called_turned(
    make_clip: MakeClip, tmp_path: Path, rotation: int, matrix: tuple[int, ...], says: list[str]
) -> None:
    found = api.probe(make_clip(tmp_path / "in.mp4"))
    info = replace(found.info, rotation=rotation, display_matrix=matrix)
    lines = lines_for_people(replace(found, info=info), None)
    assert [line for line in lines if "players" in line] == says
