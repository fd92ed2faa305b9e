"""Options about what is read."""

from fractions import Fraction

import pytest
from typer.testing import CliRunner, Result

from tests.cli.fakes import FakePipeline
from vsr_cli.cli.app import app
from vsr_cli.config import InputConfig
from vsr_cli.pixels import Matrix, Range
from vsr_cli.repair_options import parse_time
from vsr_cli.values import parse_frames


def vsr(*options: str) -> Result:
    return CliRunner().invoke(app, ["upscale", "in.mp4", "out.mp4", *options])


def test_every_option_reaches_the_config(pipeline: FakePipeline) -> None:
    options = (
        "-ss 1:02:03.5 -t 0.25 --video-stream 1 --in-matrix bt709 --in-range pc "
        "--in-primaries smpte170m --in-transfer pq --deinterlace field --alpha drop "
        "--in-format rawvideo --raw-size 320x180 --raw-pix-fmt gray --raw-rate 30000/1001"
    )
    assert vsr(*options.split()).exit_code == 0
    [(_, _, config)] = pipeline.jobs
    assert config.input == InputConfig(
        start=Fraction(7447, 2),
        duration=Fraction(1, 4),
        video_stream=1,
        matrix=Matrix.BT709,
        range=Range.FULL,
        primaries=6,
        transfer=16,
        deinterlace="field",
        alpha="drop",
        format="rawvideo",
        raw_size=(180, 320),
        raw_pix_fmt="gray",
        raw_rate=Fraction(30000, 1001),
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--start 1 --to 2", InputConfig(start=Fraction(1), stop=Fraction(2))),
        ("-ss 1 -to 2", InputConfig(start=Fraction(1), stop=Fraction(2))),
        ("--duration .5", InputConfig(duration=Fraction(1, 2))),
        ("--frames 5:10", InputConfig(frames=(5, 10))),
    ],
)
def test_parts_have_two_spellings(
    pipeline: FakePipeline, options: str, expected: InputConfig
) -> None:
    assert vsr(*options.split()).exit_code == 0
    assert pipeline.jobs[0][2].input == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", Fraction(90)),
        ("1:30", Fraction(90)),
        ("0:01:30.250", Fraction(361, 4)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("100:00:00", Fraction(360000)),
    ],
)
def test_times_are_read_without_rounding(text: str, seconds: Fraction) -> None:
    assert parse_time("--start", text) == seconds


def test_ranges_of_frames_may_be_open() -> None:
    assert [parse_frames(text) for text in ("3:7", "3:", ":7")] == [(3, 7), (3, None), (0, 7)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--start soon", "is not a time"),
        ("--to -1", "is not a time"),
        ("--frames 7", "is not a range"),
        ("--frames 7:3", "no frame"),
        ("--start 2 --to 1", "before it starts"),
        ("--to 2 --duration 1", "contradict"),
        ("--in-matrix rgb", "is not known"),
        ("--in-range 3", "is not known"),
        ("--raw-size 320", "is not a size"),
        ("--raw-rate x", "is not a number"),
        ("--raw-rate 0", "not above 0"),
        ("--in-format rawvideo", "raw video"),
        ("--deinterlace maybe", "deinterlace"),
    ],
)
def test_what_cannot_be_is_a_usage_error(pipeline: FakePipeline, options: str, says: str) -> None:
    result = vsr(*options.split())
    assert (result.exit_code, pipeline.jobs) == (2, [])
    assert says in result.stderr
