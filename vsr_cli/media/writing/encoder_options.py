"""Options of encoders: defaults, what the user wants, and what HDR needs."""

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from av.codec import Codec

from vsr_cli.config import OutputConfig
from vsr_cli.errors import ConfigError, did_you_mean
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.hdr import HdrMetadata
from vsr_cli.pixels import HLG, PQ, PixelLayout

_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "libx264": {"crf": "16", "preset": "medium"},
    "libx265": {"crf": "17", "preset": "medium"},
    "libsvtav1": {"crf": "24", "preset": "6"},
    "libvpx-vp9": {"crf": "24", "row-mt": "1"},
}
# Lossless by nature, or by these options instead of a quality.
_LOSSLESS: Mapping[str, Mapping[str, str]] = {
    **{name: {} for name in ("ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv", "v210")},
    **{name: {} for name in ("rawvideo", "wrapped_avframe", "png", "qtrle")},
    "libx264": {"qp": "0"},
    "libx265": {"x265-params": "lossless=1"},
    "libvpx-vp9": {"lossless": "1"},
}
# Threads of an encoder, whatever the machine has: what x264, x265 and FFV1 write depends on them.
THREADS = 4
_NARROWEST_TREE = 48  # pixels: of three blocks
# Options that hold options of the encoder's own.
NESTED = frozenset({"x264-params", "x265-params", "svtav1-params"})


def encoder_options(
    codec: Codec,
    container: str,
    layout: PixelLayout,
    size: tuple[int, int],
    info: VideoInfo,
    config: OutputConfig,
    narrow: Mapping[str, str],
) -> dict[str, str]:
    """Every option of the encoder beside size, pixel format, times and colour.

    Args:
        codec: the encoder.
        container: FFmpeg's name of the format.
        layout: of the frames that are coded.
        size: (height, width) of them.
        info: of the source.
        config: the user's choices.
        narrow: what large frames ask for.

    Raises:
        ConfigError: it has no such option.
    """
    known = {option.name for option in codec.create("video").supported_options.private}
    options = {"threads": str(THREADS), **_DEFAULTS.get(codec.name, {})}
    if config.crf is not None:
        options.update(_quality(codec, known, config.crf))
    if config.preset is not None:
        if "preset" not in known:
            raise ConfigError(f"`{codec.name}` has no presets", hint="leave out `--preset`")
        _check_preset(codec.name, config.preset)
        options["preset"] = config.preset
    if config.lossless:
        if codec.name not in _LOSSLESS:
            raise ConfigError(
                f"`{codec.name}` cannot code without loss", hint="use `ffv1` in `.mkv`"
            )
        options.pop("crf", None)
        _add(options, _LOSSLESS[codec.name])
    if codec.name == "libx264":
        _add(options, reproducible_options())
    if config.low_delay and codec.name in ("libx264", "libx265"):
        options["tune"] = "zerolatency"
    if codec.name == "libx265":
        _add(options, {"x265-params": "log-level=none"})  # else it prints 45 lines on stderr
    if layout.kind == "yuv" and layout.shift_x:
        options["chroma_sample_location"] = layout.siting
    if container == "avi":
        options["bf"] = "0"  # AVI cannot say that pictures are shown in another order
    _add(options, hdr_options(codec.name, layout, info))
    _add(options, narrow)
    for name, value in config.options:
        _refuse_files(name, value)
    _add(options, dict(config.options))
    if is_too_narrow_for_trees(codec.name, size):
        _add(options, {"x265-params": "cutree=0"})
    return options


_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)


def _check_preset(codec: str, preset: str) -> None:
    """Refuse a preset that an encoder would refuse without a word about those there are.

    Raises:
        ConfigError: it has none of this name.
    """
    is_number = preset.removeprefix("-").isdecimal()
    if codec in ("libx264", "libx265") and preset not in _PRESETS and not is_number:
        raise ConfigError(
            f"`{codec}` has no preset `{preset}`",
            hint=did_you_mean(preset, _PRESETS, "use one of " + ", ".join(_PRESETS)),
        )
    if codec == "libsvtav1" and not is_number:
        raise ConfigError(
            f"`{codec}` has no preset `{preset}`", hint="use -1 to 13, from slow to fast"
        )


# Of x264 and x265 FFmpeg lets more pass, which they take for the most.
_MOST_CRF = {"libx264": 51, "libx265": 51, "libsvtav1": 63, "libvpx": 63, "libvpx-vp9": 63}

# Settings of encoders that make them write to files, or read them.
_FILE_SETTINGS = frozenset(
    [
        "analysis-load",
        "analysis-reuse-file",
        "analysis-save",
        "cqmfile",
        "csv",
        "dhdr10-info",
        "dolby-vision-rpu",
        "dump-yuv",
        "fgs-table",
        "film-grain-table",
        "input",
        "lambda-file",
        "log-file",
        "nalu-file",
        "opencl-clbin",
        "output",
        "passlogfile",
        "qpfile",
        "recon",
        "scaling-list",
        "stat-report",
        "stats",
        "vbv-stats",
        "zonefile",
    ]
)


