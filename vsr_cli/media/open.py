"""Where a video comes from: a file, a named pipe or standard input, opened for reading."""

import errno
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TypeVar, overload

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from vsr_cli.config import InputConfig
from vsr_cli.errors import ConfigError, InputError
from vsr_cli.media.byte_source import BUFFER, PIPE_BUFFER, ByteSource, FileSource, Pipe
from vsr_cli.media.containers import IMAGE_SUFFIXES
from vsr_cli.media.memory import PICTURE_OPTIONS, sensible_memory
from vsr_cli.media.missing import missing_source

AnyStream = TypeVar("AnyStream", bound=Stream)

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


def is_pipe(source: Path) -> bool:
    """Whether `source` can be read only once, from its start to its end."""
    return source == STDIN or source.is_fifo()


@contextmanager
def open_container(
    source: Path, config: InputConfig = EVERYTHING, *, is_own: bool = False
) -> Iterator[InputContainer]:
    """Open a local file or a pipe for reading; nothing on a network is ever reached from it.

    Args:
        source: a path; `-` is standard input, which nothing else reads.
        config: names the format where `source` does not tell.
        is_own: whether this program has written it: pictures may be of any size.

    Raises:
        ConfigError: there is no such format.
        InputError: there is no such file, or it is not one that can hold a video.
    """
    with ExitStack() as resources:
        opening = _open_pipe(source) if is_pipe(source) else _open_file(source)
        data = resources.enter_context(opening)
        try:
            bounds = {} if is_own else PICTURE_OPTIONS
            container = resources.enter_context(_open_with_av(source, data, config, bounds))
            for stream in container.streams.video:
                if stream.codec_context is not None:  # as where nobody knows the codec
                    stream.codec_context.options = bounds
            yield container
        finally:
            if data.interruption is not None:  # what FFmpeg has made of it means nothing
                raise data.interruption


@overload
def demux(container: InputContainer) -> "Iterator[Packet[Stream]]": ...


@overload
def demux(container: InputContainer, stream: AnyStream) -> "Iterator[Packet[AnyStream]]": ...


def demux(
    container: InputContainer, stream: AnyStream | None = None
) -> "Iterator[Packet[Stream]] | Iterator[Packet[AnyStream]]":
    """The packets of a container of `open_container`, of all streams unless one is named.

    Raises:
        av.FFmpegError: it cannot be read on.
    """
    data = _data_of(container)
    with sensible_memory(container.name):
        for packet in container.demux(*([] if stream is None else [stream])):
            data.num_unanswered = 0
            if packet.size == 0 and data.complaint is not None:
                break  # this one and those that follow tell decoders that all went well
            yield packet
    if data.complaint is not None:
        raise av.FFmpegError(errno.EIO, data.complaint, data.name)


@contextmanager
def seeking(container: InputContainer) -> Iterator[None]:
    """Within, any amount may be read to find a place in a container of `open_container`."""
    data = _data_of(container)
    data.is_bounded = False
    try:
        with sensible_memory(container.name):
            yield
    finally:
        data.is_bounded, data.num_unanswered = True, 0


def open_again(container: InputContainer) -> BinaryIO:
    """The bytes of a container of `open_container` once more; of a pipe only the first of them.

    Raises:
        OSError: it cannot be opened.
    """
    data = _data_of(container)
    if isinstance(data, Pipe):
        return io.BytesIO(data.start)
    return Path(container.name.removeprefix("file:")).open("rb")


def _data_of(container: InputContainer) -> ByteSource:
    """What a container is read from; nothing is known of that of an image."""
    data = getattr(container.file, "file", None)
    return data if isinstance(data, ByteSource) else ByteSource(container.name)


@contextmanager
def _open_file(source: Path) -> Iterator[FileSource]:
    _check_file(source)
    try:
        data = FileSource(source)
    except OSError as error:
        raise _unreadable(source, error) from error
    try:
        yield data
    finally:
        data.end()


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
        raise _unreadable(source, error) from error
    pipe = Pipe(descriptor)
    try:
        yield pipe
    finally:
        pipe.close()
        os.close(descriptor)


def _unreadable(source: Path, error: OSError) -> InputError:
    return InputError(f"`{source}` cannot be read", why=error.strerror, hint="check its rights")


def _check_file(source: Path) -> None:
    try:
        if not source.exists():
            raise missing_source(source)
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


def _open_with_av(
    source: Path, data: ByteSource, config: InputConfig, bounds: dict[str, str]
) -> InputContainer:
    pipe = data if isinstance(data, Pipe) else None
    # What comes from elsewhere may not name files of this machine.
    options = {"protocol_whitelist": "crypto,data" if pipe else "file,crypto,data"}
    options |= bounds  # which FFmpeg passes on to the decoders that it looks with
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
        try:
            container = _open_data(data, config, options, PIPE_BUFFER if pipe else BUFFER)
        except MemoryError:
            raise
        except (av.FFmpegError, OSError, ValueError):
            if pipe or data.complaint or source.suffix.lower() not in IMAGE_SUFFIXES:
                raise
            return _open_data(data.name, config, options, BUFFER)
        if pipe or not container.format.name.endswith("_pipe"):
            return container
        container.close()
        return _open_data(data.name, config, options, BUFFER)  # FFmpeg reads images by their names
    except MemoryError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        if pipe and pipe.head[4:8] == b"ftyp":
            raise late_index() from error
        name = "standard input" if source == STDIN else f"`{source}`"
        if _is_list(data.head) or config.format in _REFUSED_FORMATS:
            raise InputError(
                f"{name} is a list of other files or addresses, which are not opened from it",
                why="what they hold would end up in the target unseen",
                hint="give the file of the video itself",
            ) from error
        empty = pipe is not None and not pipe.head
        raise InputError(
            f"{name} {'is empty' if empty else 'cannot be read as a video'}",
            why="it ended before the first byte" if empty else data.complaint or reason(error),
            hint=_PIPE_HINT if pipe else _HINT,
        ) from error


def _open_data(
    file: ByteSource | str, config: InputConfig, options: dict[str, str], buffer_size: int
) -> InputContainer:
    with sensible_memory(file if isinstance(file, str) else file.name):
        return av.open(
            file,
            "r",
            format=config.format,
            options=options,
            metadata_errors="replace",  # text in files need not be UTF-8
            buffer_size=buffer_size,
        )


@lru_cache
def _allowed_formats() -> str:
    """Names of all formats but those that are refused, as FFmpeg wants them."""
    return ",".join(sorted(av.formats_available - _REFUSED_FORMATS))


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
