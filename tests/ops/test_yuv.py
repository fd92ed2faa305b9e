"""Colour conversion: laws of the equations, and agreement with FFmpeg where FFmpeg is right."""

from itertools import product

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from vsr_cli.ops.yuv import to_alpha, to_planes, to_rgb
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, PlaneKind, Range

MATRICES = [Matrix.BT601_525, Matrix.BT601_625, Matrix.BT709, Matrix.BT2020]
RANGES = [Range.LIMITED, Range.FULL]
FULL_CHROMA = PixelLayout(kind="yuv", depth=8)
HALVED = PixelLayout(kind="yuv", depth=8, shift_x=1, shift_y=1)
BT709 = ColorTags(matrix=Matrix.BT709, range=Range.LIMITED)


def patches(step: int = 51) -> Tensor:
    """(3, H, W) in [-1, 1]: every mixture of 8-bit levels `step` apart, one pixel each."""
    levels = torch.arange(0, 256, step) / 255 * 2 - 1
    return torch.tensor(list(product(levels.tolist(), repeat=3))).T.unflatten(1, (-1, len(levels)))


def random_rgb(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, height, width, generator=generator) * 2 - 1


def code_error(a: Tensor, b: Tensor, depth: int = 8) -> float:
    """Largest difference of two pictures in [-1, 1], in codes of full-range RGB."""
    return ((a - b).abs().max() * ((1 << depth) - 1) / 2).item()


@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("depth", [10, 12, 16])
def test_rgb_survives_a_round_trip_through_more_bits_within_half_a_code(
    matrix: Matrix, range_: Range, depth: int
) -> None:
    layout, color = PixelLayout(depth=depth), ColorTags(matrix=matrix, range=range_)
    rgb = random_rgb(16, 16)
    assert code_error(to_rgb(to_planes(rgb, layout, color), layout, color), rgb) < 0.5


