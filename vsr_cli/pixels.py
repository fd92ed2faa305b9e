"""What the numbers in a picture mean: the words that `media` and `ops` share."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

PlaneKind = Literal["yuv", "gray", "rgb"]
Siting = Literal["left", "center"]


class Matrix(IntEnum):
    """How RGB becomes luma and chroma: the codes of ITU-T H.273, table 4."""

    RGB = 0
    BT709 = 1
    UNSPECIFIED = 2
    FCC = 4
    BT601_625 = 5
    BT601_525 = 6
    SMPTE240M = 7
    BT2020 = 9

    @property
    def luma_weights(self) -> tuple[float, float]:
        """The shares (Kr, Kb) of red and blue in luma; green has the rest.

        Raises:
            ValueError: this is no matrix of luma and chroma.
        """
        match self:
            case Matrix.BT709:
                return 0.2126, 0.0722
            case Matrix.FCC:
                return 0.30, 0.11
            case Matrix.BT601_625 | Matrix.BT601_525:
                return 0.299, 0.114
            case Matrix.SMPTE240M:
                return 0.212, 0.087
            case Matrix.BT2020:
                return 0.2627, 0.0593
        raise ValueError(f"{self.name} has no luma weights")


class Range(IntEnum):
    """Which codes are black and white; the numbers are FFmpeg's."""

    UNSPECIFIED = 0
    LIMITED = 1  # 16 to 235 in 8 bits
    FULL = 2  # 0 to 255 in 8 bits


# FFmpeg's names of the codes; the first of several names of a code is the usual one.
MATRIX_NAMES = {
    **{"bt709": Matrix.BT709, "709": Matrix.BT709, "fcc": Matrix.FCC},
    **{
        "smpte170m": Matrix.BT601_525,
        "bt601": Matrix.BT601_525,
        "601": Matrix.BT601_525,
        "bt470bg": Matrix.BT601_625,
    },
    **{"smpte240m": Matrix.SMPTE240M, "bt2020nc": Matrix.BT2020, "2020": Matrix.BT2020},
}
RANGE_NAMES = {
    **{"limited": Range.LIMITED, "tv": Range.LIMITED, "mpeg": Range.LIMITED},
    **{"full": Range.FULL, "pc": Range.FULL, "jpeg": Range.FULL},
}
PRIMARIES_NAMES = {  # H.273, table 2
    **{"bt709": 1, "709": 1, "bt470m": 4, "bt470bg": 5, "smpte170m": 6, "bt601": 6, "601": 6},
    **{"smpte240m": 7, "film": 8, "bt2020": 9, "2020": 9, "smpte428": 10, "smpte431": 11},
    **{"smpte432": 12, "p3": 12, "ebu3213": 22},
}
PQ, HLG = 16, 18  # H.273, table 3: SMPTE ST 2084 and ARIB STD-B67
TRANSFER_NAMES = {  # H.273, table 3
    **{"bt709": 1, "709": 1, "gamma22": 4, "gamma28": 5, "smpte170m": 6, "bt601": 6, "601": 6},
    **{"smpte240m": 7, "linear": 8, "log100": 9, "log316": 10, "iec61966-2-4": 11},
    **{"bt1361e": 12, "iec61966-2-1": 13, "srgb": 13, "bt2020-10": 14, "bt2020-12": 15},
    **{"smpte2084": PQ, "pq": PQ, "smpte428": 17, "arib-std-b67": HLG, "hlg": HLG},
}


@dataclass(frozen=True, kw_only=True)
class ColorTags:
    """What a stream says about its colour; 2 is "unspecified" in each H.273 code."""

    matrix: Matrix = Matrix.UNSPECIFIED
    range: Range = Range.UNSPECIFIED
    primaries: int = 2  # H.273, table 2
    transfer: int = 2  # H.273, table 3


@dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """How samples lie in planes: Y, Cb, Cr; or Y alone; or R, G, B in this order; alpha is last."""

    kind: PlaneKind = "yuv"
    depth: int = 8  # bits, 8 to 16; more than 8 live in uint16
    shift_x: int = 0  # chroma is 2**shift_x times narrower, rounded up
    shift_y: int = 0  # and 2**shift_y times lower
    siting: Siting = "left"  # of chroma along x; along y it is always in the middle
    has_alpha: bool = False  # of full range, whatever the colours have

    @property
    def num_colors(self) -> int:
        """How many planes there are but for alpha."""
        return 1 if self.kind == "gray" else 3

    def plane_shapes(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """The (height, width) of each plane of a picture of this size."""
        chroma = (-(-height >> self.shift_y), -(-width >> self.shift_x))
        colors = ((height, width), chroma, chroma)[: self.num_colors]
        return (*colors, (height, width)) if self.has_alpha else colors


def is_hd(height: int, width: int) -> bool:
    """Whether a picture of this size is of the BT.709 age; wide films crop 1280x720 in height."""
    return height >= 720 or width >= 1280
