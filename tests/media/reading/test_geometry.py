"""What is seen of a picture, and pictures that change midway: all have the size of the first."""

import os
import struct
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tests.conftest import MakeClip
from vsr_cli.config import InputConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Event, Note
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.geometry import read_orientation
from vsr_cli.media.reading.reader import open_video, probe, read_frames
from vsr_cli.pixels import Matrix, Range

SIZE = (48, 64)


def read(source: Path, config: InputConfig | None = None) -> tuple[list[Frame], dict[str, str]]:
    events: list[Event] = []
    frames = list(read_frames(source, config or InputConfig(), report=events.append))
    return frames, {event.code: event.text for event in events if isinstance(event, Note)}


def joined(path: Path, parts: Sequence[Path]) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_a_size_that_changes_in_mpeg_2_is_fitted(tmp_path: Path, make_clip: MakeClip) -> None:
    parts = [
        make_clip(tmp_path / f"{size[0]}.ts", size=size, codec="mpeg2video")
        for size in (SIZE, (96, 128))
    ]
    frames, notes = read(joined(tmp_path / "in.ts", parts))
    assert len(frames) >= 11  # FFmpeg's decoder forgets the one that it holds at the change
    assert {frame.size for frame in frames} == {SIZE}
    assert "W_PICTURE_CHANGES" in notes


@pytest.mark.parametrize("other", [(96, 128), (24, 32), (64, 96)])
def test_a_size_that_changes_is_fitted_to_the_first_and_said_once(
    tmp_path: Path, make_clip: MakeClip, other: tuple[int, int]
) -> None:
    first = make_clip(tmp_path / "1.ts", size=SIZE)
    second = make_clip(tmp_path / "2.ts", size=other)
    frames, notes = read(joined(tmp_path / "in.ts", [first, second, first]))
    assert [frame.size for frame in frames] == [SIZE] * 18
    assert notes["W_PICTURE_CHANGES"].count("from frame 6 on") == 1
    assert f"{other[1]}x{other[0]} instead of 64x48" in notes["W_PICTURE_CHANGES"]
    alone, _ = read(first)
    for a, b in zip(frames[12:], alone, strict=True):  # those of the first size are untouched
        np.testing.assert_array_equal(a.planes[0], b.planes[0])
    if other == (64, 96):  # wider: black above and below
        assert frames[8].planes[0][0].max() <= 20
        assert frames[8].planes[0][24].max() > 60
    else:
        shrunk = frames[8].planes[0].astype(np.float64)
        assert shrunk.std() > 20


