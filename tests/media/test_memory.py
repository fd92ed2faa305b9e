"""Damaged files ask for absurd memory, which is no lack of it: they end as damaged files do."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import pytest
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tests.conftest import MakeClip
from tests.media.flat_video import flat_planes
from tests.media.writers import open_writer, write_planes
from vsr_cli.config import OutputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media import memory
from vsr_cli.media import open as opening
from vsr_cli.media.memory import is_memory_short, sensible_memory
from vsr_cli.media.reading import demuxer
from vsr_cli.media.reading.geometry import open_header, read_orientation
from vsr_cli.media.reading.reader import open_video, probe, read_frames
from vsr_cli.media.roundtrip import decode_rgb
from vsr_cli.media.side_streams import reopen_side_streams

NO_MEMORY = av.error.MemoryError(12, "Cannot allocate memory")
NUM_FRAMES = 12


class BrokenContainer:
    """A container whose packets end in an absurd request after the first few."""

    def __init__(self, container: object) -> None:
        self._container = container

    def __getattr__(self, name: str) -> object:
        return getattr(self._container, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._container.close()  # type: ignore[attr-defined]

    def demux(self, *streams: object) -> Iterator[object]:
        for count, packet in enumerate(self._container.demux(*streams)):  # type: ignore[attr-defined]
            if count == 8:
                raise NO_MEMORY
            yield packet


class BrokenDecoder:
    """A decoder to which one packet is an absurd request."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream, self._count = stream, 0

    def decode(self, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
        self._count += 1
        if self._count == 6:
            raise NO_MEMORY
        return self._stream.decode(packet)


@pytest.fixture
def clip(tmp_path: Path, make_clip: MakeClip) -> Path:
    return make_clip(tmp_path / "in.mkv", num_frames=NUM_FRAMES, codec="mpeg4", audio=["pcm_s16le"])


@pytest.fixture
def break_demuxing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def start() -> None:
        real = opening._open_data
        monkeypatch.setattr(opening, "_open_data", lambda *a: BrokenContainer(real(*a)))

    return start


def lack_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "is_memory_short", lambda: True)


def read_all(source: Path) -> tuple[int, set[str]]:
    codes = set[str]()

    def note(event: Event) -> None:
        if isinstance(event, Note):
            codes.add(event.code)

    return sum(1 for _ in read_frames(source, report=note)), codes


def double(path: Path, name: bytes) -> None:
    """Have a box of an MP4 twice, the last of its kind."""
    data = path.read_bytes()
    start = data.rindex(name) - 4
    size = int.from_bytes(data[start : start + 4])
    path.write_bytes(data[:start] + data[start : start + size] + data[start:])


