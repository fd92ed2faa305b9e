"""Which videos a batch is about: files, folders, patterns and lists; and what becomes of them."""

import glob
import os
import secrets
import string
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError, InputError, OutputError

if TYPE_CHECKING:
    from vsr_cli.media.frame import VideoInfo

DEFAULT_NAME = "{stem}_{height}p{ext}"
FIELDS = frozenset({"stem", "ext", "name", "width", "height"})


@dataclass(frozen=True)
class Source:
    """A video, and the folder below the target's in which its result goes."""

    path: Path
    below: Path = Path()


def find_sources(
    given: Sequence[Path], out: Path, *, recursive: bool, jobs_file: Path | None, is_null: bool
) -> list[Source]:
    """All that is meant, each once, in the order in which it was given.

    Args:
        given: files, folders, or patterns such as `*.mp4`.
        out: where results go; what lies in it is no source, unless it is named itself.
        recursive: whether folders within folders count.
        jobs_file: a list of the same, one a line; `-` is standard input.
        is_null: the list's entries end with NUL instead, as `find -print0` writes them.

    Raises:
        ConfigError: nothing was given, or a pattern or folder holds no video.
        InputError: the list cannot be read.
    """
    if jobs_file is not None:
        given = [*given, *_read_list(jobs_file, is_null=is_null)]
    elif not given:
        raise ConfigError("no video was given", hint="name files, folders, or `--jobs-file FILE`")
    found = {
        source.path.absolute(): source for path in given for source in _expand(path, out, recursive)
    }
    return list(found.values())


def find_in_folders(folders: Sequence[Path], out: Path, *, recursive: bool) -> list[Source]:
    """The videos that lie in folders now, which may be none; what lies in `out` is none of them."""
    found: dict[Path, Source] = {}
    for folder in folders:
        with suppress(OSError):  # a disk that does not answer now may do so later
            for path in _videos_in(folder, out, recursive):
                found[path.absolute()] = Source(path, path.relative_to(folder).parent)
    return list(found.values())


class TypedFolder(type(Path())):  # type: ignore[misc]
    """A target that was typed with a slash at its end."""


def parse_target(text: str) -> Path:
    """A target as it is typed: a file, a folder, or `-`."""
    separators = tuple(filter(None, (os.sep, os.altsep)))
    return TypedFolder(text) if text.endswith(separators) else Path(text)


def name_in_folder(source: Path, target: Path, config: UpscaleConfig) -> Path:
    """Name the target where it is a folder: a video by the rule of a batch, images by numbers.

    Nothing is made yet, whether the folder is there or not.

    Args:
        source: a file, a folder of images, or a pipe.
        target: from `parse_target`; what is no folder stays as it is.
        config: of the job.

    Raises:
        ConfigError: the source is a pipe, whose name says nothing.
        InputError: the source cannot be read.
    """
    is_typed = isinstance(target, TypedFolder)
    if not is_typed and not target.is_dir():
        return target
    if source.is_dir() or ("%" in source.name and not source.exists()):
        return target if target.is_dir() else Path(target) / "%05d.png"
    if not source.is_file():
        raise ConfigError(
            f"what is written into `{target}` needs a name",
            why=f"`{source}` has none that it could be made of",
            hint=f"name it, as in `{target}/out.mp4`",
        )
    return Path(target) / name_target(DEFAULT_NAME, source, config)