@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("matrix", MATRICES)
def test_planes_survive_a_round_trip_within_one_code(matrix: Matrix, range_: Range) -> None:
    color = ColorTags(matrix=matrix, range=range_)
    planes = to_planes(patches(), FULL_CHROMA, color)
    again = to_planes(to_rgb(planes, FULL_CHROMA, color), FULL_CHROMA, color)
    for before, after in zip(planes, again, strict=True):
        assert (before.int() - after.int()).abs().max() <= 1


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_are_those_of_ffmpeg_for_a_tagged_frame(
    matrix: Matrix, range_: Range, depth: int
) -> None:
    layout, color = PixelLayout(depth=depth), ColorTags(matrix=matrix, range=range_)
    planes = to_planes(patches(), layout, color)
    picture = av.VideoFrame(
        planes[0].shape[1], planes[0].shape[0], f"yuv444p{'10le' * (depth > 8)}"
    )
    for plane, values in zip(picture.planes, planes, strict=True):
        lines = np.frombuffer(memoryview(plane), np.uint8 if depth == 8 else np.uint16)
        lines.reshape(-1, plane.line_size // lines.itemsize)[:, : values.shape[1]] = values.numpy()
    picture.colorspace, picture.color_range = int(matrix), int(range_)
    theirs = torch.from_numpy(picture.to_ndarray(format="rgb24")).permute(2, 0, 1)
    ours = (to_rgb(planes, layout, color) + 1) / 2 * 255
    assert (ours - theirs).abs().max() < 1.5  # FFmpeg itself rounds, and is off by up to 1


@pytest.mark.parametrize(
    ("range_", "black", "white"), [(Range.LIMITED, 16, 235), (Range.FULL, 0, 255)]
)
@pytest.mark.parametrize("matrix", MATRICES)
def test_black_and_white_have_the_codes_of_the_range_and_no_colour(
    matrix: Matrix, range_: Range, black: int, white: int
) -> None:
    rgb = torch.tensor([-1.0, 1.0]).expand(3, 2, 2)
    y, cb, cr = to_planes(rgb, FULL_CHROMA, ColorTags(matrix=matrix, range=range_))
    assert y.tolist() == [[black, white]] * 2
    assert cb.unique().tolist() == cr.unique().tolist() == [128]


def test_the_bars_of_bt709_have_their_published_codes() -> None:
    bars = {  # 100 % bars, 8 bits, limited range
        (1, 0, 0): (63, 102, 240),
        (0, 1, 0): (173, 42, 26),
        (0, 0, 1): (32, 240, 118),
        (1, 1, 0): (219, 16, 138),
    }
    for rgb, codes in bars.items():
        color = torch.tensor(rgb).reshape(3, 1, 1) * 2.0 - 1
        assert tuple(plane.item() for plane in to_planes(color, FULL_CHROMA, BT709)) == codes


@pytest.mark.parametrize("siting", ["left", "center"])
@pytest.mark.parametrize(("shift_x", "shift_y"), [(1, 1), (1, 0), (0, 1), (2, 0), (2, 2)])
@pytest.mark.parametrize("size", [(8, 12), (7, 13), (1, 1), (5, 2)])
def test_a_flat_picture_stays_flat_in_every_layout_and_size(
    size: tuple[int, int], shift_x: int, shift_y: int, siting: str
) -> None:
    layout = PixelLayout(
        depth=16, shift_x=shift_x, shift_y=shift_y, siting="left" if siting == "left" else "center"
    )
    rgb = torch.tensor([0.2, -0.5, 0.7]).reshape(3, 1, 1).expand(3, *size)
    planes = to_planes(rgb, layout, BT709)
    assert tuple(tuple(plane.shape) for plane in planes) == layout.plane_shapes(*size)
    torch.testing.assert_close(to_rgb(planes, layout, BT709), rgb, atol=1e-4, rtol=0)


@pytest.mark.parametrize("siting", ["left", "center"])
def test_a_slow_ramp_of_colour_is_not_shifted_by_halving_its_chroma(siting: str) -> None:
    layout = PixelLayout(
        depth=16, shift_x=1, shift_y=1, siting="left" if siting == "left" else "center"
    )
    ramp = torch.linspace(-0.5, 0.5, 32)
    rgb = torch.stack([ramp.expand(32, 32), torch.zeros(32, 32), ramp[:, None].expand(32, 32)])
    back = to_rgb(to_planes(rgb, layout, BT709), layout, BT709)
    inside = (slice(None), slice(3, -3), slice(3, -3))
    torch.testing.assert_close(back[inside], rgb[inside], atol=2e-4, rtol=0)


def test_left_sited_chroma_belongs_to_the_even_columns() -> None:
    planes = [torch.full((1, 4), 126, dtype=torch.uint8)]
    planes += [torch.tensor([[128, 168]], dtype=torch.uint8), torch.full((1, 2), 128).byte()]
    layout = PixelLayout(shift_x=1)
    blue = to_rgb(planes, layout, BT709)[2, 0]
    assert blue[1] - blue[0] == pytest.approx((blue[2] - blue[1]).item(), abs=1e-5)
    assert blue[2] == pytest.approx(blue[3].item())


@pytest.mark.parametrize(("shift", "first"), [(1, 0.5), (2, 1.5)])
def test_centred_chroma_lies_in_the_middle_of_the_pixels_it_stands_for(
    shift: int, first: float
) -> None:
    width = 2 << shift
    row = torch.full((1, width), 126, dtype=torch.uint8)
    planes = [row, torch.tensor([[108, 148]], dtype=torch.uint8), torch.full((1, 2), 128).byte()]
    blue = to_rgb(planes, PixelLayout(shift_x=shift, siting="center"), BT709)[2, 0]
    # Linear between the two samples, which lie at `first` and a step after it; constant outside.
    share = ((torch.arange(width) - first) / (1 << shift)).clamp(0, 1)
    torch.testing.assert_close(blue, blue[0] + share * (blue[-1] - blue[0]), atol=1e-6, rtol=0)
    assert blue[-1] - blue[0] == pytest.approx(2 * 40 / 224 * 2 * (1 - 0.0722), abs=1e-5)


@pytest.mark.parametrize("siting", ["left", "center"])
@pytest.mark.parametrize(("shift_x", "shift_y"), [(1, 1), (2, 0), (2, 2)])
@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_red_edge_tints_nothing_at_the_opposite_edge(
    turn: int, shift_x: int, shift_y: int, siting: str
) -> None:
    layout = PixelLayout(
        shift_x=shift_x, shift_y=shift_y, siting="left" if siting == "left" else "center"
    )
    rgb = torch.zeros(3, 16, 16)
    rgb[0, :, 12:] = 1.0
    rgb = rgb.rot90(turn, dims=(1, 2))
    y, cb, cr = to_planes(rgb, layout, BT709)
    far = (slice(None), slice(0, 4))  # of the picture as it was before it was turned
    back = to_rgb([y, cb, cr], layout, BT709).rot90(-turn, dims=(1, 2))[:, far[0], far[1]]
    expected = to_rgb(to_planes(0 * rgb, layout, BT709), layout, BT709)[:, far[0], far[1]]
    assert torch.equal(back, expected)
    for chroma in (cb, cr):
        assert chroma.rot90(-turn)[:, 0].unique().tolist() == [128]
    assert cr.max() > 160


@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("depth", [8, 10])
def test_neutral_chroma_is_the_middle_code_and_gives_an_exact_grey(
    depth: int, range_: Range
) -> None:
    layout, color = PixelLayout(depth=depth), ColorTags(matrix=Matrix.BT709, range=range_)
    dtype, middle = (torch.uint8, 128) if depth == 8 else (torch.uint16, 512)
    planes = [
        torch.full((1, 1), code, dtype=torch.int32).to(dtype) for code in (100, middle, middle)
    ]
    red, green, blue = to_rgb(planes, layout, color)
    torch.testing.assert_close(red, blue, atol=0, rtol=0)
    torch.testing.assert_close(red, green, atol=1e-6, rtol=0)
    for level in (-1.0, -0.3, 0.4, 1.0):
        _, cb, cr = to_planes(torch.full((3, 1, 1), level), layout, color)
        assert (cb.item(), cr.item()) == (middle, middle)


def test_codes_and_colours_beyond_black_and_white_are_clipped() -> None:
    gray, codes = PixelLayout(kind="gray"), torch.tensor([[0, 15, 16, 235, 236, 255]])
    assert to_rgb([codes.byte()], gray, BT709)[0].tolist() == [[-1, -1, -1, 1, 1, 1]]
    levels = torch.tensor([-2.0, -1.1, -1.0, 1.0, 1.1, 2.0]).expand(3, 1, 6)
    assert to_planes(levels, gray, BT709)[0].tolist() == [[16, 16, 16, 235, 235, 235]]


@pytest.mark.parametrize("depth", [8, 10, 16])
def test_gray_and_rgb_planes_pass_through_unchanged(depth: int) -> None:
    generator = torch.Generator().manual_seed(0)
    dtype = torch.uint8 if depth == 8 else torch.uint16
    values = torch.randint(0, 1 << depth, (3, 9, 7), generator=generator).to(torch.int32)
    planes = [plane.to(dtype) for plane in values]
    for layout, color in (
        (PixelLayout(kind="rgb", depth=depth), ColorTags(matrix=Matrix.RGB, range=Range.FULL)),
        (PixelLayout(kind="gray", depth=depth), ColorTags(matrix=Matrix.BT709, range=Range.FULL)),
    ):
        given = planes[: len(layout.plane_shapes(2, 2))]
        back = to_planes(to_rgb(given, layout, color), layout, color)
        for before, after in zip(given, back, strict=True):
            assert after.dtype == dtype
            assert (before.int() - after.int()).abs().max() <= (1 if depth == 16 else 0)


def test_dither_keeps_the_mean_of_a_level_between_two_codes() -> None:
    level = 100.3
    gray = torch.full((3, 64, 64), (level - 16) / 219 * 2 - 1)
    plain = to_planes(gray, FULL_CHROMA, BT709)[0].float()
    dithered = to_planes(gray, FULL_CHROMA, BT709, dither=True)[0].float()
    assert plain.unique().tolist() == [100.0]
    assert dithered.unique().tolist() == [100.0, 101.0]
    assert dithered.mean().item() == pytest.approx(level, abs=0.02)
    assert torch.equal(dithered, to_planes(gray, FULL_CHROMA, BT709, dither=True)[0].float())


def test_dither_favours_neither_the_code_below_nor_the_one_above() -> None:
    levels = 100 + torch.arange(64) / 64  # as many as the pattern has steps
    rgb = ((levels - 16) / 219 * 2 - 1)[None, :, None, None].expand(3, 64, 8, 8).reshape(3, 512, 8)
    dithered = to_planes(rgb, FULL_CHROMA, BT709, dither=True)[0].float()
    error = dithered.reshape(64, 64).mean(1) - levels
    assert abs(error.mean().item()) < 1e-3


def test_planes_of_the_wrong_shape_are_refused() -> None:
    planes = to_planes(random_rgb(8, 8), FULL_CHROMA, BT709)
    with pytest.raises(ValueError, match="expected planes"):
        to_rgb(planes, HALVED, BT709)


def test_an_unresolved_range_or_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="range"):
        to_planes(random_rgb(4, 4), FULL_CHROMA, ColorTags(matrix=Matrix.BT709))
    with pytest.raises(ValueError, match="UNSPECIFIED"):
        to_planes(random_rgb(4, 4), FULL_CHROMA, ColorTags(range=Range.FULL))


