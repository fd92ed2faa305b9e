"""Pipes in: read once, nothing lost, and refused with a reason where that cannot be."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vsr_cli.config import InputConfig
from vsr_cli.errors import ConfigError, InputError
from vsr_cli.events import ignore
from vsr_cli.media.byte_source import Pipe
from vsr_cli.media.frame import Frame
from vsr_cli.media.open import STDIN, open_container
from vsr_cli.media.reading.reader import VideoSource, open_video, probe, read_frames
from vsr_cli.media.side_streams import SideStreams

MakeClip = Callable[..., Path]
Feed = Callable[[bytes], None]


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    """Puts bytes into standard input, from a thread of its own."""
    threads: list[threading.Thread] = []

    def start(data: bytes) -> None:
        reading, writing = os.pipe()
        monkeypatch.setattr(sys, "stdin", os.fdopen(reading, "rb"))
        thread = threading.Thread(target=write_all, args=(writing, data))
        thread.start()
        threads.append(thread)

    yield start
    sys.stdin.close()
    for thread in threads:
        thread.join()


def write_all(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        try:
            pipe.write(data)
        except BrokenPipeError:
            return


def remux(source: Path, target: Path, **options: str) -> Path:
    with av.open(str(source)) as old, av.open(str(target), "w", container_options=options) as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    return target


def assert_same(frames: list[Frame], expected: list[Frame]) -> None:
    assert len(frames) == len(expected) > 0
    for frame, other in zip(frames, expected, strict=True):
        assert frame.pts * frame.time_base == other.pts * other.time_base
        for plane, plane_of_other in zip(frame.planes, other.planes, strict=True):
            np.testing.assert_array_equal(plane, plane_of_other)


def sound_of(path: Path, track: int = 0) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=track) if packet.size]


@pytest.mark.parametrize(
    ("suffix", "codec", "audio"),
    [(".mkv", "ffv1", "flac"), (".nut", "ffv1", "flac"), (".ts", "mpeg2video", "mp2")],
)
def test_a_pipe_gives_the_frames_and_the_sound_of_the_file(
    tmp_path: Path, make_clip: MakeClip, feed: Feed, suffix: str, codec: str, audio: str
) -> None:
    path = make_clip(tmp_path / f"in{suffix}", codec=codec, audio=[audio], num_frames=20)
    feed(path.read_bytes())
    with open_video(STDIN) as video:
        frames = list(video.frames(report=ignore))
        sound = [data for _, data in taken(video)]
    assert_same(frames, list(read_frames(path, report=ignore)))
    assert sound == sound_of(path)


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov+default_base_moof"])
def test_an_mp4_that_starts_with_its_index_can_be_piped(
    tmp_path: Path, make_clip: MakeClip, feed: Feed, movflags: str
) -> None:
    path = make_clip(tmp_path / "in.mp4", audio=["aac"], num_frames=20)
    path = remux(path, tmp_path / "out.mp4", movflags=movflags)
    feed(path.read_bytes())
    assert_same(list(read_frames(STDIN, report=ignore)), list(read_frames(path, report=ignore)))


def test_an_mp4_that_ends_with_its_index_is_refused_with_advice(
    tmp_path: Path, make_clip: MakeClip, feed: Feed
) -> None:
    data = make_clip(tmp_path / "in.mp4").read_bytes()
    index = data.index(b"moov") - 4
    filling = 3_000_000  # more than any buffer
    feed(data[:index] + filling.to_bytes(4) + b"free" + bytes(filling - 8) + data[index:])
    with pytest.raises(InputError, match="MP4") as caught, open_video(STDIN):
        pass
    assert caught.value.hint is not None
    assert "faststart" in caught.value.hint


def test_y4m_can_be_piped(tmp_path: Path, make_clip: MakeClip, feed: Feed) -> None:
    path = make_clip(tmp_path / "in.y4m", codec="wrapped_avframe", num_frames=3)
    feed(path.read_bytes())
    with open_video(STDIN) as video:
        assert (video.info.rate, video.info.is_vfr) == (Fraction(25), False)
        frames = list(video.frames(report=ignore))
    assert_same(frames, list(read_frames(path, report=ignore)))


def test_raw_video_is_what_the_user_says(feed: Feed) -> None:
    samples = np.random.default_rng(0).integers(0, 1024, (3, 6, 10, 8), dtype=np.uint16)
    feed(samples.tobytes())
    config = InputConfig(
        format="rawvideo",
        raw_size=(10, 8),
        raw_pix_fmt="gbrp10le",
        raw_rate=Fraction(30000, 1001),
    )
    expected = samples.reshape(6, 3, 10, 8)[:, [2, 0, 1]]  # R, G, B
    frames = list(read_frames(STDIN, config, report=ignore))
    assert [frame.pts * frame.time_base for frame in frames] == [
        n * Fraction(1001, 30000) for n in range(6)
    ]
    np.testing.assert_array_equal(np.stack([np.stack(frame.planes) for frame in frames]), expected)


@pytest.mark.parametrize(
    ("data", "says"), [(b"", "is empty"), (b"no video, only words\n" * 99, "cannot be read")]
)
def test_what_is_no_video_is_refused(feed: Feed, data: bytes, says: str) -> None:
    feed(data)
    with pytest.raises(InputError, match=f"standard input {says}") as caught, open_video(STDIN):
        pass
    assert caught.value.hint


def test_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(InputError, match="terminal"), open_video(STDIN):
        pass


def test_an_unknown_format_is_refused(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mkv")
    config = InputConfig(format="no-such")
    with pytest.raises(ConfigError, match="no-such"), open_video(path, config):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_read_like_standard_input(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mkv", num_frames=10)
    pipe = tmp_path / "pipe.mkv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    writer.start()
    frames = list(read_frames(pipe, report=ignore))
    writer.join()
    assert_same(frames, list(read_frames(path, report=ignore)))


def test_a_playlist_in_a_pipe_reaches_no_file(
    tmp_path: Path, make_clip: MakeClip, feed: Feed
) -> None:
    path = make_clip(tmp_path / "in.ts", codec="mpeg2video")
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
    feed(f"{head}file:{path}\n#EXT-X-ENDLIST\n".encode())
    with pytest.raises(InputError), open_video(STDIN):
        pass


def taken(video: VideoSource, track: int = 0) -> list[tuple[Fraction, bytes]]:
    """Every packet of the sound, with its time."""
    assert isinstance(video.side_streams, SideStreams)
    packets = video.side_streams.packets([video.container.streams.audio[track]])
    return [((p.dts or 0) * p.time_base, bytes(p)) for p in packets if p]


PLAYLISTS = {
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "self.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nself.m3u8\n",
    "concat.ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "dash.mpd": '<?xml version="1.0"?>\n<MPD><Period><BaseURL>{}</BaseURL></Period></MPD>',
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_list_of_other_files_is_refused_and_said_to_be_one(
    name: str, tmp_path: Path, make_clip: MakeClip
) -> None:
    other = make_clip(tmp_path / "other.ts", num_frames=2, codec="mpeg2video")
    path = tmp_path / name
    path.write_text(PLAYLISTS[name].format(other))
    with pytest.raises(InputError, match="is a list of other files"):
        probe(path)


def test_no_format_that_opens_other_files_can_be_asked_for(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    other = make_clip(tmp_path / "other.mp4", num_frames=2)
    path = tmp_path / "list.txt"
    path.write_text(f"file '{other}'\n")
    with pytest.raises(InputError, match="is a list of other files"):
        probe(path, InputConfig(format="concat"))


def test_sound_is_handed_out_in_step_with_the_picture(
    tmp_path: Path, make_clip: MakeClip, feed: Feed
) -> None:
    path = make_clip(tmp_path / "in.mkv", num_frames=150, audio=["flac", "flac"])
    feed(remux(path, tmp_path / "mixed.mkv").read_bytes())
    sound: list[bytes] = []
    counts: list[int] = []
    with open_video(STDIN) as video:
        assert isinstance(video.side_streams, SideStreams)
        packets = video.side_streams.packets([video.container.streams.audio[1]])
        for _ in video.frames(report=ignore):
            while (packet := next(packets)) is not None:
                sound.append(bytes(packet))
            counts.append(len(sound))
        sound += [bytes(packet) for packet in packets if packet]
    assert sound == sound_of(path, 1)
    assert len(set(counts)) > 10


def test_the_part_of_a_pipe_that_is_read_has_its_sound(
    tmp_path: Path, make_clip: MakeClip, feed: Feed
) -> None:
    path = make_clip(tmp_path / "in.mkv", num_frames=50, audio=["flac"])
    feed(remux(path, tmp_path / "mixed.mkv").read_bytes())
    with open_video(STDIN, InputConfig(start=Fraction(1, 2), stop=Fraction(1))) as video:
        times = [frame.pts * frame.time_base for frame in video.frames(report=ignore)]
        sound = [time for time, _ in taken(video)]
    assert times == [Fraction(n, 25) for n in range(13, 25)]
    assert sound[0] < Fraction(1, 2)
    assert sound[-1] >= Fraction(9, 10)


def test_closing_a_pipe_ends_a_read_that_waits() -> None:
    reading, writing = os.pipe()
    pipe = Pipe(reading)
    found: list[bytes | int] = []
    thread = threading.Thread(target=lambda: found.append(pipe.read(10)))
    thread.start()
    pipe.close()
    thread.join(timeout=5)
    assert found == [b""]
    os.close(reading)
    os.close(writing)


def test_a_size_that_no_video_has_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.y4m"
    source.write_bytes(b"YUV4MPEG2 W20000 H16 F25:1 Ip C420jpeg\nFRAME\n" + bytes(480_000))
    with pytest.raises(InputError, match="too large") as caught:
        probe(source)
    assert caught.value.why is not None
    assert "20000x16" in caught.value.why


def test_a_length_that_no_video_has_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height = 32, 16
        stream.metadata["NUMBER_OF_FRAMES"] = str(10**12)
        output.mux(stream.encode(av.VideoFrame(32, 16, "yuv420p")))
        output.mux(stream.encode(None))
    with pytest.raises(InputError, match="claims to have 1000000000000 frames"):
        probe(source)


def test_text_in_a_file_need_not_be_utf8(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mkv", num_frames=2, metadata={"title": "Kap#tel"})
    path.write_bytes(path.read_bytes().replace(b"Kap#tel", b"Kap\xectel"))
    with open_container(path) as container:
        assert container.metadata["title"] == "Kap\N{REPLACEMENT CHARACTER}tel"
    assert probe(path).width > 0


@pytest.mark.parametrize("text", ["yesterday", "10:00", "10:00:00:0x"])
def test_what_is_called_a_time_code_and_is_none_is_not_taken_for_one(
    tmp_path: Path, make_clip: MakeClip, text: str
) -> None:
    path = make_clip(tmp_path / "in.mkv", num_frames=4, metadata={"timecode": text})
    assert probe(path).timecode is None
    assert probe(path, InputConfig(frames=(1, 3))).timecode is None
