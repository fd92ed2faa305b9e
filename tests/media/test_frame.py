"""Pixel formats by name, and how gaps in colour tags are filled."""

import av
import pytest

from vsr_cli.media.frame import has_alpha, layout_of, plain_format, resolve_color
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, Range


@pytest.mark.parametrize(
    ("pix_fmt", "layout"),
    [
        ("yuv420p", PixelLayout(shift_x=1, shift_y=1)),
        ("yuvj420p", PixelLayout(shift_x=1, shift_y=1)),
        ("yuva420p", PixelLayout(shift_x=1, shift_y=1, has_alpha=True)),
        ("yuv422p10le", PixelLayout(depth=10, shift_x=1)),
        ("yuv444p16le", PixelLayout(depth=16)),
        ("yuv411p", PixelLayout(shift_x=2)),
        ("gray", PixelLayout(kind="gray")),
        ("gray10le", PixelLayout(kind="gray", depth=10)),
        ("gbrp12le", PixelLayout(kind="rgb", depth=12)),
    ],
)
def test_planar_formats_are_known_by_name(pix_fmt: str, layout: PixelLayout) -> None:
    assert layout_of(pix_fmt) == layout
    assert plain_format(pix_fmt) == pix_fmt


@pytest.mark.parametrize(
    ("pix_fmt", "plain"),
    [
        ("nv12", "yuv420p"),
        ("p010le", "yuv420p10le"),
        ("yuyv422", "yuv422p"),
        ("yuv420p10be", "yuv420p10le"),
        ("rgb24", "gbrp"),
        ("bgra", "gbrap"),
        ("rgb48le", "gbrp16le"),
        ("pal8", "gbrp"),
        ("ya8", "gbrap"),
        ("ya16be", "gbrap16le"),
        ("rgba64be", "gbrap16le"),
        ("yuva420p10be", "yuva444p10le"),
        ("gbrpf32le", "gbrp16le"),
    ],
)
def test_other_formats_are_unpacked_to_the_one_that_keeps_every_sample(
    pix_fmt: str, plain: str
) -> None:
    assert layout_of(pix_fmt) is None
    assert plain_format(pix_fmt) == plain


@pytest.mark.parametrize(
    ("pix_fmt", "plain"), [("bgra", "gbrp"), ("ya8", "gray"), ("yuva420p10be", "yuv420p10le")]
)
def test_alpha_is_left_out_where_it_is_not_wanted(pix_fmt: str, plain: str) -> None:
    assert plain_format(pix_fmt, keep_alpha=False) == plain


def test_every_format_of_ffmpeg_has_a_plain_one() -> None:
    names = {
        fmt.name
        for codec in ("rawvideo", "ffv1", "prores_ks", "png", "libx265", "exr")
        for fmt in av.Codec(codec, "w").video_formats or ()
    }
    assert names
    assert all(layout_of(plain_format(name)) for name in names)


def test_alpha_is_seen() -> None:
    assert has_alpha("yuva420p")
    assert has_alpha("bgra")
    assert not has_alpha("yuv420p")


@pytest.mark.parametrize(
    ("size", "matrix"),
    [
        ((240, 320), Matrix.BT601_525),
        ((480, 720), Matrix.BT601_525),
        ((486, 720), Matrix.BT601_525),
        ((576, 720), Matrix.BT601_625),
        ((540, 960), Matrix.BT601_525),
        ((536, 1280), Matrix.BT709),
        ((720, 1280), Matrix.BT709),
        ((1280, 720), Matrix.BT709),
        ((2160, 3840), Matrix.BT709),
    ],
)
def test_untagged_colour_follows_the_size_and_says_so(
    size: tuple[int, int], matrix: Matrix
) -> None:
    color, reason = resolve_color(ColorTags(), "yuv420p", size)
    assert (color.matrix, color.range) == (matrix, Range.LIMITED)
    assert reason is not None
    assert "untagged" in reason


@pytest.mark.parametrize("matrix", [Matrix.BT601_525, Matrix.BT709, Matrix.BT2020])
@pytest.mark.parametrize("range_", [Range.LIMITED, Range.FULL])
def test_tags_are_believed_whatever_the_size(matrix: Matrix, range_: Range) -> None:
    tags = ColorTags(matrix=matrix, range=range_, primaries=9, transfer=16)
    assert resolve_color(tags, "yuv420p", (1080, 1920)) == (tags, None)
    assert resolve_color(tags, "yuv420p", (240, 320)) == (tags, None)


def test_primaries_tell_a_missing_matrix() -> None:
    color, reason = resolve_color(ColorTags(primaries=9, transfer=16), "yuv420p10le", (480, 720))
    assert color == ColorTags(matrix=Matrix.BT2020, range=Range.LIMITED, primaries=9, transfer=16)
    assert reason is not None
    assert "primaries" in reason


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "gray", "rgb24", "gbrp10le", "pal8"])
def test_formats_that_are_full_range_by_nature_need_no_tag(pix_fmt: str) -> None:
    color, _ = resolve_color(ColorTags(), pix_fmt, (480, 640))
    assert color.range == Range.FULL
