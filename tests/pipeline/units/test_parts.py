"""Several processes that look at a range of a source each find what one finds, bit for bit."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import pytest

from tests.pipeline.units.clips import tiny_config, write_shots
from vsr_cli.config import InputConfig, JobConfig, UpscaleConfig
from vsr_cli.events import ignore
from vsr_cli.media.reading.index import NoIndexError, PictureIndex
from vsr_cli.media.reading.reader import open_video, read_frames
from vsr_cli.pipeline.resume.units import Unit
from vsr_cli.pipeline.units import parts, scan
from vsr_cli.pipeline.units.glances import Glance, find_units, glance_at
from vsr_cli.pipeline.units.parts import find_parts, join_looks, read_look, scan_part, to_line
from vsr_cli.pipeline.units.scanners import scanners_here
from vsr_cli.pipeline.upscale import Upscaler

LENGTHS = (30, 61, 60, 20, 55, 74)
ALL = sum(LENGTHS)


@pytest.fixture(autouse=True)
def short_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "FEWEST_FRAMES", 20)


def serial(source: Path, config: UpscaleConfig) -> list[Unit]:
    frames = read_frames(source, config.input, report=ignore)
    split = config.job.split
    return list(find_units(glance_at(frames, lambda _: bool(split)), split))


def here(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Looks at ranges from the last to the first."""
    for place in reversed(range(len(lines))):
        yield place, scan_part(lines[place])


def parallel(
    source: Path,
    config: UpscaleConfig,
    scatter: Callable[[Sequence[str]], Iterator[tuple[int, str]]] = here,
    *,
    fewest: int = 3,
) -> list[Unit]:
    with open_video(source, config.input) as video:
        index = video.index()
    found = find_parts(source, config, index, 2)
    assert len(found) >= fewest
    looks = {place: read_look(line) for place, line in scatter([to_line(part) for part in found])}
    glances = join_looks([looks[place] for place in range(len(found))], found, index)
    return list(find_units(glances, config.job.split))


def x264(suffix: str, params: str, **more: object) -> Callable[[Path], Path]:
    options = {"preset": "medium", "crf": "20", "x264-params": params}
    return lambda path: write_shots(path.with_suffix(suffix), LENGTHS, options=options, **more)  # type: ignore[arg-type]


def other(suffix: str, codec: str, **options: str) -> Callable[[Path], Path]:
    return lambda path: write_shots(path.with_suffix(suffix), LENGTHS, codec=codec, options=options)


