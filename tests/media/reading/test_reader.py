"""Videos in: what is found in a file, what comes out of it, and what is refused."""

import os
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vsr_cli.config import InputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.pixels import Matrix, Range

MakeClip = Callable[..., Path]
IRREGULAR = [0, 3003, 4004, 9009, 9100, 15015]  # in 1/30000 s


def read_all(path: Path) -> tuple[list[Frame], list[str]]:
    """All frames, and the codes of all notes."""
    events: list[Event] = []
    frames = list(read_frames(path, report=events.append))
    return frames, [event.code for event in events if isinstance(event, Note)]


def test_probe_tells_what_a_file_holds(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(
        tmp_path / "in.mp4",
        audio=["aac", "aac"],
        rotation=90,
        sample_aspect_ratio=Fraction(8, 9),
        colorspace=1,
        color_range=1,
    )
    info = probe(path)
    assert (info.height, info.width, info.codec, info.pix_fmt) == (48, 64, "h264", "yuv420p")
    assert (info.rate, info.num_frames) == (Fraction(25), 6)
    assert info.duration == Fraction(6, 25)
    assert (info.rotation, info.sample_aspect_ratio) == (90, Fraction(8, 9))
    assert (info.color.matrix, info.color.range) == (Matrix.BT709, Range.LIMITED)
    assert info.color_reason is None
    assert [(track.codec, track.language) for track in info.audio] == [
        ("aac", "eng"),
        ("aac", "deu"),
    ]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
@pytest.mark.parametrize("num_frames", [1, 2, 7])
def test_every_frame_is_read_once_in_order(
    tmp_path: Path, make_clip: MakeClip, num_frames: int, suffix: str
) -> None:
    path = make_clip(tmp_path / f"in{suffix}", num_frames=num_frames)
    frames, notes = read_all(path)
    times = [frame.pts * frame.time_base for frame in frames]
    assert len(frames) == num_frames
    assert times == [times[0] + Fraction(n, 25) for n in range(num_frames)]
    assert notes == []


def test_irregular_times_and_a_late_start_are_read_exactly(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    times = [time + 6000 for time in IRREGULAR]
    path = make_clip(tmp_path / "in.mp4", pts=times, time_base=Fraction(1, 30000))
    frames, _ = read_all(path)
    assert [frame.pts * frame.time_base for frame in frames] == [
        Fraction(time, 30000) for time in times
    ]


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (33, 50)])
@pytest.mark.parametrize(
    "pix_fmt",
    [
        *("yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv420p10le", "yuv422p12le", "yuv444p16le"),
        *("gray", "gray10le", "bgr0"),
    ],
)
def test_samples_are_those_of_the_decoder_without_padding(
    tmp_path: Path, make_clip: MakeClip, pix_fmt: str, size: tuple[int, int]
) -> None:
    path = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, size=size, num_frames=2)
    frames, _ = read_all(path)
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    for frame, picture in zip(frames, pictures, strict=True):
        shapes = tuple(plane.shape for plane in frame.planes)
        assert shapes == frame.layout.plane_shapes(*size)
        assert all(plane.flags.owndata and plane.flags.writeable for plane in frame.planes)
        if frame.layout.kind == "rgb":
            expected = picture.to_ndarray(format="rgb24").transpose(2, 0, 1)
            np.testing.assert_array_equal(np.stack(frame.planes), expected)
        elif frame.layout.kind == "gray":
            np.testing.assert_array_equal(frame.planes[0], picture.to_ndarray())
        else:
            for mine, theirs in zip(frame.planes, picture.planes, strict=True):
                lines = np.frombuffer(memoryview(theirs), mine.dtype)
                lines = lines.reshape(-1, theirs.line_size // mine.itemsize)
                np.testing.assert_array_equal(mine, lines[: mine.shape[0], : mine.shape[1]])


@pytest.mark.parametrize(
    ("pts", "is_vfr"), [(IRREGULAR, True), (list(range(0, 7007, 1001)), False), ([5], None)]
)
def test_uneven_frames_are_known_from_the_index(
    tmp_path: Path, make_clip: MakeClip, pts: list[int], is_vfr: bool | None
) -> None:
    path = make_clip(tmp_path / "in.mp4", pts=pts, time_base=Fraction(1, 30000))
    assert probe(path).is_vfr is is_vfr


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_that_an_avi_stores_out_of_order_come_evenly(
    tmp_path: Path, make_clip: MakeClip, codec: str
) -> None:
    path = make_clip(
        tmp_path / "in.avi", codec=codec, num_frames=30, options={"bf": "2", "preset": "medium"}
    )
    frames, notes = read_all(path)
    times = [frame.pts * frame.time_base for frame in frames]
    assert times == [times[0] + Fraction(n, 25) for n in range(30)]
    assert times[0] <= Fraction(3, 25)  # it is shown once those it is stored among are decoded
    assert notes == []


def test_frames_that_an_avi_leaves_out_leave_gaps(tmp_path: Path, make_clip: MakeClip) -> None:
    pts = [0, 1, 2, 5, 6, 9]
    path = make_clip(tmp_path / "in.avi", codec="mpeg4", pts=pts)
    frames, notes = read_all(path)
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 25) for n in pts]
    assert notes == []
    assert probe(path).is_vfr is True