def make_folder(folder: Path) -> None:
    """Make the folder of a target, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder `{folder}` cannot be made", why=error.strerror, hint="choose another"
        ) from error


def stand_in(target: Path) -> Path:
    """A name that takes the place of a target whose folder is made when its turn comes."""
    if target.parent.exists():
        return target
    existing = next(folder for folder in target.absolute().parents if folder.exists())
    return existing / f".vsr-{secrets.token_hex(8)}-{target.name}"


def name_beside(source: Path, config: UpscaleConfig) -> Path:
    """Name the target of a source for which the user has named none: in the same folder.

    Raises:
        ConfigError: the source is a pipe, or single images.
        InputError: it cannot be read.
    """
    is_other = source.exists() and not source.is_file()
    if is_other or source == Path("-") or "%" in source.name:
        raise ConfigError(
            f"the target of `{source}` needs a name",
            why="only a video in a file has a name that its own can be made of",
            hint="name it, as in `vsr upscale SOURCE out.mp4`; folders of videos go to `vsr batch`",
        )
    return source.with_name(name_target(DEFAULT_NAME, source, config))


def name_target(
    template: str, source: Path, config: UpscaleConfig, info: "VideoInfo | None" = None
) -> str:
    """Fill in a template such as `{stem}_{height}p{ext}`.

    The source is looked into only if the template asks for a size, or for an extension that hangs
    on what it holds, and nobody has done so before.

    Args:
        template: checked by `check_template`.
        source: whose name it takes.
        config: of the job.
        info: what the source holds, if that is known.

    Raises:
        InputError: the source cannot be read.
    """
    size, suffix = (0, 0), source.suffix.lower()
    is_sized = "{height}" in template or "{width}" in template
    if is_sized or ("{ext}" in template and _hangs_on_content(suffix)):
        from vsr_cli.media.reading.reader import probe

        info = info or probe(source, config.input)
        size = config.target_size(info.height, info.width) if is_sized else size
    return template.format(
        stem=source.stem,
        ext=_extension(suffix, config, info),
        name=source.name,
        height=size[0],
        width=size[1],
    )


def _hangs_on_content(suffix: str) -> bool:
    """Whether what a source holds decides which extension its target has."""
    from vsr_cli.media.containers import BY_SUFFIX, IMAGE_SUFFIXES, WITHOUT_CLOCK

    return suffix in IMAGE_SUFFIXES or BY_SUFFIX.get(suffix) in WITHOUT_CLOCK


def _extension(suffix: str, config: UpscaleConfig, info: "VideoInfo | None") -> str:
    """The extension of a target where that of the source is `suffix`, which holds `info`."""
    from vsr_cli.media.containers import BY_SUFFIX, IMAGE_SUFFIXES, PICTURE_ONLY, WITHOUT_CLOCK

    is_single = info is None or info.num_frames == 1
    if suffix in IMAGE_SUFFIXES and is_single:
        return ".png"
    if suffix == ".gif" or suffix in IMAGE_SUFFIXES:
        return ".mp4"  # which plays wherever an animated image does
    container = BY_SUFFIX.get(suffix)
    keeps_times = config.output.cfr is None and config.fps is None
    is_uneven = info is not None and info.is_vfr and keeps_times
    is_whole = container is not None and container not in PICTURE_ONLY
    if is_uneven and container in WITHOUT_CLOCK:
        is_whole = False
    return suffix if is_whole else ".mkv"  # which holds everything


def check_template(template: str) -> None:
    """Refuse a template with unknown fields, or one that leads elsewhere.

    Raises:
        ConfigError: names what is wrong.
    """
    hint = (
        "use `{stem}`, `{ext}`, `{name}`, `{width}` and `{height}`, as in `{stem}_{height}p{ext}`"
    )
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(
            f"`--name {template}` is no template", why=str(error), hint=hint
        ) from error
    for _, field, form, conversion in parts:
        if field is not None and (field not in FIELDS or form or conversion):
            raise ConfigError(f"`--name {template}` has an unknown field `{field}`", hint=hint)
    if "/" in template or template in ("", ".", ".."):
        raise ConfigError(f"`--name {template}` is no file name", hint=hint)


def _read_list(path: Path, *, is_null: bool) -> Iterator[Path]:
    if str(path) == "-" and sys.stdin is None:
        raise InputError("standard input is closed", hint="check `--jobs-file`")
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the list `{path}` cannot be read", why=error.strerror, hint="check `--jobs-file`"
        ) from error
    separator = b"\0" if is_null else b"\n"
    for entry in data.split(separator):
        name = entry if is_null else entry.removesuffix(b"\r")
        if name:
            yield Path(name.decode(errors="surrogateescape"))


def _videos_in(folder: Path, out: Path, recursive: bool) -> list[Path]:
    """The videos in a folder, but those that are results, or parts of unfinished ones."""
    from vsr_cli.media.containers import VIDEO_SUFFIXES

    out, is_own = out.absolute(), out.absolute() in (folder.absolute(), *folder.absolute().parents)
    videos = []
    for path in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            is_result = not is_own and out in path.absolute().parents
            if not is_result and not any(part.endswith(".vsr-job") for part in path.parts):
                videos.append(path)
    return videos


def _expand(path: Path, out: Path, recursive: bool) -> list[Source]:
    if path.is_dir():
        videos = _videos_in(path, out, recursive)
        if not videos:
            deeper = "" if recursive else "; `--recursive` looks into the folders in it"
            raise ConfigError(f"`{path}` holds no video", hint=f"name another folder{deeper}")
        return [Source(video, video.relative_to(path).parent) for video in videos]
    if not path.exists() and glob.has_magic(str(path)):
        names = sorted(glob.glob(str(path), recursive=recursive))  # noqa: PTH207  absolute ones, too
        if not names:
            raise ConfigError(f"no file is called like `{path}`", hint="check the pattern")
        return [Source(Path(name)) for name in names]
    return [Source(path)]
