"""Where a video goes: a name that is checked first, and given when the file is complete."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
from vsr_cli.media.encoder import find_encoder

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


def check_target(target: Path, source: Path, config: OutputConfig) -> None:
    """Refuse, before any work, a target that could not be written at the end.

    Raises:
        OutputError: the name is taken, the folder cannot be written to, or the container is
            unknown.
        ConfigError: the encoder asked for does not exist.
    """
    container_of(target)
    try:
        _check_place(target, source, config)
    except OSError as error:  # a name too long, a folder that may not be entered
        raise OutputError(
            f"`{target}` cannot be written", why=error.strerror, hint="choose another name"
        ) from error
    if config.video_codec is not None:
        find_encoder(config.video_codec)


def container_of(target: Path) -> str:
    """FFmpeg's name of the container that the extension stands for.

    Raises:
        OutputError: it stands for none.
    """
    container = CONTAINERS.get(target.suffix.lower())
    if container is None:
        raise OutputError(
            f"`{target.name}` does not name a known container",
            why=f"its extension is `{target.suffix}`" if target.suffix else "it has no extension",
            hint="use " + ", ".join(f"`{suffix}`" for suffix in CONTAINERS),
        )
    return container


def _check_place(target: Path, source: Path, config: OutputConfig) -> None:
    """The part of `check_target` that asks the file system."""
    if target.is_dir():
        raise OutputError(f"`{target}` is a folder", hint="name a file in it")
    if target.exists():
        if source.exists() and target.samefile(source):
            raise OutputError(
                f"`{target}` is the source itself", hint="choose another name; it is never replaced"
            )
        if not target.is_file():
            raise OutputError(f"`{target}` is not a regular file", hint="choose another name")
        if not config.overwrite:
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


class TargetFile:
    """A hidden file in the folder of the target, until `publish` gives it the target's name."""

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        """Choose the hidden name; nothing is created."""
        self.target = target
        self.temp = target.absolute().with_name(f".vsr-{secrets.token_hex(6)}{target.suffix}")
        self._overwrite = overwrite

    def discard(self) -> None:
        """Remove the hidden file, if there still is one."""
        self.temp.unlink(missing_ok=True)

    def keep_failed(self) -> Path:
        """Keep what is there beside the target, under a name that says it is no good."""
        failed = self.target.absolute().with_name(self.target.name + ".failed")
        self.temp.replace(failed)
        return failed

    def publish(self) -> None:
        """Give the file its name.

        Raises:
            OutputError: the name has been taken meanwhile, or the folder does not take it.
        """
        if self.target.exists() and not self._overwrite:
            failed = self.keep_failed()
            raise OutputError(
                f"`{self.target}` has appeared meanwhile",
                why=f"the new video is complete and kept as `{failed.name}`",
                hint="rename it",
            )
        with output_errors(f"`{self.target}` cannot be written"):
            self.temp.replace(self.target)


@contextmanager
def output_errors(what: str) -> Iterator[None]:
    """Turn what FFmpeg or the file system say while writing into an `OutputError`."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise OutputError(
            what,
            why=error.strerror or str(error),
            hint="check the free space and the rights of the folder",
        ) from error
