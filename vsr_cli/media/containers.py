"""Which container a target is, by its name or as asked for, and what FFmpeg needs to know of it."""

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm
from pathlib import Path

from vsr_cli.config import OutputConfig
from vsr_cli.errors import ConfigError, OutputError, did_you_mean
from vsr_cli.media.frame import VideoInfo
from vsr_cli.stdio import STDOUT, address_of, is_descriptor, is_stdout

_MOST_LINKS = 40  # that lead to a file, one to the next; as in Linux
IMAGES = "image2"  # FFmpeg's name of single images

BY_SUFFIX: Mapping[str, str] = {
    **{".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"},
    **{".ts": "mpegts", ".mts": "mpegts", ".m2ts": "mpegts", ".avi": "avi", ".nut": "nut"},
    **{".y4m": "yuv4mpegpipe", ".yuv": "rawvideo", ".png": IMAGES},
}
# Of videos that are looked for in folders; a file that is named is tried whatever it is called.
VIDEO_SUFFIXES = frozenset(
    {
        *(".3gp", ".asf", ".avi", ".dv", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4"),
        *(".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
    }
)
# Of images that are read.
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".exr", ".dpx", ".jp2", ".tga"}
)
_OTHER_NAMES = {"mkv": "matroska", "ts": "mpegts", "y4m": "yuv4mpegpipe", "raw": "rawvideo"}
# Formats without a clock: frames follow each other at one rate.
WITHOUT_CLOCK = frozenset({"avi", "yuv4mpegpipe", "rawvideo"})
# Formats that tell when a frame is shown and not for how long, which only the last one needs.
WITHOUT_LENGTHS = frozenset({"mpegts", "nut"})
PICTURE_ONLY = frozenset({"yuv4mpegpipe", "rawvideo", IMAGES})
WITH_ROTATION = frozenset({"mp4", "mov", "matroska", "webm"})
WITH_CHAPTERS = frozenset({"mp4", "mov", "matroska", "webm", "nut"})
# Codecs that a transport stream announces so that others find them; FFmpeg would write any.
TRANSPORT = frozenset(
    {
        *("h264", "hevc", "mpeg2video", "mpeg1video", "mpeg4"),
        *("mp2", "mp3", "aac", "ac3", "eac3", "dts", "opus"),
        *("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle"),
    }
)

_MIN_CLOCK, _MAX_CLOCK = 10_000, 2**24  # ticks per second
_DISPLAY_NAMES = {
    **{"mp4": "MP4", "mov": "QuickTime", "matroska": "Matroska", "webm": "WebM", "avi": "AVI"},
    **{"mpegts": "MPEG-TS", "nut": "NUT", "yuv4mpegpipe": "y4m", "rawvideo": "raw video"},
    IMAGES: "a folder of images",
}


@dataclass(frozen=True, kw_only=True)
class Container:
    """The container format that a target is written in, and whether it is a pipe."""

    name: str  # FFmpeg's
    is_pipe: bool = False  # written from its start to its end

    @property
    def is_mp4(self) -> bool:
        return self.name in ("mp4", "mov")

    @property
    def is_image_sequence(self) -> bool:
        return self.name == IMAGES

    @property
    def display_name(self) -> str:
        return _DISPLAY_NAMES[self.name]


def container_of(target: Path, config: OutputConfig) -> Container:
    """Find the container of a target, by the format asked for or by its name.

    Raises:
        OutputError: it is an address, or its extension stands for no container.
        ConfigError: the format asked for is none, or none for this target.
    """
    if config.format is not None:
        name = _OTHER_NAMES.get(config.format, config.format)
        known = sorted(set(BY_SUFFIX.values()))
        if name not in known:
            choices = "use one of " + ", ".join(f"`{name}`" for name in known)
            raise ConfigError(
                f"there is no format `{config.format}` to write",
                hint=did_you_mean(config.format, [*known, *_OTHER_NAMES], choices),
            )
        if name == IMAGES and not is_sequence(target) and not is_single_image(target):
            raise ConfigError("images need a folder or a numbered name", hint="give `DIR/%05d.png`")
        return Container(name=name, is_pipe=is_stream(target))
    if is_stream(target):
        return Container(name=BY_SUFFIX.get(target.suffix.lower(), "matroska"), is_pipe=True)
    if is_sequence(target):
        return Container(name=IMAGES)
    if (found := BY_SUFFIX.get(target.suffix.lower())) is None:
        raise _unknown_container(target)
    return Container(name=found)


