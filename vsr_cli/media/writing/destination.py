"""Where a video goes: a name that is checked first, and given when the file is complete."""

import errno
import itertools
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import av
from av.container import OutputContainer

from vsr_cli.atomic import is_same_file, move_into_place
from vsr_cli.cancellation import Stopped, is_abandoned
from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError, VsrError
from vsr_cli.media.containers import IMAGES, container_of, is_single_image
from vsr_cli.media.image_names import MOST_DIGITS, NumberedName
from vsr_cli.media.writing.encoder_plan import find_encoder
from vsr_cli.stdio import is_stdout

_DEFAULT_NAME = NumberedName("", 5, ".png")
_PATIENCE = 0.05  # seconds between two looks whether somebody reads a pipe
_LAST_ERRNO = 4096  # FFmpeg's own numbers lie above those of every system


def check_target(target: Path, source: Path, config: OutputConfig) -> None:
    """Refuse, before any work, a target that could not be written at the end.

    Raises:
        OutputError: the name is taken, the folder cannot be written to, the container is unknown,
            or standard output is a terminal.
        ConfigError: the encoder or the format asked for does not exist.
    """
    container = container_of(target, config)
    try:
        if container.is_pipe:
            _check_pipe(target, source)
        elif container.name == IMAGES and not is_single_image(target):
            _check_images(target, source, overwrite=config.overwrite)
        else:
            check_file(target, {"the source": source}, overwrite=config.overwrite)
    except OSError as error:  # a name too long, a folder that may not be entered
        raise OutputError(
            f"`{target}` cannot be written", why=error.strerror, hint="choose another name"
        ) from error
    if config.video_codec is not None:
        find_encoder(config.video_codec)


def is_made(target: Path, config: OutputConfig) -> bool:
    """Whether there is something under the name of a target; of many images, any of them.

    A folder alone is no images, and what else it holds is none of theirs.
    """
    with suppress(VsrError):  # which is told when the work begins, unless it is there and stays
        if container_of(target, config).name == IMAGES and not is_single_image(target):
            folder, name = split_pattern(target)
            return folder.is_dir() and bool(name.find(folder))
    return target.exists()


def require_no_input(target: Path, inputs: Mapping[str, Path | None]) -> None:
    """Refuse a target that is one of the files which a job reads, also where it may be replaced.

    Args:
        target: to write.
        inputs: what the job reads, by what users call it; None: it reads no such file.

    Raises:
        OutputError: it is one of them, by whatever name.
    """
    for name, path in inputs.items():
        if path is not None and is_same_file(target, path):
            raise OutputError(
                f"`{target}` is {name} itself", hint="choose another name; it is never replaced"
            )


def check_file(target: Path, inputs: Mapping[str, Path | None], *, overwrite: bool) -> None:
    """Refuse, before any work, the name of a file that could not be given to one at the end.

    Args:
        target: the name.
        inputs: what the work reads, by what users call it, which the target must not be.
        overwrite: whether a file that has the name gives way.

    Raises:
        OutputError: it is taken, or its folder cannot be written to.
        OSError: the system cannot say.
    """
    if target.is_dir():
        raise OutputError(f"`{target}` is a folder", hint="name a file in it")
    if target.exists():
        require_no_input(target, inputs)
        if not target.is_file():
            raise OutputError(f"`{target}` is not a regular file", hint="choose another name")
        if not overwrite:
            raise OutputError(
                f"`{target}` exists", hint="use `--overwrite`, or choose another name"
            )
    folder = target.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"`{target.parent}` is not a folder that exists", hint="create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"`{target.parent}` cannot be written to", hint="choose a folder of your own"
        )


def _check_pipe(target: Path, source: Path) -> None:
    if not is_stdout(target):
        if source.exists() and target.exists() and target.samefile(source):
            raise OutputError(
                f"`{target}` is the source itself", hint="choose another name; it is never replaced"
            )
        if not os.access(target, os.W_OK):
            raise OutputError(f"`{target}` cannot be written to", hint="check its rights")
        return
    if sys.stdout is not None and sys.stdout.isatty():
        raise OutputError(
            "video does not go to a terminal",
            why="`-` writes to standard output",
            hint="pipe it on, as in `| mpv -`, or give a file name",
        )


