"""Parts of a source: the frames that are asked for, no more and no less."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import write_clip
from vsr_cli.config import InputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Note, ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import open_video, probe, read_frames
from vsr_cli.media.reading.trim import nth_time

MakeClip = Callable[..., Path]
RATE = Fraction(30000, 1001)
# Groups of pictures that refer to each other far ahead, and into the next group.
LONG_GROUPS = {"preset": "medium", "g": "60", "bf": "3", "x264-params": "open-gop=1:keyint=60"}
IRREGULAR = [0, 3003, 4004, 9009, 9100, 15015, 16016, 21021]  # in 1/30000 s


@pytest.fixture(scope="module")
def long_clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One clip of 200 frames in each container, by extension."""
    folder = tmp_path_factory.mktemp("long")
    return {
        suffix: write_clip(
            folder / f"in{suffix}", num_frames=200, rate=RATE, audio=["aac"], options=LONG_GROUPS
        )
        for suffix in (".mp4", ".mkv", ".ts")
    }


def assert_same_pictures(frames: list[Frame], expected: list[Frame]) -> None:
    assert len(frames) == len(expected) > 0
    for frame, other in zip(frames, expected, strict=True):
        assert frame.pts * frame.time_base == other.pts * other.time_base
        for plane, plane_of_other in zip(frame.planes, other.planes, strict=True):
            np.testing.assert_array_equal(plane, plane_of_other)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize(("first", "last"), [(0, 3), (1, 2), (150, 153), (59, None), (100, 999)])
def test_frames_are_cut_by_number(
    long_clips: dict[str, Path], suffix: str, first: int, last: int | None
) -> None:
    path = long_clips[suffix]
    whole = list(read_frames(path, report=ignore))
    with open_video(path, InputConfig(frames=(first, last))) as video:
        frames = list(video.frames(report=ignore))
    assert_same_pictures(frames, whole[first:last])
    start = frames[0].pts * frames[0].time_base
    assert video.info.origin == (start if first else probe(path).origin)
    if last and last < len(whole):
        end = whole[last].pts * whole[last].time_base
        assert video.info.stop is not None
        assert abs(video.info.stop - end) < Fraction(1, 1000)
    if video.info.num_frames is not None:
        assert video.info.num_frames == len(frames)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize(
    ("start", "stop"), [(0, Fraction(1, 2)), (Fraction(1, 10), 1), (5, 6), (Fraction("4.004"), 7)]
)
def test_times_are_cut_to_the_frame(
    long_clips: dict[str, Path], suffix: str, start: Fraction, stop: Fraction
) -> None:
    path = long_clips[suffix]
    origin = probe(path).origin
    whole = list(read_frames(path, report=ignore))
    with open_video(path, InputConfig(start=Fraction(start), stop=Fraction(stop))) as video:
        frames = list(video.frames(report=ignore))
    tick = Fraction(1, 1000) if suffix == ".mkv" else Fraction(0)  # what the container rounds off
    wanted = [
        frame for frame in whole if start - tick <= frame.pts * frame.time_base - origin < stop
    ]
    assert_same_pictures(frames, wanted)
    assert abs(video.info.origin - origin - start) <= tick
    assert video.info.stop == origin + stop


def test_a_duration_counts_from_the_start(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mp4", num_frames=50)
    config = InputConfig(start=Fraction(1), duration=Fraction(2, 25))
    with open_video(path, config) as video:
        times = [frame.pts * frame.time_base for frame in video.frames(report=ignore)]
    assert times == [Fraction(25, 25), Fraction(26, 25)]
    assert (video.info.start, video.info.stop) == (Fraction(1), Fraction(27, 25))
    assert (video.info.num_frames, video.info.duration) == (2, Fraction(2, 25))


def test_uneven_frames_are_cut_by_their_own_times(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mp4", pts=IRREGULAR, time_base=Fraction(1, 30000))
    with open_video(path, InputConfig(frames=(2, 5))) as video:
        pts = [frame.pts * frame.time_base * 30000 for frame in video.frames(report=ignore)]
    assert pts == IRREGULAR[2:5]
    assert (video.info.origin, video.info.stop) == (Fraction(4004, 30000), Fraction(15015, 30000))
    config = InputConfig(start=Fraction(9009, 30000), stop=Fraction(16016, 30000))
    pts = [
        frame.pts * frame.time_base * 30000 for frame in read_frames(path, config, report=ignore)
    ]
    assert pts == [9009, 9100, 15015]


@pytest.mark.parametrize(
    "config",
    [
        InputConfig(start=Fraction(99)),
        InputConfig(frames=(99, None)),
        InputConfig(start=Fraction(1, 100), stop=Fraction(2, 100)),
    ],
)
def test_a_part_without_a_frame_is_refused_at_once(
    tmp_path: Path, make_clip: MakeClip, config: InputConfig
) -> None:
    path = make_clip(tmp_path / "in.mp4")
    with (
        pytest.raises(InputError, match="no frame in the part") as caught,
        open_video(path, config),
    ):
        pass
    assert caught.value.hint


def test_damage_outside_the_part_is_not_counted(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mkv", num_frames=40, codec="ffv1")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for index in (2, 38):
        start, size = (packets[index].pos or 0) + 20, packets[index].size - 20
        data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    notes: list[object] = []
    frames = list(read_frames(path, InputConfig(frames=(5, 30)), report=notes.append))
    assert len(frames) == 25
    assert notes == []
    list(read_frames(path, report=notes.append))
    assert [n.code for n in notes if isinstance(n, Note)] == ["W_INPUT_DAMAGED"]


def test_a_stream_without_times_is_cut_by_its_rate(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.m4v", num_frames=50, codec="mpeg4")
    raw = tmp_path / "raw.m4v"
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        raw.write_bytes(
            (codec.extradata or b"")
            + b"".join(bytes(packet) for packet in container.demux(video=0))
        )
    config = InputConfig(format="m4v", start=Fraction(2, 5), stop=Fraction(4, 5))
    frames = list(read_frames(raw, config, report=ignore))
    whole = list(read_frames(raw, InputConfig(format="m4v"), report=ignore))
    assert len(frames) == 10
    for frame, other in zip(frames, whole[10:20], strict=True):
        np.testing.assert_array_equal(frame.planes[0], other.planes[0])


def test_the_nth_time_is_counted_in_order_of_presentation() -> None:
    times = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    assert nth_time(iter(times), 1, 3, reorder=3) == 4
    assert nth_time(iter(times), 8, 1) == 9
    assert nth_time(iter(times), 8, 2) is None


def test_the_time_code_is_that_of_the_first_frame_that_is_read(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    path = make_clip(tmp_path / "in.mp4", num_frames=30)
    coded = tmp_path / "coded.mov"
    with av.open(str(path)) as old, av.open(str(coded), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        stream.metadata["timecode"] = "10:00:00:00"
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    assert probe(coded).timecode == "10:00:00:00"
    assert probe(coded, InputConfig(frames=(26, 28))).timecode == "10:00:01:01"
    assert probe(coded, InputConfig(start=Fraction(1))).timecode == "10:00:01:00"