def test_a_table_of_samples_that_comes_twice_is_the_fault_of_the_file(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    path = make_clip(tmp_path / "in.mov", num_frames=NUM_FRAMES, audio=["pcm_s16le"])
    double(path, b"stts")
    with pytest.raises(av.error.MemoryError):
        av.open(str(path))
    with pytest.raises(InputError, match=r"in\.mov` cannot be read as a video") as caught:
        probe(path)
    assert caught.value.why == "it asks for more memory than any video needs"


@pytest.mark.parametrize("read", [probe, read_all, lambda path: list(decode_rgb(path))])
def test_what_asks_for_absurd_memory_when_it_is_opened_cannot_be_read(
    clip: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NO_MEMORY

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(InputError):
        read(clip)


def test_a_source_ends_where_reading_on_asks_for_absurd_memory(
    clip: Path, break_demuxing: Callable[[], None]
) -> None:
    break_demuxing()
    num_frames, codes = read_all(clip)
    assert 0 < num_frames < NUM_FRAMES
    assert codes == {"W_INPUT_TRUNCATED"}


def test_a_picture_that_asks_for_absurd_memory_is_a_damaged_one(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demuxer, "make_alpha_decoder", BrokenDecoder)
    num_frames, codes = read_all(clip)
    assert num_frames == NUM_FRAMES
    assert codes == {"W_INPUT_DAMAGED"}


def test_side_streams_end_where_reading_on_asks_for_absurd_memory(
    clip: Path, break_demuxing: Callable[[], None]
) -> None:
    with open_video(clip) as video:
        break_demuxing()
        sides = reopen_side_streams(video.container, clip, video.info)
        sound = list(video.container.streams.audio)
        assert set(sides.heads(sound).packets) == {sound[0].index}
        with pytest.raises(av.error.InvalidDataError):
            list(sides.packets(sound))


@pytest.mark.parametrize("where", ["open", "demux", "decode"])
def test_a_real_lack_of_memory_stays_one(
    clip: Path, monkeypatch: pytest.MonkeyPatch, break_demuxing: Callable[[], None], where: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NO_MEMORY

    lack_memory(monkeypatch)
    if where == "open":
        monkeypatch.setattr(av, "open", fail)
    elif where == "demux":
        break_demuxing()
    else:
        monkeypatch.setattr(demuxer, "make_alpha_decoder", BrokenDecoder)
    with pytest.raises(MemoryError):
        list(read_frames(clip, report=ignore))


def test_memory_is_short_where_a_large_frame_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_memory_short()
    monkeypatch.setattr(memory, "ENOUGH", 1 << 62)
    assert is_memory_short()


def test_other_errors_of_a_file_are_left_as_they_are() -> None:
    with pytest.raises(av.error.EOFError), sensible_memory("in.mkv"):
        raise av.error.EOFError(0, "end of file")


def write_png(path: Path, width: int, height: int) -> Path:
    """A whole image of one colour, which takes little room in its file."""

    def part(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([1, 0, 0, 0, 0])  # 1 bit, grey
    rows = zlib.compress(bytes((1 + -(-width // 8)) * height), 9)
    parts = part(b"IHDR", header) + part(b"IDAT", rows) + part(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


@pytest.mark.parametrize("is_sequence", [False, True])
def test_a_picture_of_absurd_size_is_refused_before_there_is_room_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_sequence: bool
) -> None:
    monkeypatch.setitem(memory.PICTURE_OPTIONS, "max_pixels", str(1 << 12))
    good = write_png(tmp_path / "1.png", 64, 64)
    source = good.with_name("%d.png") if is_sequence else good
    assert probe(source).width == 64
    write_png(tmp_path / "1.png", 64, 65)
    with pytest.raises(InputError, match="has no picture that can be decoded") as caught:
        probe(source)
    assert caught.value.hint is not None
    assert "of more than 134 million pixels" in caught.value.hint


def test_an_absurd_picture_among_others_is_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(memory.PICTURE_OPTIONS, "max_pixels", str(1 << 12))
    for number in range(1, 4):
        write_png(tmp_path / f"{number}.png", 64, 999 if number == 2 else 64)
    assert read_all(tmp_path / "%d.png")[0] == 2


def test_what_this_program_has_written_may_be_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_clip: MakeClip
) -> None:
    monkeypatch.setitem(memory.PICTURE_OPTIONS, "max_pixels", str(64 * 48))
    source = make_clip(tmp_path / "in.mkv", num_frames=6, codec="ffv1")
    info, target = probe(source), tmp_path / "out.mkv"
    config = OutputConfig(video_codec="ffv1", verify="full")
    with open_writer(target, info, (480, 640), config, source=source, report=ignore) as writer:
        for index, frame in enumerate(read_frames(source, report=ignore)):
            write_planes(writer, frame, flat_planes(writer.plan.coding.layout, (480, 640), index))
        writer.finish()
    with pytest.raises(InputError):
        probe(target)


def test_a_picture_of_an_unknown_codec_is_refused(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(InputError, match="cannot be decoded"):
        probe(path)


def test_of_large_images_nothing_is_said_by_others(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """As photos of phones are: Pillow warns of more than 89 million pixels."""
    path = write_png(tmp_path / "1.png", 12_000, 9_000)
    with open_header(path) as image:
        assert image.size == (12_000, 9_000)
    assert read_orientation(path) is None
    assert recwarn.list == []
