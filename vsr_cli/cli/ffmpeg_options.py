"""Options of FFmpeg's that are something else here, for hands that are used to them."""

import re
from collections.abc import Mapping, Sequence

from vsr_cli.errors import ConfigError

_JOBS = ("upscale", "restore", "batch", "fill", "erase")

_SOUND = "`--audio copy` keeps sound as it is, `aac` and `flac` encode it again, `none` drops it"
_OTHER_SOUND = "sound is kept as it is; change it with `ffmpeg`, before or afterwards"
_QUALITY = "`--crf X` sets the quality; lower is better"
_RATE = "`--crf X` sets the quality, and `-x b=20M` a bit rate where the encoder has one"
_ENCODER = "`-x NAME=VALUE` sets what the encoder has, as `-x tune=film`"
_FILTERS = (
    "there are no filters: `--size` sets the size, `--fps` and `--cfr` the frame rate, "
    "`--deinterlace` joins fields; for others pipe `ffmpeg -i in.mp4 -vf ... -f matroska "
    "-c:v ffv1 -` into `vsr upscale - out.mkv`"
)
_WORDS = "`--quiet` says less, `--verbose` more"

# What to do instead of each.
INSTEAD: Mapping[str, str] = {
    "-i": "SOURCE and TARGET need no option, as in `vsr upscale in.mp4 out.mp4`",
    "-an": "`--audio none` drops the sound",
    **dict.fromkeys(("-c:a", "-codec:a", "-acodec"), _SOUND),
    **dict.fromkeys(("-b:a", "-ab", "-ar", "-ac", "-af", "-filter:a"), _OTHER_SOUND),
    **dict.fromkeys(("-c", "-codec", "-codec:v", "-vcodec"), "`--vcodec NAME` names the encoder"),
    **dict.fromkeys(("-b", "-b:v", "-maxrate", "-minrate", "-bufsize"), _RATE),
    **dict.fromkeys(("-q:v", "-qscale", "-qscale:v", "-qp"), _QUALITY),
    **dict.fromkeys(("-filter:v", "-filter_complex", "-lavfi", "-vf"), _FILTERS),
    **dict.fromkeys(
        ("-r", "-framerate", "-fps_mode", "-vsync"),
        "`--fps RATE` makes frames for a higher rate, `--cfr RATE` repeats some or leaves some "
        "out; `--input-fps` is that of numbered images",
    ),
    "-sn": "`--subs none` drops subtitles",
    **dict.fromkeys(("-c:s", "-codec:s", "-scodec"), "`--subs copy` keeps subtitles, `none` not"),
    "-map": "all streams are kept; `--audio none` and `--subs none` drop some, and "
    "`--video-stream N` says which picture is upscaled",
    "-map_metadata": "`--no-metadata` drops titles and other tags",
    "-map_chapters": "`--no-chapters` drops chapters",
    **dict.fromkeys(("-tune", "-profile:v", "-level", "-g", "-bf"), _ENCODER),
    **dict.fromkeys(("-x264-params", "-x265-params", "-svtav1-params"), _ENCODER),
    **dict.fromkeys(("-frames:v", "-vframes"), "`--frames A:B` takes frames A to B-1"),
    "-threads": "all cores are used; `OMP_NUM_THREADS=N` in front of `vsr` says how many",
    **dict.fromkeys(("-hwaccel", "-gpu"), "`--device cuda` names the device that computes"),
    **dict.fromkeys(("-hide_banner", "-loglevel", "-nostdin", "-stats"), _WORDS),
}


def refuse_ffmpeg_options(words: Sequence[str]) -> None:
    """Refuse FFmpeg's options that would be read as several short ones, as `-sn` as `-s n`.

    Args:
        words: of the command line, without the program.

    Raises:
        ConfigError: there is one.
    """
    if not words or (words[0] not in _JOBS and not words[0].startswith("-")):
        return
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--":
            return
        # `-vf matroska` is `-v -f matroska`, but a filter has settings.
        is_other = word == "-vf" and not re.search("[=:,]", following)
        if len(word) > 2 and word in INSTEAD and not is_other:
            raise _refusal(word)


def explain_ffmpeg_option(name: str, words: Sequence[str]) -> ConfigError | None:
    """The error for an option that is unknown here; None where FFmpeg has none of this name."""
    return _refusal(name) if name in words and name in INSTEAD else None


def _refusal(word: str) -> ConfigError:
    return ConfigError(f"`{word}` is an option of FFmpeg's, not of vsr", hint=INSTEAD[word])
