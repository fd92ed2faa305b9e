"""Where a video comes from: a file, a named pipe or standard input, opened for reading."""

import os
import select
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import av
from av.container import InputContainer

from vsr_cli.cancellation import is_abandoned
from vsr_cli.config import InputConfig
from vsr_cli.errors import ConfigError, InputError

STDIN = Path("-")
EVERYTHING = InputConfig()  # the whole source, as it says it is

_HINT = "give a video file such as `.mp4`, `.mkv`, `.mov`, `.avi`, `.ts` or `.webm`"
_PIPE_HINT = "pipe Matroska, NUT, MPEG-TS, y4m or fragmented MP4; raw video needs `--in-format`"
# Formats that open other files or addresses by themselves, or run what is written in them: whoever
# names one file must not get pictures of another in the target.
_REFUSED_FORMATS = frozenset(
    {
        *("hls", "applehttp", "dash", "concat", "concatf", "imf", "webm_dash_manifest"),
        *("sdp", "rtsp", "rtp", "sap", "lavfi", "avisynth", "vapoursynth", "tty"),
    }
)
_LIST_HEADS = (b"#EXTM3U", b"ffconcat", b"<MPD", b"v=0\r\n", b"v=0\n")
_HEAD_BYTES = 512  # in which a list tells what it is
_BUFFER = 1 << 20  # bytes asked of a pipe at once
_PATIENCE = 0.2  # seconds between two looks whether anybody still waits for a pipe


def is_pipe(source: Path) -> bool:
    """Whether `source` can be read only once, from its start to its end."""
    return source == STDIN or source.is_fifo()


@contextmanager
def open_container(source: Path, config: InputConfig = EVERYTHING) -> Iterator[InputContainer]:
    """Open a local file or a pipe for reading; nothing on a network is ever reached from it.

    Args:
        source: a path; `-` is standard input, which nothing else reads.
        config: names the format where `source` does not tell.

    Raises:
        ConfigError: there is no such format.
        InputError: there is no such file, or it is not one that can hold a video.
    """
    with ExitStack() as resources:
        if is_pipe(source):
            pipe = resources.enter_context(_open_pipe(source))
            container = _open_with_av(source, pipe, config)
        else:
            _check_file(source)
            container = _open_with_av(source, None, config)
        resources.enter_context(container)
        yield container


class Pipe:
    """A pipe as PyAV reads it.

    A read that waits ends with `close`, from whatever thread, or when its own is abandoned.
    """

    def __init__(self, descriptor: int) -> None:
        """Read from `descriptor`, which stays the caller's."""
        self.head = b""  # how the data starts
        self._descriptor = descriptor
        self._closed = threading.Event()

    def read(self, size: int) -> bytes:
        """Some bytes, none at the end."""
        while not self._closed.is_set() and not is_abandoned():
            # Only sockets can be waited for on Windows.
            if os.name == "posix" and not select.select([self._descriptor], [], [], _PATIENCE)[0]:
                continue
            data = os.read(self._descriptor, size)
            self.head = self.head or data[:_HEAD_BYTES]
            return data
        return b""

    def close(self) -> None:
        """Let every read end."""
        self._closed.set()


@contextmanager
def _open_pipe(source: Path) -> Iterator[Pipe]:
    if source == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise InputError(
                "standard input is a terminal", why="`-` reads a video from a pipe", hint=_PIPE_HINT
            )
        if sys.platform == "win32":
            import msvcrt

            msvcrt.setmode(sys.stdin.fileno(), os.O_BINARY)  # or it would end at a byte of 26
        pipe = Pipe(sys.stdin.fileno())
        yield pipe
        pipe.close()
        return
    try:
        descriptor = os.open(source, os.O_RDONLY)
    except OSError as error:
        raise InputError(
            f"`{source}` cannot be read", why=error.strerror, hint="check its rights"
        ) from error
    pipe = Pipe(descriptor)
    try:
        yield pipe
    finally:
        pipe.close()
        os.close(descriptor)


def _check_file(source: Path) -> None:
    try:
        if not source.exists():
            raise InputError(f"`{source}` does not exist", hint="check the path")
        if source.is_dir():
            raise InputError(f"`{source}` is a folder", hint=_HINT)
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"`{source}` is not a regular file", hint=_HINT)
        if status.st_size == 0:
            raise InputError(f"`{source}` is empty", why="it has 0 bytes", hint="copy it again")
    except OSError as error:  # a name too long, a folder that may not be entered
        raise InputError(
            f"`{source}` cannot be read", why=error.strerror, hint="check the path"
        ) from error


def _open_with_av(source: Path, pipe: Pipe | None, config: InputConfig) -> InputContainer:
    # `file:` because FFmpeg takes a name with a colon for an address.
    file = pipe or f"file:{source}"
    # What comes from elsewhere may not name files of this machine.
    options = {"protocol_whitelist": "crypto,data" if pipe else "file,crypto,data"}
    options["format_whitelist"] = _allowed_formats()
    options["pattern_type"] = "none"  # the name of an image is a name, whatever it looks like
    if config.raw_size:
        options["video_size"] = "{1}x{0}".format(*config.raw_size)
    if config.raw_pix_fmt:
        options["pixel_format"] = config.raw_pix_fmt
    if config.raw_rate and config.format == "rawvideo":
        options["framerate"] = str(config.raw_rate)
    if config.format is not None and config.format not in av.formats_available:
        raise ConfigError(
            f"there is no format `{config.format}`", hint="try `matroska`, `nut` or `rawvideo`"
        )
    try:
        return av.open(
            file,
            "r",
            format=config.format,
            options=options,
            metadata_errors="replace",  # text in files need not be UTF-8
            buffer_size=_BUFFER,
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        if pipe and pipe.head[4:8] == b"ftyp":
            raise late_index() from error
        name = "standard input" if source == STDIN else f"`{source}`"
        head = pipe.head if pipe else _read_head(source)
        if _is_list(head) or config.format in _REFUSED_FORMATS:
            raise InputError(
                f"{name} is a list of other files or addresses, which are not opened from it",
                why="what they hold would end up in the target unseen",
                hint="give the file of the video itself",
            ) from error
        empty = pipe is not None and not pipe.head
        raise InputError(
            f"{name} {'is empty' if empty else 'cannot be read as a video'}",
            why="it ended before the first byte" if empty else reason(error),
            hint=_PIPE_HINT if pipe else _HINT,
        ) from error


@lru_cache
def _allowed_formats() -> str:
    """Names of all formats but those that are refused, as FFmpeg wants them."""
    return ",".join(sorted(av.formats_available - _REFUSED_FORMATS))


def _read_head(source: Path) -> bytes:
    with suppress(OSError), source.open("rb") as file:
        return file.read(_HEAD_BYTES)
    return b""


def _is_list(head: bytes) -> bool:
    """Whether data begin like a playlist, a manifest or a description of a session."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(_LIST_HEADS) or (start.startswith(b"<?xml") and b"<MPD" in start)


def late_index() -> InputError:
    """What is wrong with an MP4 whose samples cannot be found by reading on."""
    return InputError(
        "this MP4 cannot be read from a pipe",
        why="its index comes after the picture",
        hint="give it as a file, or write it with `-movflags +faststart`",
    )


def reason(error: Exception) -> str:
    """What FFmpeg says, as a part of a sentence."""
    if isinstance(error, av.FFmpegError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error)