def test_no_frame_is_moved_before_the_start(tmp_path: Path, make_clip: MakeClip) -> None:
    pts = [0, 34, 67, 101, 134, 167, 201, 234]  # on a grid that starts half a tick before 0
    path = make_clip(tmp_path / "in.mkv", pts=pts, time_base=Fraction(1, 1000), rate=Fraction(30))
    frames, _ = read_all(path)
    times = [frame.pts * frame.time_base for frame in frames]
    assert min(times) >= probe(path).origin
    assert max(abs(t * 1000 - p) for t, p in zip(times, pts, strict=True)) <= 1


def test_frames_before_an_edit_are_neither_counted_nor_read(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    """A file that was cut without coding it again starts to show in the middle of a group."""
    whole = make_clip(tmp_path / "in.mp4", num_frames=20, options={"g": "20"})
    path = tmp_path / "cut.mp4"
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts, packet.dts = (packet.pts or 0) - 512 * 8, (packet.dts or 0) - 512 * 8
                new.mux(packet)
    frames, notes = read_all(path)
    assert (len(frames), probe(path).num_frames, notes) == (12, 12, [])
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 25) for n in range(12)]
    expected, _ = read_all(whole)
    np.testing.assert_array_equal(frames[0].planes[0], expected[8].planes[0])


def test_full_range_is_known_from_the_tag(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mp4", color_range=2, colorspace=5)
    frames, _ = read_all(path)
    assert frames[0].color.range == Range.FULL
    assert frames[0].color.matrix == Matrix.BT601_625


@pytest.mark.parametrize("name", ["a%d:b.mp4", "-x y.mp4", "http:x.mp4", "größe.mp4"])
def test_names_that_look_like_something_else_are_files(
    tmp_path: Path, make_clip: MakeClip, name: str
) -> None:
    frames, _ = read_all(make_clip(tmp_path / name))
    assert len(frames) == 6


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_was_cut_off_gives_what_it_has_and_says_so(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    whole = make_clip(tmp_path / f"in{suffix}", num_frames=40, size=(96, 128), codec="mpeg4")
    if suffix == ".mp4":  # move the index to the front, where cutting spares it
        whole = remux_with_index_in_front(whole, tmp_path / "front.mp4")
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    frames, notes = read_all(cut)
    assert 0 < len(frames) < 40
    assert notes[-1] == "W_INPUT_TRUNCATED"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("num_missing", [0, 1, 3000])
def test_a_pipe_is_cut_off_only_where_bytes_of_its_index_are_missing(
    tmp_path: Path, make_clip: MakeClip, num_missing: int
) -> None:
    whole = make_clip(tmp_path / "in.mp4", num_frames=40, size=(96, 128), codec="mpeg4")
    data = remux_with_index_in_front(whole, tmp_path / "front.mp4").read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = threading.Thread(target=pipe.write_bytes, args=(data[: len(data) - num_missing],))
    thread.start()
    _, notes = read_all(pipe)
    thread.join()
    assert ("W_INPUT_TRUNCATED" in notes) == (num_missing > 0)


@pytest.fixture
def damaged(tmp_path: Path, make_clip: MakeClip) -> Path:
    """Twelve frames, the sixth of which does not decode."""
    path = make_clip(tmp_path / "in.mkv", num_frames=12, codec="ffv1")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    start, size = (packets[5].pos or 0) + 20, packets[5].size - 20
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    return path


def test_in_the_place_of_a_lost_frame_the_one_before_is_shown_again(damaged: Path) -> None:
    frames, notes = read_all(damaged)
    assert notes == ["W_INPUT_DAMAGED"]
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 25) for n in range(12)]
    assert np.array_equal(frames[5].planes[0], frames[4].planes[0])
    assert not np.array_equal(frames[6].planes[0], frames[4].planes[0])


