"""Which encoder writes the picture, in which pixel format, with which settings."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.codec import Codec
from av.codec.codec import UnknownCodecError, find_best_pix_fmt_of_list

from vsr_cli.config import OutputConfig
from vsr_cli.errors import ConfigError, did_you_mean
from vsr_cli.events import Note
from vsr_cli.media.containers import (
    IMAGES,
    WITH_ROTATION,
    WITHOUT_CLOCK,
    Container,
)
from vsr_cli.media.frame import VideoInfo, has_alpha, layout_of
from vsr_cli.media.writing.encoder_memory import narrowed
from vsr_cli.media.writing.encoder_options import (
    encoder_options,
    is_hdr,
    is_too_narrow_for_trees,
)
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, Range, is_hd

# Encoders that take an odd width or height with halved chroma; others refuse, some obscurely.
ODD_SIZE_ENCODERS = frozenset({"libsvtav1", "ffv1", "libvpx", "libvpx-vp9"})

# Packed formats that are written all the same, and the planar ones they are packed from: FFV1 has
# no other RGB of 8 bits, PNG has none at all.
PACKED = {
    **{"bgr0": "gbrp", "rgb24": "gbrp", "rgb48be": "gbrp16le"},
    **{"rgba": "gbrap", "rgba64be": "gbrap16le"},
}

_BT601 = frozenset({Matrix.BT601_525, Matrix.BT601_625})
_BY_CONTAINER = {
    "webm": ("libsvtav1", "AV1, because WebM holds no H.264"),
    "yuv4mpegpipe": ("wrapped_avframe", None),
    "rawvideo": ("rawvideo", None),
    IMAGES: ("png", None),
}
_RAW = frozenset({"rawvideo", "wrapped_avframe"})
_HAVE_DEEP = frozenset({"mp4", "mov", "matroska", "mpegts", "nut"})  # containers of H.265
_WITHOUT_ALPHA = frozenset({"libx265"})  # which has the formats and does not open with them
_SMALLEST_X265 = 16  # pixels of a side
MAX_X264_DEPTH = 10  # bits
# Codecs whose own stream holds the shape of a pixel; PyAV sets that of MP4 containers alone.
_TELL_ASPECT = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video"})
_HDR_CODECS = frozenset({"libx265", "libsvtav1"})

# What may come with a picture and no encoder here can write.
_UNWRITTEN = {
    "A53_CC": Note(
        code="W_CAPTIONS_DROPPED", text="closed captions inside the picture's stream are left out"
    ),
    "DYNAMIC_HDR_PLUS": Note(
        code="W_DYNAMIC_HDR_DROPPED", text="HDR10+ metadata is left out; the picture stays HDR"
    ),
    "DOVI_METADATA": Note(code="W_DYNAMIC_HDR_DROPPED", text="Dolby Vision metadata is left out"),
    "AMBIENT_VIEWING_ENVIRONMENT": Note(
        code="W_HDR_DROPPED", text="the light in which HDR was meant to be seen is left out"
    ),
    "STEREO3D": Note(
        code="W_STEREO_DROPPED", text="the mark that the picture is stereoscopic is left out"
    ),
    "SPHERICAL": Note(
        code="W_SPHERICAL_DROPPED", text="the mark that the picture is spherical is left out"
    ),
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
    rate: Fraction  # frames per second, on average
    time_base: Fraction  # seconds per tick of the picture's times
    is_regular: bool  # whether frames follow each other at `rate` whatever the source does
    notes: tuple[Note, ...]  # what the user would not expect
    reasons: tuple[str, ...]

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame as it is given to the encoder."""
        return frame_bytes(self.layout, self.size)


def frame_bytes(layout: PixelLayout, size: tuple[int, int]) -> int:
    """Bytes of the planes of a frame of (height, width)."""
    samples = sum(height * width for height, width in layout.plane_shapes(*size))
    return samples * (1 if layout.depth == 8 else 2)


def _why_narrow(narrow: Mapping[str, str]) -> str | None:
    if "preset" in narrow:
        return f"x264 with preset {narrow['preset']}: at this size others take too much memory"
    return "x264 looks fewer frames ahead, since frames are so large" if narrow else None


def find_encoder(name: str) -> Codec:
    """The video encoder of this name, or the usual one for a codec of this name.

    Raises:
        ConfigError: there is none.
    """
    usual = "try `libx264`, `libx265`, `libsvtav1`, `prores_ks` or `ffv1`"
    try:
        codec = Codec(name, "w")
    except UnknownCodecError as error:
        hint = did_you_mean(name, av.codecs_available, usual)
        raise ConfigError(f"there is no encoder `{name}`", hint=hint) from error
    if codec.type != "video":
        raise ConfigError(f"`{name}` encodes {codec.type}, not video", hint=usual)
    return codec


def encoder_names() -> list[str]:
    """The names of all video encoders that this build of FFmpeg has."""
    found = []
    for name in sorted(av.codecs_available):
        with suppress(UnknownCodecError):
            if Codec(name, "w").type == "video":
                found.append(name)
    return found


