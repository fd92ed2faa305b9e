"""How long frames and files last, and what follows from their rate, through chunks and muxers."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip, read_file
from tests.media.flat_video import flat_planes, rewrite
from tests.media.writers import join
from vsr_cli.config import InputConfig, OutputConfig
from vsr_cli.events import ignore
from vsr_cli.media.mp4_boxes import read_track
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.chunks import ChunkWriter
from vsr_cli.media.writing.output_plan import plan_output

MS = Fraction(1, 1000)
B_FRAMES = {"preset": "medium", "bf": "3", "b-pyramid": "normal", "b-adapt": "0"}
PAUSES = {  # times in ms: a pause early, late, and before the last frame
    "early": [0, 100, 2400, 2500, 2600, 2700, 2800, 2900, 3000, 3100],
    "late": [0, 100, 200, 300, 400, 500, 600, 700, 2900, 3000],
    "last": [0, 100, 200, 300, 400, 500, 600, 700, 800, 3900],
}


def rejoin(
    source: Path, target: Path, length: int = 4, *, config: OutputConfig | None = None
) -> None:
    """Write flat frames at the times of the source, in chunks of some frames."""
    info, config = probe(source), config or OutputConfig()
    plan = plan_output(target, source, info, (96, 128), config, report=ignore)
    frames = list(read_frames(source, report=ignore))
    chunks = []
    for start in range(0, len(frames), length):
        path = target.with_name(f"chunk{start}.mkv")
        with ChunkWriter(path, plan) as chunk:
            for level, frame in enumerate(frames[start : start + length]):
                planes = flat_planes(plan.coding.layout, plan.coding.size, 40 + start + level)
                chunk.write(frame.with_planes(planes, plan.coding.layout, plan.coding.color))
            chunk.finish()
        chunks.append(path)
    join(chunks, plan, source)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("name", PAUSES)
def test_a_pause_moves_neither_frames_nor_the_end(
    tmp_path: Path, make_clip: MakeClip, name: str, suffix: str
) -> None:
    """With B-frames, an MP4 says of each packet how long it is until the next is decoded."""
    times = PAUSES[name]
    source = make_clip(
        tmp_path / "in.mp4", pts=times, time_base=MS, rate=Fraction(10), options=B_FRAMES
    )
    rejoin(source, tmp_path / f"out{suffix}")
    new = read_file(tmp_path / f"out{suffix}")
    assert [time - new.times[0] for time in new.times] == [time * MS for time in times]
    with av.open(f"file:{tmp_path / f'out{suffix}'}") as container:
        track = read_track(container, container.streams.video[0])  # FFmpeg counts decoding times
        length = track.end if track else Fraction(container.duration or 0, av.time_base)
    assert length is not None
    assert abs(length - times[-1] * MS - Fraction(1, 10)) <= 2 * MS


@pytest.mark.parametrize("suffix", [".ts", ".nut"])
def test_a_last_frame_longer_than_a_container_can_tell_is_said_and_does_not_cost_the_file(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    plain, source = make_clip(tmp_path / "plain.mp4", num_frames=6), tmp_path / "in.mp4"
    with av.open(f"file:{plain}") as old, av.open(f"file:{source}", "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux() if packet.size]
        packets[-1].duration = 30 * (packets[-1].duration or 0)
        for packet in packets:
            packet.stream = stream
            new.mux(packet)
    notes = rewrite(source, tmp_path / f"out{suffix}")
    assert "W_LAST_FRAME" in {note.code for note in notes}
    times = read_file(tmp_path / f"out{suffix}").times
    assert [time - times[0] for time in times] == [Fraction(n, 25) for n in range(6)]
    assert "W_LAST_FRAME" not in {note.code for note in rewrite(source, tmp_path / "out.mkv")}
    assert rewrite(plain, tmp_path / f"even{suffix}") == []


def test_each_frame_lasts_until_the_next(tmp_path: Path, make_clip: MakeClip) -> None:
    times = PAUSES["late"]
    source = make_clip(
        tmp_path / "in.mp4", pts=times, time_base=MS, rate=Fraction(10), options=B_FRAMES
    )
    frames = list(read_frames(source, report=ignore))
    ends = [(frame.pts + frame.duration) * frame.time_base for frame in frames]
    assert ends == [time * MS for time in (*times[1:], 3100)]


def test_a_part_ends_with_its_last_frame_not_with_the_pause_after_it(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(
        tmp_path / "in.mp4", pts=PAUSES["late"], time_base=MS, rate=Fraction(10), options=B_FRAMES
    )
    config = InputConfig(stop=Fraction(1))
    last = list(read_frames(source, config, report=ignore))[-1]
    assert last.duration * last.time_base == Fraction(3, 10)


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(50)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_joined_stream_has_the_rate_of_the_source(
    tmp_path: Path, make_clip: MakeClip, suffix: str, rate: Fraction
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=9, rate=rate)
    rejoin(source, tmp_path / f"out{suffix}")
    with av.open(f"file:{tmp_path / f'out{suffix}'}") as container:
        found = container.streams.video[0].average_rate
        assert found is not None
        assert abs(found / rate - 1) < Fraction(1, 1000)
    data = (tmp_path / f"out{suffix}").read_bytes()
    if suffix == ".mkv":  # Default duration, in nanoseconds
        place = data.index(bytes.fromhex("23e383"))
        size = data[place + 3] & 0x7F
        duration = int.from_bytes(data[place + 4 : place + 4 + size], "big")
        assert duration == pytest.approx(1e9 / float(rate), abs=1)


def test_chunks_join_to_an_avi_that_decodes(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=9, audio=["libmp3lame"])
    rejoin(source, tmp_path / "out.avi", config=OutputConfig(verify="full"))
    with av.open(f"file:{tmp_path / 'out.avi'}") as container:
        levels = [frame.to_ndarray()[48, 64] for frame in container.decode(video=0)]
    assert [abs(int(level) - 40 - n) <= 1 for n, level in enumerate(levels)] == [True] * 9


@pytest.mark.parametrize(
    ("rate", "timecode"), [(Fraction(25), "01:00:00:10"), (Fraction(30000, 1001), "01:00:00;10")]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("kind", [".mov", ".mp4"])
def test_time_codes_survive_the_joining(
    tmp_path: Path, make_clip: MakeClip, kind: str, suffix: str, rate: Fraction, timecode: str
) -> None:
    plain = make_clip(tmp_path / "plain.mp4", num_frames=9, rate=rate)
    source = tmp_path / f"in{kind}"
    with av.open(f"file:{plain}") as old, av.open(f"file:{source}", "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0], opaque=True)
        copy.metadata["timecode"] = timecode
        copy.codec_context.framerate = rate
        for packet in old.demux():
            if packet.size:
                packet.stream = copy
                new.mux(packet)
    rejoin(source, tmp_path / f"out{suffix}")
    assert probe(tmp_path / f"out{suffix}").timecode == timecode


def test_a_file_that_ends_early_does_not_freeze(tmp_path: Path, make_clip: MakeClip) -> None:
    """What is left of it is as long as its frames, not as long as its header says."""
    source = make_clip(tmp_path / "in.mp4", num_frames=50, options={"bf": "2"})
    data = source.read_bytes()
    with av.open(f"file:{source}") as container:
        places = [packet.pos for packet in container.demux() if packet.pos]
    moov = data.index(b"moov") - 4
    if moov < min(place for place in places if place):  # the index comes first
        source.write_bytes(data[: places[25]])
    else:  # the bytes of the picture are gone
        source.write_bytes(data[: places[25]] + bytes(moov - places[25]) + data[moov:])
    last = list(read_frames(source, report=ignore))[-1]
    assert last.duration * last.time_base < 1