def _refuse_files(name: str, value: str) -> None:
    """Refuse a setting that names a file: an encoder would overwrite whatever has that name.

    Raises:
        ConfigError: it is one, by itself or within a list such as `x264-params`.
    """
    settings = [name, *(part.partition("=")[0] for part in value.split(":"))]
    for setting in settings:
        if setting.strip().lstrip("-").replace("_", "-") in _FILE_SETTINGS:
            raise ConfigError(
                f"the encoder's setting `{setting}` names a file",
                why="encoders write there without asking, also over the source",
                hint="leave it out",
            )


def is_too_narrow_for_trees(codec: str, size: tuple[int, int]) -> bool:
    """Whether an encoder must do without coding-unit trees, which weigh blocks by their future.

    The AVX2 code of x265 takes four blocks of 16 pixels at once, also where a row has fewer, and
    writes past the end of its memory: the process is aborted, mostly when the next file begins.
    """
    return codec == "libx265" and size[1] <= _NARROWEST_TREE


@lru_cache
def reproducible_options() -> Mapping[str, str]:
    """Options of `libx264` under which its output depends on its input alone.

    Where a frame is not a multiple of 8 macroblocks wide, its AVX-512 code for macroblock trees
    reads past the end of rows, and what an earlier owner of that memory left there decides how
    frames are coded. Its AVX2 code does not, and is hardly slower. Where the system does not say
    what the processor can do, nothing is set: naming code that is not there would end the process.
    """
    try:
        features = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    return {"x264-params": "asm=avx2"} if " avx512" in features else {}


def is_hdr(info: VideoInfo) -> bool:
    return info.color.transfer in (PQ, HLG)


def hdr_options(codec: str, layout: PixelLayout, info: VideoInfo) -> dict[str, str]:
    """What makes an encoder write HDR metadata; nothing where there is none or no way to."""
    hdr = info.hdr
    if codec == "libx265" and is_hdr(info):
        parts = ["repeat-headers=1"]
        if info.color.transfer == PQ and layout.depth == 10:
            parts.append("hdr10-opt=1")
        if info.color.transfer == PQ and hdr:
            parts.append("hdr10=1")
        if hdr and hdr.max_cll is not None:
            parts.append(f"max-cll={hdr.max_cll},{hdr.max_fall or 0}")
        if hdr and (display := _mastering_display(hdr, 50_000, 10_000)):
            parts.append(f"master-display={display}")
        return {"x265-params": ":".join(parts)}
    if codec == "libsvtav1" and hdr:
        parts = []
        if hdr.max_cll is not None:
            parts.append(f"content-light={hdr.max_cll},{hdr.max_fall or 0}")
        if display := _mastering_display(hdr, None, None):
            parts.append(f"mastering-display={display}")
        return {"svtav1-params": ":".join(parts)} if parts else {}
    return {}


def _mastering_display(
    hdr: HdrMetadata, color_unit: int | None, light_unit: int | None
) -> str | None:
    """The mastering display as encoders take it; units per 1, None: plain decimals."""
    if hdr.primaries is None or hdr.white is None:
        return None
    if hdr.min_luminance is None or hdr.max_luminance is None:
        return None

    def number(value: Fraction, unit: int | None) -> str:
        return str(round(value * unit)) if unit else f"{float(value):.6g}"

    def pair(name: str, first: Fraction, second: Fraction, unit: int | None) -> str:
        return f"{name}({number(first, unit)},{number(second, unit)})"

    red, green, blue = hdr.primaries
    points = (("G", green), ("B", blue), ("R", red), ("WP", hdr.white))
    display = "".join(pair(name, x, y, color_unit) for name, (x, y) in points)
    return display + pair("L", hdr.max_luminance, hdr.min_luminance, light_unit)


def _quality(codec: Codec, known: set[str], crf: float) -> dict[str, str]:
    if codec.name.endswith("_nvenc"):
        return {"rc": "vbr", "cq": f"{crf:g}", "b": "0"}
    if "crf" not in known:
        raise ConfigError(
            f"`{codec.name}` has no constant quality", hint="leave out `--crf`, or set `-x b=20M`"
        )
    most = _MOST_CRF.get(codec.name)
    if most is not None and not 0 <= crf <= most:
        raise ConfigError(
            f"`--crf {crf:g}` is out of range", hint=f"use 0 to {most} with `{codec.name}`"
        )
    return {"crf": f"{crf:g}"}


def _add(options: dict[str, str], more: Mapping[str, str]) -> None:
    """Add options; nested ones are joined, the later win."""
    for name, value in more.items():
        is_joined = name in NESTED and name in options
        options[name] = f"{options[name]}:{value}" if is_joined else value