def plan_encoder(
    container: Container, info: VideoInfo, size: tuple[int, int], config: OutputConfig
) -> EncoderPlan:
    """Choose what the user left open.

    Args:
        container: what is written.
        info: of the source.
        size: (height, width) of the output.
        config: the user's choices; None is open.

    Raises:
        ConfigError: encoder, pixel format, settings and container do not fit each other.
    """
    is_stage = container.is_pipe and container.name in ("matroska", "nut")
    if is_stage and config.video_codec is None and config.crf is None:
        config = replace(config, lossless=True)  # what comes next should get all there is
    codec, codec_reason = _choose_codec(container, info, size, config)
    rate, is_regular = _choose_rate(container, info, config)
    notes: list[Note] = []
    if config.pix_fmt is not None:
        pix_fmt = _check_pix_fmt(config.pix_fmt, codec)
    else:
        halves_chroma = _halves_chroma(container, codec, info, config)
        pix_fmt, why = _choose_pix_fmt(codec, info, size, halves_chroma=halves_chroma)
        if why:
            notes.append(Note(code="W_PIX_FMT", text=why))
    layout = layout_of(PACKED.get(pix_fmt, pix_fmt))
    if layout is None:
        raise ConfigError(
            f"frames cannot be written as `{pix_fmt}`", hint="give a planar one, as `yuv420p`"
        )
    if info.layout.has_alpha and not layout.has_alpha:
        text = f"the transparency of the source is dropped: `{pix_fmt}` has none"
        notes.append(Note(code="W_ALPHA_DROPPED", text=text))
    color, color_reason = _choose_color(info, layout, size)
    notes += [note for kind, note in _UNWRITTEN.items() if kind in info.side_data]
    notes += _lost_geometry(container, codec, info)
    if lost := _lost_hdr(codec.name, layout, info):
        notes.append(Note(code="W_HDR_DROPPED", text=lost))
    if container.name in ("yuv4mpegpipe", "rawvideo"):
        untold = f"{container.display_name} does not tell the matrix, which is {color.matrix.name}"
        color_reason = "; ".join(filter(None, (color_reason, untold)))
    is_halved = info.layout.kind == "rgb" and layout.kind == "yuv" and layout.shift_x > 0
    format_reason = "colour is halved, as players want it" if is_halved else None
    narrow = narrowed(codec.name, frame_bytes(layout, size), config.preset)
    is_narrow = is_too_narrow_for_trees(codec.name, size)
    reasons = (
        codec_reason,
        "no coding-unit trees, which x265 cannot build at so small a width" if is_narrow else None,
        _why_narrow(narrow),
        format_reason,
        *(n.text for n in notes),
        info.color_reason,
        color_reason,
    )
    return EncoderPlan(
        codec=codec.name,
        size=size,
        pix_fmt=pix_fmt,
        layout=layout,
        color=color,
        options=encoder_options(codec, container.name, layout, size, info, config, narrow),
        rate=rate,
        time_base=1 / rate if is_regular else info.time_base,
        is_regular=is_regular,
        notes=tuple(notes),
        reasons=tuple(filter(None, reasons)),
    )


def _choose_codec(
    container: Container, info: VideoInfo, size: tuple[int, int], config: OutputConfig
) -> tuple[Codec, str | None]:
    """The encoder, and why it was chosen if the user left that open."""
    if config.video_codec is not None:
        return find_encoder(config.video_codec), None
    if container.name in _BY_CONTAINER and not (config.lossless and container.name == "webm"):
        name, reason = _BY_CONTAINER[container.name]
        return find_encoder(name), reason
    if config.lossless:
        if container.name not in ("matroska", "nut", "avi"):
            raise ConfigError(
                f"{container.display_name} has no lossless codec that players know",
                hint="write to `.mkv`, or name one with `--vcodec`",
            )
        is_square = info.sample_aspect_ratio == 1
        if is_square or info.layout.depth > MAX_X264_DEPTH or info.layout.has_alpha:
            return find_encoder("ffv1"), "FFV1, because it loses nothing"
        why = "H.264 without loss, because FFV1 does not say that pixels are not square"
        return find_encoder("libx264"), why
    if container.name == "mov" and info.layout.has_alpha:
        return find_encoder("prores_ks"), "ProRes 4444, because the source has transparency"
    if container.name in _HAVE_DEEP and (info.layout.depth > 8 or is_hdr(info)):
        if min(size) < _SMALLEST_X265:
            why = f"H.265 takes no side of less than {_SMALLEST_X265}"
            return find_encoder("libx264"), f"H.264 with 10 bits, because {why}"
        why = "is HDR" if is_hdr(info) else f"has {info.layout.depth}"
        return find_encoder("libx265"), f"H.265 with 10 bits, because the source {why}"
    return find_encoder("libx264"), None