def test_lost_frames_may_be_left_out_or_be_the_end(damaged: Path) -> None:
    skipping, stopping = (InputConfig(on_decode_error=policy) for policy in ("skip", "stop"))
    frames = list(read_frames(damaged, skipping, report=ignore))
    assert len(frames) == 11
    assert Fraction(5, 25) not in [frame.pts * frame.time_base for frame in frames]
    with pytest.raises(InputError, match="is damaged after frame 5") as stopped:
        list(read_frames(damaged, stopping, report=ignore))
    assert "--on-decode-error repeat" in (stopped.value.hint or "")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_with_frames_that_refer_to_others_count_and_times_survive_damage(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    path = make_clip(tmp_path / f"in{suffix}", num_frames=60, size=(96, 128))
    whole, none = read_all(path)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for packet in packets[20:24]:
        start = (packet.pos or 0) + (100 if suffix == ".ts" else 20)
        data[start : start + 20] = b"\0" * 20
    path.write_bytes(data)
    frames, notes = read_all(path)
    assert (none, notes) == ([], ["W_INPUT_DAMAGED"])
    found = [frame.pts for frame in frames]
    assert found == sorted(set(found))
    assert set(found) <= {frame.pts for frame in whole}
    assert len(found) >= (60 if suffix != ".ts" else 56)  # there whole packets may be gone


def missing(path: Path, _: Callable[..., Path]) -> Path:
    return path / "missing.mp4"


def folder(path: Path, _: Callable[..., Path]) -> Path:
    return path


def text(path: Path, _: Callable[..., Path]) -> Path:
    file = path / "notes.txt"
    file.write_text("no video, only words\n" * 50)
    return file


def text_called_video(path: Path, _: Callable[..., Path]) -> Path:
    return text(path, _).rename(path / "notes.mp4")


def subtitles(path: Path, _: Callable[..., Path]) -> Path:
    file = path / "in.srt"
    file.write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n")
    return file


def sound_only(path: Path, make_sound: Callable[..., Path]) -> Path:
    return make_sound(path / "sound.m4a")


def zero_bytes(path: Path, _: Callable[..., Path]) -> Path:
    file = path / "empty.mp4"
    file.touch()
    return file


def random_bytes(path: Path, _: Callable[..., Path]) -> Path:
    file = path / "noise.mkv"
    file.write_bytes(np.random.default_rng(0).bytes(5000))
    return file


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (missing, "does not exist"),
        (folder, "is a folder without images"),
        (text, "cannot be read as a video"),
        (text_called_video, "cannot be read as a video"),
        (subtitles, "has no video"),
        (sound_only, "has no video"),
        (zero_bytes, "is empty"),
        (random_bytes, "cannot be read as a video"),
    ],
)
def test_what_is_no_video_is_refused_with_a_reason_and_advice(
    tmp_path: Path,
    make_sound: Callable[..., Path],
    build: Callable[[Path, Callable[..., Path]], Path],
    says: str,
) -> None:
    path = build(tmp_path, make_sound)
    with pytest.raises(InputError, match=says) as caught:
        probe(path)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert path.name in str(caught.value)


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_video_without_its_index_is_refused(
    tmp_path: Path, make_clip: MakeClip, share: float
) -> None:
    path = make_clip(tmp_path / "in.mp4")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match=r"in\.mp4") as caught:
        probe(path)
    assert caught.value.hint


def test_a_playlist_on_disk_reaches_no_network(tmp_path: Path) -> None:
    playlist = tmp_path / "in.m3u8"
    playlist.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(InputError):
        probe(playlist)


def remux_with_index_in_front(source: Path, target: Path) -> Path:
    options = {"movflags": "faststart"}
    with av.open(str(source)) as old, av.open(str(target), "w", container_options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    return target