def test_pixels_that_change_their_shape_keep_the_picture_undistorted(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    narrow = make_clip(tmp_path / "1.ts", size=SIZE, sample_aspect_ratio=Fraction(1))
    wide = make_clip(tmp_path / "2.ts", size=SIZE, sample_aspect_ratio=Fraction(4, 3))
    frames, notes = read(joined(tmp_path / "in.ts", [narrow, wide]))
    assert "pixels are 4:3 instead of 1:1" in notes["W_PICTURE_CHANGES"]
    assert frames[9].size == SIZE
    assert frames[9].planes[0][:5].max() <= 20  # 64x48 at 4:3 is 64x36 at 1:1
    assert frames[3].planes[0][:5].max() > 60


def test_formats_and_colours_that_change_are_converted_frame_by_frame(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    first = make_clip(tmp_path / "1.ts", colorspace=1, color_range=1)
    second = make_clip(tmp_path / "2.ts", pix_fmt="yuv422p10le", colorspace=5, color_range=2)
    frames, notes = read(joined(tmp_path / "in.ts", [first, second]))
    assert "yuv422p10le instead of yuv420p" in notes["W_PICTURE_CHANGES"]
    assert "colour tags" in notes["W_PICTURE_CHANGES"]
    assert (frames[2].layout.depth, frames[8].layout.depth) == (8, 10)
    assert (frames[2].color.matrix, frames[2].color.range) == (Matrix.BT709, Range.LIMITED)
    assert (frames[8].color.matrix, frames[8].color.range) == (Matrix.BT601_625, Range.FULL)


def test_deinterlacing_goes_on_where_the_format_changes(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    first = make_clip(tmp_path / "1.ts")
    second = make_clip(tmp_path / "2.ts", pix_fmt="yuv444p", size=(96, 128))
    source = joined(tmp_path / "in.ts", [first, second])
    frames, _ = read(source, InputConfig(deinterlace="frame"))
    assert [frame.size for frame in frames] == [SIZE] * 12


def luma(frames: Sequence[Frame]) -> list[NDArray[np.float64]]:
    return [frame.planes[0].astype(np.float64) for frame in frames]


def elements(data: bytes) -> list[tuple[bytes, bytes]]:
    """Identifiers and contents of Matroska's elements (RFC 8794)."""
    found, place = [], 0
    while place < len(data):
        key = data[place : place + 9 - data[place].bit_length()]
        place += len(key)
        length = 9 - data[place].bit_length()
        size = int.from_bytes(data[place : place + length], "big") & ((1 << 7 * length) - 1)
        place += length
        found.append((key, data[place : place + size]))
        place += size
    return found


def element(key: str | bytes, content: bytes) -> bytes:
    name = bytes.fromhex(key) if isinstance(key, str) else key
    return name + (1 << 56 | len(content)).to_bytes(8, "big") + content


def with_matroska_crop(source: Path, *, is_endless: bool) -> Path:
    """Have a file ask that 8, 10, 4 and 6 pixels be cropped: left, right, top, bottom."""
    wanted = {"54cc": 8, "54dd": 10, "54bb": 4, "54aa": 6}
    [(ebml, head), (segment, body)] = elements(source.read_bytes())
    parts = dict(elements(body))
    track = dict(elements(parts[bytes.fromhex("1654ae6b")]))[b"\xae"]
    entries = [
        (
            key,
            content + b"".join(element(edge, bytes([n])) for edge, n in wanted.items())
            if key == b"\xe0"
            else content,
        )
        for key, content in elements(track)
    ]
    rest = [element(key, content) for key, content in elements(body) if key in CLUSTER_AND_INFO]
    tracks = element("1654ae6b", element("ae", b"".join(element(*entry) for entry in entries)))
    children = rest[0] + tracks + b"".join(rest[1:])
    start = segment + b"\x01" + b"\xff" * 7 + children if is_endless else element(segment, children)
    source.write_bytes(element(ebml, head) + start)
    return source


CLUSTER_AND_INFO = (bytes.fromhex("1549a966"), bytes.fromhex("1f43b675"))


@pytest.mark.parametrize("is_endless", [False, True])
def test_what_matroska_crops_is_not_seen(
    tmp_path: Path, make_clip: MakeClip, is_endless: bool
) -> None:
    source = make_clip(tmp_path / "in.mkv", size=SIZE)
    whole, notes = read(source)
    assert notes == {}
    with_matroska_crop(source, is_endless=is_endless)
    frames, notes = read(source)
    info = probe(source)
    assert (info.height, info.width) == (38, 46)
    for frame, before in zip(luma(frames), luma(whole), strict=True):
        np.testing.assert_array_equal(frame, before[4:42, 8:54])
    assert "8 left, 10 right, 4 top, 6 bottom" in notes["W_CROPPED"]


def with_aperture(source: Path) -> Path:
    """Have an MP4 say that 46x38 pixels are clean, their centre 1 left and 1 up of the middle."""
    numbers = (46, 1, 38, 1, -1, 1, -1, 1)
    clap = struct.pack(">I4s", 40, b"clap") + struct.pack(">IIIIiIiI", *numbers)
    data = source.read_bytes()
    end = data.index(b"avcC") - 4
    data = data[:end] + clap + data[end:]
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = data.index(kind, data.rindex(b"moov")) - 4
        size = int.from_bytes(data[place : place + 4], "big") + len(clap)
        data = data[:place] + size.to_bytes(4, "big") + data[place + 4 :]
    source.write_bytes(data)  # the index comes last, so that nothing it points to has moved
    return source


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_only_the_clean_aperture_is_seen(tmp_path: Path, make_clip: MakeClip, suffix: str) -> None:
    source = make_clip(tmp_path / f"in{suffix}", size=SIZE)
    whole, _ = read(source)
    frames, notes = read(with_aperture(source))
    for frame, before in zip(luma(frames), luma(whole), strict=True):
        np.testing.assert_array_equal(frame, before[4:42, 8:54])
    assert "W_CROPPED" in notes


def with_index_first(source: Path) -> Path:
    """Have the index of an MP4 of one track come before its pictures."""
    data = source.read_bytes()
    place = data.rindex(b"moov") - 4
    index = bytearray(data[place:])
    table = index.index(b"stco") + 8
    for number in range(int.from_bytes(index[table : table + 4], "big")):
        entry = slice(table + 4 + 4 * number, table + 8 + 4 * number)
        moved = int.from_bytes(index[entry], "big") + len(index)
        index[entry] = moved.to_bytes(4, "big")
    end = int.from_bytes(data[:4], "big")  # of the box that says what it is
    source.write_bytes(data[:end] + index + data[end:place])
    return source


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_what_a_container_crops_is_not_seen_through_a_pipe_either(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    source = make_clip(tmp_path / f"in{suffix}", size=SIZE)
    if suffix == ".mkv":
        with_matroska_crop(source, is_endless=True)
    else:
        with_index_first(with_aperture(source))
    expected, _ = read(source)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = threading.Thread(target=pipe.write_bytes, args=(source.read_bytes(),))
    thread.start()
    frames, notes = read(pipe)
    thread.join()
    for frame, other in zip(luma(frames), luma(expected), strict=True):
        assert frame.shape == (38, 46)
        np.testing.assert_array_equal(frame, other)
    assert "W_CROPPED" in notes


@pytest.mark.parametrize("left", [2, 8, 16])
def test_what_the_codec_crops_is_cut_where_it_says(
    tmp_path: Path, make_clip: MakeClip, left: int
) -> None:
    source = make_clip(tmp_path / "in.ts", size=SIZE)
    whole, _ = read(source)
    target = tmp_path / "out.264"
    crop = f"h264_metadata=crop_left={left}:crop_right=4:crop_top=2:crop_bottom=6"
    with av.open(f"file:{source}") as old, target.open("wb") as new:
        stream = old.streams.video[0]
        cropped = BitStreamFilterContext(crop, stream)
        for packet in old.demux(stream):
            for made in cropped.filter(packet) if packet.size else ():
                new.write(bytes(made))
    frames, _ = read(target)
    for frame, before in zip(luma(frames), luma(whole), strict=True):
        np.testing.assert_array_equal(frame, before[2:42, left:60])


@pytest.mark.parametrize(
    ("suffix", "format_", "codec", "rate"),
    [
        (".264", "h264", "libx264", Fraction(30)),
        (".264", "h264", "libx264", Fraction(24000, 1001)),
        (".265", "hevc", "libx265", Fraction(50)),
        (".265", "hevc", "libx265", Fraction(30000, 1001)),
        (".m2v", "mpeg2video", "mpeg2video", Fraction(24000, 1001)),
        (".m4v", "m4v", "mpeg4", Fraction(30)),
    ],
)
def test_a_bare_stream_has_the_rate_of_its_codec(
    tmp_path: Path, suffix: str, format_: str, codec: str, rate: Fraction
) -> None:
    source = write_bare(tmp_path / f"in{suffix}", format_, codec, rate)
    frames, notes = read(source)
    assert [frame.pts * frame.time_base for frame in frames] == [n / rate for n in range(12)]
    assert notes == {}
    frames, notes = read(source, InputConfig(raw_rate=Fraction(15)))
    times = [frame.pts * frame.time_base for frame in frames]
    assert times == [Fraction(n, 15) for n in range(12)]
    assert notes == {}


def write_bare(path: Path, format_: str, codec: str, rate: Fraction) -> Path:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(f"file:{path}", "w", format=format_) as output:
        stream = output.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.codec_context.height, stream.codec_context.width = SIZE
        for number in range(12):
            grey = np.full((*SIZE, 3), 20 * number, np.uint8)
            frame = VideoFrame.from_ndarray(grey, format="rgb24").reformat(
                format=stream.codec_context.pix_fmt
            )
            frame.pts, frame.time_base = number, 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def test_where_nobody_tells_the_rate_it_is_said(tmp_path: Path) -> None:
    source = tmp_path / "in.mjpeg"
    with av.open(f"file:{source}", "w", format="mjpeg") as output:
        stream = output.add_stream("mjpeg", rate=30)
        assert isinstance(stream, VideoStream)
        stream.codec_context.pix_fmt = "yuvj420p"
        stream.codec_context.height, stream.codec_context.width = SIZE
        for number in range(3):
            frame = VideoFrame(64, 48, "yuvj420p")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    frames, notes = read(source)
    assert frames[2].pts * frames[2].time_base == Fraction(2, 25)
    assert "`--input-fps`" in notes["W_NO_RATE"]
    frames, notes = read(source, InputConfig(raw_rate=Fraction(30)))
    assert (frames[2].pts * frames[2].time_base, notes) == (Fraction(2, 30), {})


def test_a_rate_for_frames_that_have_times_is_refused(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4")
    with (
        pytest.raises(ConfigError, match="times of its own"),
        open_video(source, InputConfig(raw_rate=Fraction(30))),
    ):
        pass


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("rate", [300, 480, 960, 1000])
def test_high_rates_are_believed_where_the_times_agree(
    tmp_path: Path, make_clip: MakeClip, suffix: str, rate: int
) -> None:
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    source = make_clip(tmp_path / f"in{suffix}", num_frames=40, rate=Fraction(rate), codec=codec)
    info = probe(source)
    assert abs(info.rate / rate - 1) < Fraction(1, 50)
    frames, _ = read(source)
    times = [frame.pts * frame.time_base for frame in frames]
    assert abs(times[-1] - times[0] - Fraction(39, rate)) <= Fraction(1, 1000)


def test_a_clock_is_not_taken_for_a_rate(tmp_path: Path, make_clip: MakeClip) -> None:
    times = [0, 40, 80, 121, 160, 200, 240]
    source = make_clip(
        tmp_path / "in.mkv", pts=times, time_base=Fraction(1, 1000), rate=Fraction(1000)
    )
    assert 20 < probe(source).rate < 30


def test_an_image_whose_damage_pillow_calls_a_syntax_error_is_not_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise SyntaxError("APNG contains frame sequence errors")

    monkeypatch.setattr("PIL.Image.open", fail)
    assert read_orientation(tmp_path / "damaged.apng") is None