def _choose_rate(
    container: Container, info: VideoInfo, config: OutputConfig
) -> tuple[Fraction, bool]:
    """Frames per second, and whether they are forced to follow each other at that rate."""
    if config.cfr is not None:
        return config.cfr, True
    if container.name not in WITHOUT_CLOCK:
        return info.rate, False
    if info.is_vfr:
        raise ConfigError(
            f"{container.display_name} has no times, and the source's frame rate varies",
            hint=f"use `--cfr {_usual_rate(info.rate)}`, or write Matroska",
        )
    return info.rate, True


def _lost_geometry(container: Container, codec: Codec, info: VideoInfo) -> list[Note]:
    """What of the way a picture is shown does not arrive."""
    notes = []
    if info.rotation and container.name not in WITH_ROTATION:
        text = f"{container.display_name} cannot say that the picture is turned when shown"
        notes.append(Note(code="W_ROTATION_DROPPED", text=f"{text} (by {info.rotation} degrees)"))
    is_told = container.is_mp4 or codec.canonical_name in _TELL_ASPECT
    if info.sample_aspect_ratio != 1 and not is_told:
        shape = f"{info.sample_aspect_ratio.numerator}:{info.sample_aspect_ratio.denominator}"
        text = f"`{codec.name}` in {container.display_name} cannot say that pixels are not square"
        notes.append(Note(code="W_ASPECT_DROPPED", text=f"{text} ({shape})"))
    return notes


def _usual_rate(rate: Fraction) -> Fraction:
    """The next higher of the rates that films and cameras have."""
    whole = [Fraction(n) for n in (12, 15, 24, 25, 30, 50, 60)]
    usual = whole + [Fraction(n * 1000, 1001) for n in (24, 30, 60)]
    return min((n for n in usual if n >= rate), default=rate)


def _lost_hdr(codec: str, layout: PixelLayout, info: VideoInfo) -> str | None:
    """What of HDR does not arrive."""
    if is_hdr(info) and layout.depth == 8:
        return f"`{codec}` writes HDR with 8 bits: gradients will show steps"
    if info.hdr and codec not in _HDR_CODECS:
        return f"`{codec}` cannot say which display HDR was made for: players will guess"
    return None


def _check_pix_fmt(name: str, codec: Codec) -> str:
    formats = [fmt.name for fmt in codec.video_formats or ()]
    if formats and name not in formats:
        usable = [fmt for fmt in formats if layout_of(PACKED.get(fmt, fmt))]
        raise ConfigError(
            f"`{codec.name}` has no pixel format `{name}`",
            hint=did_you_mean(
                name, usable, "use one of " + ", ".join(f"`{fmt}`" for fmt in usable[:8])
            ),
        )
    try:
        av.VideoFormat(name)
    except ValueError as error:
        raise ConfigError(f"there is no pixel format `{name}`", hint="try `yuv420p`") from error
    return name


def _halves_chroma(
    container: Container, codec: Codec, info: VideoInfo, config: OutputConfig
) -> bool:
    """Whether RGB becomes 4:2:0, as most players of an MP4 want it; video in 4:4:4 stays so."""
    is_for_players = container.is_mp4 and codec.name in ("libx264", "libx265")
    return is_for_players and info.layout.kind == "rgb" and not config.lossless


def _choose_pix_fmt(
    codec: Codec, info: VideoInfo, size: tuple[int, int], *, halves_chroma: bool
) -> tuple[str, str | None]:
    """The format to write, and what to say if it is not the usual one."""
    source = info.layout
    is_full_chroma = source.kind != "gray" and source.shift_x == source.shift_y == 0
    is_full_chroma = is_full_chroma and not halves_chroma
    is_deep = source.depth > 8 or is_hdr(info)
    wants_alpha = source.has_alpha and codec.name not in _WITHOUT_ALPHA
    if codec.name == "png" and wants_alpha:
        return ("rgba64be" if is_deep else "rgba"), None
    if codec.name == "png":
        return ("rgb48be" if is_deep else "rgb24"), None
    chroma = 444 if is_full_chroma else 420
    if codec.name in _RAW and source.kind == "yuv" and source.shift_x and not source.shift_y:
        chroma = 422
    depth = "10le" if is_deep or codec.name == "libsvtav1" else ""
    formats = [fmt.name for fmt in codec.video_formats or ()]
    planar = [name for name in formats if layout_of(name) and not name.startswith("yuvj")]
    is_alpha_kept = wants_alpha and any(has_alpha(name) for name in planar)
    wanted = f"yuv{'a' if is_alpha_kept else ''}{chroma}p{depth}"
    usable = [name for name in planar if has_alpha(name) == is_alpha_kept]
    if usable:
        best, _ = find_best_pix_fmt_of_list(usable, wanted, has_alpha=is_alpha_kept)
        chosen = best.name if best else usable[0]
    else:
        chosen = wanted
    layout = layout_of(chosen)
    is_halved = layout is not None and layout.shift_x + layout.shift_y > 0
    if not is_halved or codec.name in ODD_SIZE_ENCODERS or not (size[0] % 2 or size[1] % 2):
        return chosen, None
    if codec.name in _RAW:
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