def split_pattern(target: Path) -> tuple[Path, NumberedName]:
    """The folder of the images, and their name with a place for the number.

    Raises:
        OutputError: the name has no such place, or more than one.
    """
    if target.is_dir():
        return target, _DEFAULT_NAME
    name = NumberedName.parse(target.name)
    if name is None:
        raise OutputError(
            f"`{target.name}` has no place for a number",
            why=f"that is one `%d`, or `%0Nd` for N digits, {MOST_DIGITS} at most",
            hint="name images as in `frame%05d.png`",
        )
    return target.parent, name


def _check_images(target: Path, source: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, images that could not be written.

    Raises:
        OutputError: some exist, or there is no place for them.
    """
    folder, name = split_pattern(target)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"`{folder}` is not a folder", hint="choose another name")
    place = folder if folder.exists() else folder.absolute().parent
    if not place.is_dir():
        raise OutputError(f"`{folder.parent}` is not a folder that exists", hint="create it first")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"`{place}` cannot be written to", hint="choose a folder of your own")
    if not folder.exists():
        return
    if _holds_source(folder, name, source):
        raise OutputError(
            f"`{folder}` holds the source itself",
            hint="choose another folder; a source is never replaced",
        )
    if not overwrite and (found := name.find(folder)):
        raise OutputError(
            f"`{next(iter(found.values()))}` exists",
            hint="use `--overwrite`, or choose another folder",
        )


def _holds_source(folder: Path, name: NumberedName, source: Path) -> bool:
    """Whether images of this name in a folder are what is read."""
    if source.is_dir():
        return source.samefile(folder)
    if not source.parent.is_dir() or not source.parent.samefile(folder):
        return False
    images = NumberedName.parse(source.name)
    if images is None or source.exists():
        return name.number_in(source.name) is not None
    return any(name.number_in(path.name) is not None for path in images.find(folder).values())


class Destination(Protocol):
    """Where a container is written: a file, or a pipe."""

    @property
    def path_to_verify(self) -> Path | None:
        """The file to read back once it is written; None where it cannot be read."""

    def open(self, container: str, options: dict[str, str]) -> OutputContainer:
        """Begin to write.

        Args:
            container: FFmpeg's name.
            options: of the muxer.

        Raises:
            OutputError: the name that is written to until the end is somebody's link.
        """

    def release_header(self) -> None:
        """Flush the buffered header; called before the first packet."""

    def discard(self) -> None:
        """Remove what was written, unless it has its name."""

    def keep_as_failed(self) -> Path:
        """Keep what was written, under the target's name and `.failed`."""

    def commit(self) -> None:
        """Give the complete file its name."""


class PipeDestination:
    """The next program, on standard output or at the other end of a named pipe.

    What else would print on standard output goes to standard error meanwhile.
    """

    path_to_verify = None

    def __init__(self, target: Path) -> None:
        """Choose; nothing is opened.

        Args:
            target: `-`, or the name of a pipe or a device.
        """
        self._target, self._is_stdout = target, is_stdout(target)
        self._waiting: list[bytes] | None = []  # written before `release_header`
        self._pipe = -1

    def open(self, container: str, options: dict[str, str]) -> OutputContainer:
        if self._is_stdout:
            sys.stdout.flush()
            self._pipe = os.dup(1)
            os.dup2(2, 1)
        else:
            self._pipe = _open_when_read(self._target)
        # Each packet goes at once: whoever shows them does not wait.
        options = {**options, "flush_packets": "1"}
        return av.open(self, "w", format=container, container_options=options)

    def write(self, data: bytes) -> int:
        """Take bytes from FFmpeg."""
        if self._waiting is not None:
            self._waiting.append(bytes(data))
            return len(data)
        left = memoryview(data)
        while left:
            left = left[os.write(self._pipe, left) :]
        return len(data)

    def release_header(self) -> None:
        waiting, self._waiting = self._waiting, None
        self.write(b"".join(waiting or []))

    def discard(self) -> None:
        if self._pipe >= 0:
            if self._is_stdout:
                os.dup2(self._pipe, 1)
            os.close(self._pipe)
            self._pipe = -1

    def keep_as_failed(self) -> Path:
        raise ValueError("what went into a pipe cannot be kept")

    def commit(self) -> None:
        """Nothing: all of it is with the next program already."""


def _open_when_read(target: Path) -> int:
    """A descriptor of a named pipe, as soon as another program opens it to read.

    Raises:
        Stopped: the work was abandoned meanwhile.
        OSError: it cannot be opened.
    """
    while True:
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads yet
                raise
            if is_abandoned():
                raise Stopped from error
            time.sleep(_PATIENCE)
        else:
            os.set_blocking(descriptor, True)
            return descriptor


class FileDestination:
    """A file beside the target, until `commit` gives it the target's name."""

    def __init__(self, target: Path, *, overwrite: bool, temp: Path | None = None) -> None:
        """Choose the name; nothing is created.

        Args:
            target: the final name.
            overwrite: whether a file that has it is replaced.
            temp: the name until then, on the same disk; None: a hidden one in the same folder.
        """
        self.target = target
        hidden = f".vsr-{secrets.token_hex(6)}{target.suffix}"
        self.temp = temp or target.absolute().with_name(hidden)
        self._overwrite = overwrite

    @property
    def path_to_verify(self) -> Path:
        return self.temp

    def open(self, container: str, options: dict[str, str]) -> OutputContainer:
        if self.temp.is_symlink():
            raise OutputError(f"`{self.temp}` is a link, which is not followed", hint="remove it")
        return av.open(f"file:{self.temp}", "w", format=container, container_options=options)

    def release_header(self) -> None:
        """Nothing: the file is hidden."""

    def discard(self) -> None:
        """Remove the hidden file, if there still is one."""
        self.temp.unlink(missing_ok=True)

    def keep_as_failed(self) -> Path:
        """Keep what is there beside the target, under a free name that says it is no good."""
        for number in itertools.count(1):
            ending = ".failed" if number == 1 else f".failed.{number}"
            failed = self.target.absolute().with_name(self.target.name + ending)
            with suppress(FileExistsError):  # an earlier one, or the user's: it stays
                move_into_place(self.temp, failed, replace=False)
                break
        return failed

    def commit(self) -> None:
        """Give the file its name; once that is done, a power failure does it no harm.

        Raises:
            OutputError: the name has been taken meanwhile, or the folder does not take it.
        """
        try:
            with output_errors(f"`{self.target}` cannot be written"):
                move_into_place(self.temp, self.target, replace=self._overwrite)
        except OutputError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
            failed = self.keep_as_failed()
            raise OutputError(
                f"`{self.target}` has appeared meanwhile",
                why=f"the new video is complete and kept as `{failed.name}`",
                hint="rename it",
            ) from error


@contextmanager
def output_errors(what: str) -> Iterator[None]:
    """Turn what FFmpeg or the file system say while writing into an `OutputError`.

    Raises:
        MemoryError: memory is what was missing; FFmpeg's error for that is one, too.
    """
    try:
        yield
    except (BrokenPipeError, MemoryError):  # the next program has what it wanted
        raise
    except (av.FFmpegError, OSError) as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError(error.strerror) from error
        raise OutputError(what, why=error.strerror or str(error), hint=_hint_for(error)) from error


def is_refusal(error: Exception) -> bool:
    """Whether a muxer does not take what it was given; else file or system are the matter."""
    if not isinstance(error, av.FFmpegError):
        return isinstance(error, ValueError)
    number = error.errno or 0
    return number in (errno.EINVAL, errno.ERANGE) or number > _LAST_ERRNO


def _hint_for(error: Exception) -> str:
    if is_refusal(error):
        return "write to `.mkv`, which takes most; `--audio none` and `--subs none` leave out more"
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free some space on the disk, or choose another"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "check the rights of the folder"
    return "check the disk and the rights of the folder"
