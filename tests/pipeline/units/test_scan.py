"""The scan finds the units that a single run begins chunks with; they are read again exactly."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.runs import upscale_video
from tests.pipeline.units.clips import tiny_config, write_shots
from vsr_cli.config import InputConfig
from vsr_cli.errors import VerificationError
from vsr_cli.events import ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import open_video, read_frames
from vsr_cli.pipeline.resume.config_text import from_text, to_text
from vsr_cli.pipeline.resume.folder import job_folder
from vsr_cli.pipeline.resume.job import Job
from vsr_cli.pipeline.resume.manifest import Manifest
from vsr_cli.pipeline.resume.units import Shard, Unit, UnitTable
from vsr_cli.pipeline.units.glances import find_units, glance_at
from vsr_cli.pipeline.units.source import read_unit

LENGTHS = (30, 40, 60, 20, 55, 10)
STARTS = [0, 70, 130, 205]  # of units: a shot that begins before frame 48 of one belongs to it


def units_of(source: Path, config: InputConfig | None = None) -> list[Unit]:
    frames = read_frames(source, config or InputConfig(), report=ignore)
    return list(find_units(glance_at(frames, lambda _: False)))


def read_as(frame: Frame) -> tuple[object, ...]:
    return (frame.pts, frame.duration, *(plane.tobytes() for plane in frame.planes))


def test_units_are_whole_shots_of_48_frames_or_more(tmp_path: Path) -> None:
    units = units_of(write_shots(tmp_path / "in.mkv", LENGTHS))
    assert [unit.start for unit in units] == STARTS
    assert [unit.stop for unit in units[:-1]] == [unit.start for unit in units[1:]]
    assert units[-1].stop == sum(LENGTHS)
    assert [unit.index for unit in units] == list(range(len(units)))


@pytest.mark.slow
def test_a_single_run_begins_a_chunk_with_every_unit(tmp_path: Path, model_file: Path) -> None:
    source = write_shots(tmp_path / "in.mkv", LENGTHS)
    config = tiny_config(model_file, keep=True, chunk_length=50)
    upscale_video(source, tmp_path / "out.mkv", config)
    job = Job(tmp_path / "out.mkv", job_folder(tmp_path / "out.mkv", config.job))
    manifest = job.read()
    assert manifest is not None
    expected = []
    for unit in units_of(source):
        expected += [(start, unit.start) for start in range(unit.start, unit.stop, 50)]
    assert [(chunk.start, chunk.unit_start) for chunk in manifest.chunks] == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_shots(path.with_suffix(".mkv"), LENGTHS),
        lambda path: write_shots(path.with_suffix(".mp4"), LENGTHS),
        lambda path: write_shots(
            path.with_suffix(".mkv"),
            LENGTHS,
            options={"preset": "medium", "x264-params": "open-gop=1"},
        ),
        lambda path: write_shots(
            path.with_suffix(".mkv"), LENGTHS, options={"x264-params": "keyint=300:scenecut=0"}
        ),
        lambda path: write_shots(
            path.with_suffix(".mkv"), LENGTHS, times=[n + n // 7 for n in range(sum(LENGTHS))]
        ),
        lambda path: write_shots(path.with_suffix(".avi"), LENGTHS, codec="mpeg4"),
        lambda path: write_shots(path.with_suffix(".mkv"), LENGTHS, codec="ffv1"),
    ],
    ids=["mkv", "mp4", "open GOP", "one key frame", "VFR", "avi", "intra"],
)
@pytest.mark.parametrize(
    "config", [InputConfig(), InputConfig(frames=(5, 190))], ids=["all", "part"]
)
def test_every_unit_is_read_again_frame_by_frame(
    tmp_path: Path, write: Callable[[Path], Path], config: InputConfig
) -> None:
    source = write(tmp_path / "in")
    whole = [read_as(frame) for frame in read_frames(source, config, report=ignore)]
    units = units_of(source, config)
    assert len(units) > 2
    for is_seekable in (True, False):
        for unit in units:
            with open_video(source, config) as video:
                skip = unit.start + 3
                frames = read_unit(video, source, config, unit, skip=skip, is_seekable=is_seekable)
                assert [read_as(frame) for frame in frames] == whole[skip : unit.stop]


def test_long_shots_are_split_where_asked_with_frames_before_to_warm_up(tmp_path: Path) -> None:
    source = write_shots(tmp_path / "in.mkv", (30, 100, 55))
    whole = [read_as(frame) for frame in read_frames(source, report=ignore)]
    glances = glance_at(read_frames(source, report=ignore), lambda _: True)
    units = list(find_units(glances, 40))
    # A cut at 30 is too near to close a unit; those at 40, 80 and 120 lie within a shot.
    assert [unit.start for unit in units] == [0, 40, 80, 120, 160]
    assert [unit.entry for unit in units] == [0, 30, 64, 104, 144]
    assert [unit.stop for unit in units] == [40, 80, 120, 160, 185]
    for unit in units:
        with open_video(source) as video:
            frames = read_unit(
                video, source, InputConfig(), unit, skip=unit.entry, is_seekable=True
            )
            assert [read_as(frame) for frame in frames] == whole[unit.entry : unit.stop]


def test_a_jump_that_leads_astray_is_noticed_and_the_unit_is_read_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, config = write_shots(tmp_path / "in.mkv", LENGTHS), InputConfig()
    unit = units_of(source)[2]
    whole = [read_as(frame) for frame in read_frames(source, report=ignore)]
    with open_video(source) as video:
        monkeypatch.setattr(video, "enter", lambda pts, index: None)  # stays at the start
        frames = list(read_unit(video, source, config, unit, skip=unit.start, is_seekable=True))
    assert [read_as(frame) for frame in frames] == whole[unit.start : unit.stop]


def test_frames_that_are_not_those_of_the_scan_are_refused(tmp_path: Path) -> None:
    source, config = write_shots(tmp_path / "in.mkv", LENGTHS), InputConfig()
    unit = units_of(source)[1]
    for other in (
        replace(unit, last_crc=unit.last_crc ^ 1),
        replace(unit, first_pts=unit.first_pts + 1),
        replace(unit, stop=unit.stop + 1000),
    ):
        with open_video(source) as video, pytest.raises(VerificationError, match="a second time"):
            list(read_unit(video, source, config, other, skip=0, is_seekable=True))


def test_shards_share_all_units_and_none_twice() -> None:
    row = {
        "start": 0,
        "stop": 1,
        "entry": 0,
        "first_pts": 0,
        "last_pts": 0,
        "first_crc": 0,
        "last_crc": 0,
    }
    units = [Unit(index=index, **row) for index in range(11)]
    shared = [unit.index for number in (1, 2, 3) for unit in Shard(number, 3).of(units)]
    assert sorted(shared) == list(range(11))
    assert [unit.index for unit in Shard(2, 3).of(units)] == [1, 4, 7, 10]


def test_the_table_of_a_film_is_small_and_quickly_written_and_read(
    tmp_path: Path, model_file: Path
) -> None:
    """Two hours at 24 frames a second: 172,800 frames, 1,530 shots."""
    units = tuple(
        Unit(
            index=index,
            start=113 * index,
            stop=113 * (index + 1),
            entry=113 * index,
            first_pts=113 * 1001 * index,
            last_pts=113 * 1001 * (index + 1) - 1001,
            first_crc=2**32 - 1 - index,
            last_crc=2**31 + index,
        )
        for index in range(1530)
    )
    text = to_text(tiny_config(model_file))
    table = UnitTable(units=units, is_seekable=True, notes=(("W_CROPPED", "a text"),), config=text)
    manifest = Manifest(path="film.mkv", source={}, options={}, units=table)
    path = tmp_path / "manifest.json"
    started = time.process_time()
    manifest.write(path)
    assert Manifest.read(path) == manifest
    assert time.process_time() - started < 1
    assert path.stat().st_size < 2_000_000
    assert json.loads(path.read_text())["units"]["units"][1][:2] == [113, 226]


def test_choices_come_back_as_they_were_written(model_file: Path) -> None:
    config = tiny_config(model_file, checkpoint=2.5)
    config = replace(config, input=InputConfig(frames=(3, None), first_index=3))
    assert from_text(to_text(config)) == config
    with pytest.raises(KeyError):
        from_text('{"is": "Popen", "args": "ls"}')
    with pytest.raises(ValueError, match="choices of a job"):
        from_text('{"is": "Path", "value": "x"}')
