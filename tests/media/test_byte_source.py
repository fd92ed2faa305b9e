import errno
import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip
from vsr_cli.cancellation import abandon_when
from vsr_cli.config import InputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media import byte_source
from vsr_cli.media.byte_source import FileSource, Pipe
from vsr_cli.media.open import demux, open_container
from vsr_cli.media.reading.reader import open_video, probe, read_frames

needs_signals = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")


class DeadDisk:
    """A disk of which no file gives anything until `answer` is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._has_answered = threading.Event()
        read = os.read

        def wait(descriptor: int, size: int) -> bytes:
            if threading.current_thread().name == "vsr-disk":
                self._has_answered.wait()
            return read(descriptor, size)

        monkeypatch.setattr(os, "read", wait)

    def answer(self) -> None:
        self._has_answered.set()


@pytest.fixture
def dead_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadDisk]:
    disk = DeadDisk(monkeypatch)
    yield disk
    disk.answer()


@pytest.fixture
def interrupted_soon() -> Iterator[None]:
    """A Ctrl-C that comes after a moment."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@needs_signals
def test_a_disk_that_does_not_answer_can_be_interrupted(
    tmp_path: Path, make_clip: MakeClip, dead_disk: DeadDisk, interrupted_soon: None
) -> None:
    path = make_clip(tmp_path / "in.mkv", num_frames=2)
    with pytest.raises(KeyboardInterrupt):
        probe(path)


@needs_signals
def test_a_pipe_that_nobody_fills_can_be_interrupted(interrupted_soon: None) -> None:
    reading, writing = os.pipe()
    pipe = Pipe(reading)
    with pytest.raises((TypeError, av.FFmpegError)):
        av.open(pipe, "r")
    assert isinstance(pipe.interruption, KeyboardInterrupt)
    os.close(writing)
    os.close(reading)


@needs_signals
@pytest.mark.parametrize("ending", [".h264", ".ts"])
def test_a_file_without_end_can_be_interrupted(
    tmp_path: Path, make_clip: MakeClip, ending: str, interrupted_soon: None
) -> None:
    """FFmpeg reads on without ever coming back; the signal meets it anywhere."""
    format_ = "h264" if ending == ".h264" else "mpegts"
    path = tmp_path / f"in{ending}"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # all zeros, which take no place
    with pytest.raises(KeyboardInterrupt):
        probe(path, InputConfig(format=format_))


def test_a_reading_thread_that_is_abandoned_does_not_wait_for_the_disk(
    tmp_path: Path, make_clip: MakeClip, dead_disk: DeadDisk
) -> None:
    path = make_clip(tmp_path / "in.mkv", num_frames=2)
    abandoned = threading.Event()
    caught: list[BaseException] = []

    def work() -> None:
        abandon_when(abandoned)
        try:
            probe(path)
        except InputError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    abandoned.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert len(caught) == 1


def test_garbage_without_an_end_is_not_held(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_source, "MOST_UNANSWERED", 1 << 23)
    clip = make_clip(tmp_path / "clip.mkv", num_frames=5, codec="libx264")
    path = tmp_path / "in.h264"
    with av.open(str(clip)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    notes: list[Event] = []
    with open_video(path) as video:
        frames = list(video.frames(report=notes.append))
    assert len(frames) == 5
    assert "W_INPUT_TRUNCATED" in {note.code for note in notes if isinstance(note, Note)}


def test_garbage_from_the_start_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_source, "MOST_UNANSWERED", 1 << 23)
    path = tmp_path / "in.h264"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="cannot be read"):
        probe(path, InputConfig(format="h264"))


def test_a_file_longer_than_the_bound_is_read_to_its_end(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "in.mkv", codec="rawvideo", num_frames=60)
    bound = path.stat().st_size // 4
    monkeypatch.setattr(byte_source, "MOST_UNANSWERED", max(bound, byte_source.BUFFER + 1))
    assert len(list(read_frames(path, report=ignore))) == 60


def test_a_disk_that_fails_midway_is_an_error_of_reading(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "in.mkv", codec="rawvideo", num_frames=400)
    read = os.read

    def fail(descriptor: int, size: int) -> bytes:
        if os.lseek(descriptor, 0, io.SEEK_CUR) > 1 << 19:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, size)

    assert path.stat().st_size > 1 << 20
    with open_container(path) as container:
        monkeypatch.setattr(os, "read", fail)
        with pytest.raises(av.FFmpegError, match="Input/output error"):
            list(demux(container))


def test_a_file_is_closed_when_it_is_done_with(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mkv", num_frames=2)
    source = FileSource(path)
    assert source.read(8) == path.read_bytes()[:8]
    source.end()
    for _ in range(100):
        if source._file.closed:
            return
        time.sleep(0.05)
    pytest.fail("it is still open")
