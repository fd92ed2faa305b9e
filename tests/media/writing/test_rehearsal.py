"""What would fail at the end of a job fails before its start, and nothing is left behind."""

import tempfile
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip
from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
from vsr_cli.events import ignore
from vsr_cli.media.reading.reader import probe
from vsr_cli.media.side_streams import SideStreams, open_side_streams
from vsr_cli.media.writing.output_plan import OutputPlan, plan_output
from vsr_cli.media.writing.rehearsal import MOST_PACKETS, PACKETS_OF_STREAM, _first_of, rehearse

SIZE = (96, 128)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def make_plan(source: Path, target: Path, config: OutputConfig | None = None) -> OutputPlan:
    info = probe(source)
    return plan_output(target, source, info, SIZE, config or OutputConfig(), report=ignore)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.ts", "out.avi", "out.y4m", "%d.png"])
def test_nothing_is_left_of_a_rehearsal(
    tmp_path: Path, make_clip: MakeClip, temporary: Path, name: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", audio=["aac"])
    plan = make_plan(source, tmp_path / name)
    from_chunks = name in ("out.mp4", "out.mkv")
    with open_side_streams(source, plan.info) as side_streams:
        rehearse(plan, side_streams, from_chunks=from_chunks, report=ignore)
    assert sorted(tmp_path.iterdir()) == [source, temporary]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (OutputConfig(preset="99"), "does not open"),
        (OutputConfig(video_codec="huffyuv"), "cannot hold `huffyuv`"),
    ],
)
def test_what_encoder_or_container_refuse_is_met_before_any_work(
    tmp_path: Path, make_clip: MakeClip, temporary: Path, config: OutputConfig, says: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", audio=["aac"])

    def rehearse_it() -> None:
        plan = make_plan(source, tmp_path / "out.mp4", config)
        with open_side_streams(source, plan.info) as side_streams:
            rehearse(plan, side_streams, from_chunks=True, report=ignore)

    with pytest.raises(OutputError, match=says):
        rehearse_it()
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_a_target_that_exists_is_not_touched(
    tmp_path: Path, make_clip: MakeClip, temporary: Path
) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    plan = make_plan(source, target, OutputConfig(overwrite=True))
    with open_side_streams(source, plan.info) as side_streams:
        rehearse(plan, side_streams, from_chunks=True, report=ignore)
    assert target.read_bytes() == b"precious"


def test_a_pipe_is_not_read(tmp_path: Path, make_clip: MakeClip, temporary: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", audio=["aac"])
    plan = make_plan(source, tmp_path / "out.ts")

    def fail(streams: object) -> "object":
        raise AssertionError("a live source was read")

    with av.open(f"file:{source}") as container:
        live = SideStreams(container, fail, is_live=True)  # type: ignore[arg-type]
        rehearse(plan, live, from_chunks=False, report=ignore)


def test_of_each_stream_a_few_packets_are_taken(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=60, audio=["aac", "libopus"])
    with open_side_streams(source, probe(source)) as side_streams:
        streams = [stream for stream in side_streams.container.streams if stream.type == "audio"]
        taken = [
            packet.stream_index
            for packet in _first_of(side_streams.packets)(streams)
            if packet is not None
        ]
        counts = [taken.count(stream.index) for stream in streams]
    assert min(counts) >= PACKETS_OF_STREAM
    assert len(taken) < 6 * PACKETS_OF_STREAM < MOST_PACKETS


def test_without_a_temporary_folder_the_user_is_told(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    plan = make_plan(source, tmp_path / "out.mp4")
    with (
        open_side_streams(source, plan.info) as side_streams,
        pytest.raises(OutputError, match="temporary folder"),
    ):
        rehearse(plan, side_streams, from_chunks=True, report=ignore)