@pytest.mark.parametrize("kind", ["yuv", "gray", "rgb"])
@pytest.mark.parametrize("depth", [8, 10, 16])
def test_alpha_is_full_range_and_comes_back(kind: PlaneKind, depth: int) -> None:
    layout = PixelLayout(kind=kind, depth=depth, has_alpha=True)
    matrix = Matrix.RGB if kind == "rgb" else Matrix.BT709
    color = ColorTags(matrix=matrix, range=Range.LIMITED)
    alpha = torch.linspace(0, 1, 16 * 12).reshape(12, 16)
    planes = to_planes(torch.zeros(3, 12, 16), layout, color, alpha=alpha)
    assert len(planes) == len(layout.plane_shapes(2, 2))
    assert (int(planes[-1].float().min()), int(planes[-1].float().max())) == (0, (1 << depth) - 1)
    back = to_alpha(planes, layout)
    assert back is not None
    torch.testing.assert_close(back, alpha, atol=0.5 / ((1 << depth) - 1) + 1e-6, rtol=0)
    torch.testing.assert_close(
        to_rgb(planes, layout, color), torch.zeros(3, 12, 16), atol=0.01, rtol=0
    )


def test_without_alpha_all_is_opaque() -> None:
    layout = PixelLayout(has_alpha=True)
    color = ColorTags(matrix=Matrix.BT709, range=Range.LIMITED)
    planes = to_planes(torch.zeros(3, 4, 6), layout, color)
    assert set(planes[-1].flatten().tolist()) == {255}
    assert to_alpha(planes[:1], PixelLayout(kind="gray")) is None