SOURCES = {
    "B-frames": x264(".mp4", "keyint=25:bframes=3:b-pyramid=normal"),
    "open GOP": x264(".mkv", "keyint=25:open-gop=1:bframes=3:scenecut=0"),
    "open GOP in TS": x264(".ts", "keyint=25:open-gop=1:bframes=3:scenecut=0"),
    "HEVC": other(".mkv", "libx265", **{"x265-params": "keyint=25:log-level=none:bframes=3"}),
    "MPEG-2 in TS": other(".ts", "mpeg2video", g="15", bf="2", qscale="2"),
    "intra-only": other(".mkv", "ffv1"),
    "VP9": other(".mkv", "libvpx-vp9", g="25", deadline="realtime", **{"cpu-used": "8"}),
    "VFR": x264(".mp4", "keyint=25:bframes=2", times=[n + n // 7 for n in range(ALL)]),
}


@pytest.mark.parametrize("name", SOURCES)
def test_ranges_find_what_one_reader_finds(tmp_path: Path, name: str) -> None:
    try:
        source = SOURCES[name](tmp_path / "in")
    except av.codec.codec.UnknownCodecError:
        pytest.skip("no such encoder")
    config = UpscaleConfig()
    assert parallel(source, config) == serial(source, config)


@pytest.mark.parametrize(
    "config",
    [
        UpscaleConfig(input=InputConfig(frames=(7, 201))),
        UpscaleConfig(job=JobConfig(split=40)),
    ],
    ids=["a part", "split"],
)
def test_so_they_do_of_a_part_and_where_shots_are_split(
    tmp_path: Path, config: UpscaleConfig
) -> None:
    source = SOURCES["B-frames"](tmp_path / "in")
    assert parallel(source, config) == serial(source, config)


def test_ranges_are_no_more_than_key_frames_allow(tmp_path: Path) -> None:
    config = UpscaleConfig()
    source = x264(".mkv", "keyint=300:scenecut=0")(tmp_path / "one")
    assert parallel(source, config, fewest=1) == serial(source, config)
    index = PictureIndex(times=tuple(range(300)), entries=(100,))
    assert [part.start for part in find_parts(source, config, index, 8)] == [0, 100]
    index = PictureIndex(times=tuple(range(300)), entries=(100, 290))
    assert len(find_parts(source, config, index, 8)) == 2  # the last 10 are too few
    index = PictureIndex(times=tuple(range(300)), entries=tuple(range(1, 300)))
    starts = [part.start for part in find_parts(source, config, index, 1)]
    assert starts == list(range(0, 300, -(-300 // 8)))


def damaged(source: Path, share: float) -> Path:
    data = bytearray(source.read_bytes())
    place = int(len(data) * share)
    data[place : place + 300] = bytes(300)
    source.write_bytes(data)
    return source


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_damage_is_found_and_left_to_one_reader(tmp_path: Path, share: float) -> None:
    source = damaged(SOURCES["B-frames"](tmp_path / "in"), share)
    with pytest.raises(NoIndexError, match="damaged"):
        parallel(source, UpscaleConfig())


def test_damage_that_nobody_notices_is_the_same_for_all(tmp_path: Path) -> None:
    source = damaged(SOURCES["MPEG-2 in TS"](tmp_path / "in"), 0.3)
    assert parallel(source, UpscaleConfig()) == serial(source, UpscaleConfig())


def test_so_is_a_source_that_is_cut_off(tmp_path: Path) -> None:
    source = SOURCES["open GOP"](tmp_path / "in")
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 3 // 4])
    with pytest.raises(NoIndexError, match="ends after"):
        parallel(source, UpscaleConfig(), fewest=2)


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (other(".avi", "mpeg4"), "times of presentation"),
        (x264(".mkv", "keyint=25", times=[n + (n > 150) for n in range(ALL)]), ""),
        (
            lambda path: write_shots(
                path.with_suffix(".ts"),
                LENGTHS,
                codec="mpeg2video",
                options={"flags": "+ildct+ilme"},
            ),
            "interlaced",
        ),
    ],
    ids=["AVI", "a pause", "interlaced"],
)
def test_what_is_not_certain_is_left_to_one_reader_or_the_same(
    tmp_path: Path, write: Callable[[Path], Path], why: str
) -> None:
    source, config = write(tmp_path / "in"), UpscaleConfig()
    if why:
        with pytest.raises(NoIndexError, match=why):
            parallel(source, config)
    else:
        assert parallel(source, config) == serial(source, config)


def test_a_key_frame_that_is_none_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A jump that leads to other samples than those that come without it."""
    source, real = SOURCES["B-frames"](tmp_path / "in"), glance_at

    def other_samples(*arguments: object) -> Iterator[Glance]:
        for glance in real(*arguments):  # type: ignore[arg-type]
            yield glance._replace(crc=None if glance.crc is None else glance.crc ^ place[0])
        place[0] += 1

    place = [0]
    monkeypatch.setattr(parts, "glance_at", other_samples)
    with pytest.raises(NoIndexError, match="after a jump"):
        parallel(source, UpscaleConfig())


@pytest.mark.slow
def test_processes_do_so_and_one_that_dies_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, config = SOURCES["B-frames"](tmp_path / "in"), UpscaleConfig()
    assert parallel(source, config, scanners_here().scatter) == serial(source, config)
    with pytest.raises(NoIndexError, match="has died"):
        list(scanners_here().scatter(["no range"]))


@pytest.mark.slow
def test_a_job_is_scanned_by_several_or_one_and_that_is_told_to_who_asks(
    tmp_path: Path,
    model_file: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scan, "WORTHWHILE", 20)
    monkeypatch.setattr("vsr_cli.pipeline.units.scanners.cores", lambda: range(2))
    caplog.set_level(logging.DEBUG, "vsr_cli")
    config = tiny_config(model_file, workers=2)
    for name, said in (("B-frames", "by 2 processes, in"), ("broken", "by one process: ")):
        source = SOURCES["B-frames"](tmp_path / name)
        source = damaged(source, 0.5) if name == "broken" else source
        plan = Upscaler(config).plan(source, tmp_path / "out.mp4")
        assert plan.units == len(serial(source, config))
        assert said in caplog.text