def _unknown_container(target: Path) -> OutputError:
    if address := address_of(target):
        return OutputError(
            f"`{address}` is an address, not a file",
            why="vsr writes local files and pipes, and never connects to anything",
            hint="pipe it on, as in `vsr upscale in.mp4 - | ffmpeg -i - -f flv ADDRESS`",
        )
    choices = ", ".join(f"`{suffix}`" for suffix in BY_SUFFIX)
    return OutputError(
        f"`{target.name}` does not name a known container",
        why=f"its extension is `{target.suffix}`" if target.suffix else "it has no extension",
        hint=did_you_mean(
            target.suffix, BY_SUFFIX, f"use {choices}, or `DIR/%05d.png` for single images"
        ),
    )


def resolve_target(target: Path) -> Path:
    """What is written for a name: the file that a link leads to, and `-` for standard output.

    A link is never replaced by a file. Where it leads to a file that does not exist, that is made.

    Raises:
        OutputError: links lead in a circle, or somewhere that cannot be looked at.
    """
    path = target
    for _ in range(_MOST_LINKS):
        if is_stdout(path):
            return STDOUT
        try:
            if is_descriptor(path) or not path.is_symlink():
                return path
            path = path.parent / path.readlink()
        except OSError as error:  # a name too long, a folder that may not be entered
            raise OutputError(
                f"`{target}` cannot be written", why=error.strerror, hint="choose another name"
            ) from error
    raise OutputError(
        f"`{target}` is a link that leads nowhere",
        why="it comes back to itself",
        hint="choose another name",
    )


def is_stream(target: Path) -> bool:
    """Whether a target is written once from its start to its end: a pipe, or a device."""
    if is_stdout(target) or is_descriptor(target):
        return True
    try:
        mode = target.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def is_sequence(target: Path) -> bool:
    """Whether `target` names many images: a folder, or a PNG whose name has a place for numbers."""
    if target.suffix.lower() == ".png":
        return "%" in target.name
    return target.suffix.lower() not in BY_SUFFIX and target.is_dir()


def is_single_image(target: Path) -> bool:
    """Whether `target` names one image, in which one frame has its place."""
    return BY_SUFFIX.get(target.suffix.lower()) == IMAGES and not is_sequence(target)


def muxer_options(
    container: Container, info: VideoInfo, tick_rate: int, *, low_delay: bool = False
) -> dict[str, str]:
    """Options of FFmpeg's muxer.

    Args:
        container: which.
        info: of the source.
        tick_rate: ticks per second of the picture's clock.
        low_delay: whether what is written must not wait.
    """
    if container.is_mp4 and container.is_pipe:
        return {"movflags": "frag_keyframe+delay_moov+default_base_moof"}
    if container.is_mp4:
        # The index in front, so that a player can start before it has the whole file; and a clock
        # that every start can be told in, where the usual one has milliseconds.
        return {"movflags": "faststart", "movie_timescale": str(_movie_clock(info, tick_rate))}
    if container.name == "yuv4mpegpipe":
        return {"strict": "experimental"}  # more than 8 bits
    options = {}
    if container.name == "matroska" and "matroska" in info.container:
        options["default_mode"] = "passthrough"  # the source has said which tracks are default
    if container.name in ("matroska", "webm") and low_delay:
        options["cluster_time_limit"] = "1"  # ms; a cluster is written when it is full
    return options


def _movie_clock(info: VideoInfo, tick_rate: int) -> int:
    """Ticks per second that are whole multiples of those of picture and sound, where possible."""
    exact = lcm(tick_rate, *(track.sample_rate or 1 for track in info.audio))
    return exact if exact <= _MAX_CLOCK else tick_rate * -(-_MIN_CLOCK // tick_rate)
