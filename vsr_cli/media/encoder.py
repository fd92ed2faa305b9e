"""Which encoder writes the picture, in which pixel format, with which settings."""

from collections.abc import Mapping
from dataclasses import dataclass

import av
from av.codec import Codec
from av.codec.codec import UnknownCodecError, find_best_pix_fmt_of_list

from vsr_cli.config import OutputConfig
from vsr_cli.errors import ConfigError
from vsr_cli.media.frame import VideoInfo, layout_of
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, Range, is_hd

# Encoders that take an odd width or height with halved chroma; others refuse, some obscurely.
ODD_SIZE_ENCODERS = frozenset({"libsvtav1", "ffv1", "libvpx", "libvpx-vp9"})

# Packed formats that are written all the same: FFV1 has no other RGB of 8 bits.
PACKED = {"bgr0": "gbrp"}

_BT601 = frozenset({Matrix.BT601_525, Matrix.BT601_625})
_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "libx264": {"crf": "16", "preset": "medium"},
    "libx265": {"crf": "17", "preset": "medium"},
    "libsvtav1": {"crf": "24", "preset": "6"},
    "libvpx-vp9": {"crf": "24", "row-mt": "1"},
}


@dataclass(frozen=True, kw_only=True)
class EncoderPlan:
    """Everything about the coded picture that is decided before the first frame."""

    codec: str
    size: tuple[int, int]  # (height, width)
    pix_fmt: str
    layout: PixelLayout
    color: ColorTags
    options: Mapping[str, str]
    notice: str | None  # set where the pixel format is not the usual one
    reasons: tuple[str, ...]


def find_encoder(name: str) -> Codec:
    """The video encoder of this name, or the usual one for a codec of this name.

    Raises:
        ConfigError: there is none.
    """
    hint = "try `libx264`, `libx265`, `libsvtav1`, `prores_ks` or `ffv1`"
    try:
        codec = Codec(name, "w")
    except UnknownCodecError as error:
        raise ConfigError(f"there is no encoder `{name}`", hint=hint) from error
    if codec.type != "video":
        raise ConfigError(f"`{name}` encodes {codec.type}, not video", hint=hint)
    return codec


def plan_encoder(
    container: str, info: VideoInfo, size: tuple[int, int], config: OutputConfig
) -> EncoderPlan:
    """Choose what the user left open.

    Args:
        container: FFmpeg's name of the format that is written.
        info: of the source.
        size: (height, width) of the output.
        config: the user's choices; None is open.

    Raises:
        ConfigError: encoder, pixel format and settings do not fit each other.
    """
    reasons: list[str] = []
    if config.video_codec is not None:
        codec = find_encoder(config.video_codec)
    elif container == "webm":
        codec = find_encoder("libsvtav1")
        reasons.append("AV1, because WebM holds no H.264")
    elif info.layout.depth > 8:
        codec = find_encoder("libx265")
        reasons.append(f"H.265 with 10 bits, because the source has {info.layout.depth}")
    else:
        codec = find_encoder("libx264")
    notice = None
    if config.pix_fmt is not None:
        pix_fmt = _check_pix_fmt(config.pix_fmt, codec)
    else:
        pix_fmt, notice = _choose_pix_fmt(codec, container, info, size)
    layout = layout_of(PACKED.get(pix_fmt, pix_fmt))
    if layout is None:
        raise ConfigError(
            f"frames cannot be written as `{pix_fmt}`", hint="give a planar one, as `yuv420p`"
        )
    color, color_reason = _choose_color(info, layout, size)
    return EncoderPlan(
        codec=codec.name,
        size=size,
        pix_fmt=pix_fmt,
        layout=layout,
        color=color,
        options=_options(codec, config),
        notice=notice,
        reasons=(*reasons, *filter(None, (notice, info.color_reason, color_reason))),
    )


def _check_pix_fmt(name: str, codec: Codec) -> str:
    formats = [fmt.name for fmt in codec.video_formats or ()]
    if formats and name not in formats:
        usable = [fmt for fmt in formats if layout_of(PACKED.get(fmt, fmt))]
        raise ConfigError(
            f"`{codec.name}` has no pixel format `{name}`",
            hint="use one of " + ", ".join(f"`{fmt}`" for fmt in usable[:8]),
        )
    try:
        av.VideoFormat(name)
    except ValueError as error:
        raise ConfigError(f"there is no pixel format `{name}`", hint="try `yuv420p`") from error
    return name


def _choose_pix_fmt(
    codec: Codec, container: str, info: VideoInfo, size: tuple[int, int]
) -> tuple[str, str | None]:
    """The format to write, and what to say if it is not the usual one."""
    source = info.layout
    is_full_chroma = source.kind != "gray" and source.shift_x == source.shift_y == 0
    depth = "10le" if source.depth > 8 or container == "webm" else ""
    wanted = f"yuv{444 if is_full_chroma else 420}p{depth}"
    formats = [fmt.name for fmt in codec.video_formats or ()]
    usable = [name for name in formats if layout_of(name) and not name.startswith("yuvj")]
    if usable:
        best, _ = find_best_pix_fmt_of_list(usable, wanted)
        chosen = best.name if best else usable[0]
    else:
        chosen = wanted
    layout = layout_of(chosen)
    is_halved = layout is not None and layout.shift_x + layout.shift_y > 0
    if not is_halved or codec.name in ODD_SIZE_ENCODERS or not (size[0] % 2 or size[1] % 2):
        return chosen, None
    full = chosen.replace("420", "444").replace("422", "444")
    if full not in usable:
        return chosen, None  # the encoder will say whether it can
    return full, (
        f"written as `{full}`, because `{codec.name}` takes no odd size with halved colour"
    )


def _choose_color(
    info: VideoInfo, layout: PixelLayout, size: tuple[int, int]
) -> tuple[ColorTags, str | None]:
    """Tags of the output. Only the matrix changes with the size; RGB itself stays what it is."""
    color = info.color
    tags = {"primaries": color.primaries, "transfer": color.transfer}
    if layout.kind == "rgb":
        return ColorTags(matrix=Matrix.RGB, range=Range.FULL, **tags), None
    range_ = color.range if info.layout.kind == "yuv" else Range.LIMITED
    matrix, reason = color.matrix, None
    if matrix == Matrix.RGB:
        matrix = Matrix.BT709 if is_hd(*size) else Matrix.BT601_525
        reason = f"RGB is written with the {'BT.709' if is_hd(*size) else 'BT.601'} matrix"
    elif matrix in _BT601 and is_hd(*size) and not is_hd(info.height, info.width):
        matrix = Matrix.BT709
        reason = "colours are converted from BT.601 to BT.709, because the output is HD"
    return ColorTags(matrix=matrix, range=range_, **tags), reason


def _options(codec: Codec, config: OutputConfig) -> Mapping[str, str]:
    known = {option.name for option in codec.create("video").supported_options.private}
    options = dict(_DEFAULTS.get(codec.name, {}))
    if config.crf is not None:
        options["crf"] = f"{config.crf:g}"
    if config.preset is not None:
        options["preset"] = config.preset
    for name in options:
        if name not in known:
            raise ConfigError(
                f"`{codec.name}` has no setting `{name}`", hint=f"leave out `--{name}`"
            )
    if codec.name == "libx265":
        options["x265-params"] = "log-level=none"  # it prints 45 lines on stderr otherwise
    return options
