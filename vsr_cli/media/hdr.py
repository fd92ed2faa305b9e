"""What an HDR picture says about the screen and the light it was made for."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame

Chromaticity = tuple[Fraction, Fraction]  # CIE 1931 x and y


@dataclass(frozen=True, kw_only=True)
class HdrMetadata:
    """The mastering display (SMPTE ST 2086) and the light levels (CTA-861.3); None is unknown."""

    primaries: tuple[Chromaticity, Chromaticity, Chromaticity] | None  # red, green, blue
    white: Chromaticity | None
    min_luminance: Fraction | None  # cd/m2, as all below
    max_luminance: Fraction | None
    max_cll: int | None  # of the brightest pixel
    max_fall: int | None  # of the brightest frame on average


def read_hdr(picture: VideoFrame) -> HdrMetadata | None:
    """The metadata that came with a decoded picture; None if there is none."""
    # AVMasteringDisplayMetadata: 10 fractions and 2 flags; AVContentLightMetadata: 2 numbers.
    display = side_data(picture, "MASTERING_DISPLAY_METADATA")
    light = side_data(picture, "CONTENT_LIGHT_LEVEL")
    numbers = struct.unpack("22i", display) if display else (0,) * 22
    levels = struct.unpack("2I", light[:8]) if light else (0, 0)
    has_primaries, has_luminance = numbers[20:]
    if not (has_primaries or has_luminance or any(levels)):
        return None
    red, green, blue, white = (_point(numbers[n : n + 4]) for n in (0, 4, 8, 12))
    return HdrMetadata(
        primaries=(red, green, blue) if has_primaries else None,
        white=white if has_primaries else None,
        min_luminance=_fraction(numbers[16:18]) if has_luminance else None,
        max_luminance=_fraction(numbers[18:20]) if has_luminance else None,
        max_cll=levels[0] or None,
        max_fall=levels[1] or None,
    )


def side_data(picture: VideoFrame, name: str) -> bytes | None:
    """What came with a decoded picture under a name of FFmpeg's; None if nothing did."""
    try:
        found = picture.side_data.get(name)
    except ValueError:  # PyAV gives up on all where it does not know one, as the EXIF of images
        return None
    return bytes(found) if isinstance(found, SideData) else None


def side_data_kinds(picture: VideoFrame) -> frozenset[str]:
    """The names of all that came with a decoded picture."""
    return frozenset(kind.name for kind in Type if side_data(picture, kind.name) is not None)


def _point(numbers: Sequence[int]) -> Chromaticity:
    return _fraction(numbers[:2]), _fraction(numbers[2:])


def _fraction(numbers: Sequence[int]) -> Fraction:
    numerator, denominator = numbers
    return Fraction(numerator, denominator or 1)
