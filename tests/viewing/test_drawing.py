"""Pictures are laid out as they are, and differences are drawn to scale."""

import numpy as np
import pytest

from vsr_cli.errors import VsrError
from vsr_cli.viewing.drawing import (
    Canvas,
    Piece,
    draw_name,
    enlarge_small,
    heat,
    heat_map,
    side_by_side,
    split,
)
from vsr_cli.viewing.footage import Picture


def flat(code: int, size: tuple[int, int] = (20, 30)) -> Picture:
    return np.full((*size, 3), code, np.uint8)


def test_pictures_in_a_row_are_what_they_were() -> None:
    row = side_by_side([flat(10), flat(200)], axis=1)
    assert row.shape == (20, 62, 3)
    assert (row[:, :30] == 10).all()
    assert (row[:, 32:] == 200).all()
    assert side_by_side([flat(10), flat(200)], axis=0).shape == (42, 30, 3)


@pytest.mark.parametrize("at", [0.0, 0.3, 1.0])
def test_a_split_shows_the_first_at_its_left_alone(at: float) -> None:
    picture = split([flat(10), flat(200)], at)
    edge = round(30 * at)
    assert (picture[:, : max(0, edge - 1)] == 10).all()
    assert (picture[:, min(30, edge + 1) :] == 200).all()


def test_four_pictures_share_the_width() -> None:
    picture = split([flat(code) for code in (10, 20, 30, 40)])
    assert [int(picture[0, x, 0]) for x in (2, 11, 19, 27)] == [10, 20, 30, 40]


def test_differences_are_dark_where_there_are_none_and_as_bright_as_they_are_large() -> None:
    second = flat(100)
    second[:, 10:20], second[:, 20:] = 104, 255
    found = heat(flat(100), second, gain=8)
    assert (found[:, :10] == heat_map()[0]).all()
    assert np.abs(found[:, 10:20].astype(int) - heat_map()[32]).max() <= 3
    assert (found[:, 20:] == heat_map()[255]).all()
    assert np.array_equal(found, heat(second, flat(100), gain=8))


def test_a_picture_of_another_size_is_enlarged_whole() -> None:
    small = np.random.default_rng(0).integers(0, 256, (10, 15, 3), np.uint8)
    assert np.array_equal(
        Canvas(size=(20, 30), fit="nearest").place(small, (10, 15)),
        small.repeat(2, axis=0).repeat(2, axis=1),
    )
    smooth = Canvas(size=(20, 30)).place(small, (10, 15))
    assert abs(smooth.mean() - small.mean()) < 2


def test_another_shape_is_kept_with_black_beside_it() -> None:
    placed = Canvas(size=(20, 60)).place(flat(200), (20, 30))
    assert (placed[:, 15:45] == 200).all()
    assert not placed[:, :15].any()
    assert not placed[:, 45:].any()


def test_a_pixel_of_rounding_leaves_no_black_line() -> None:
    placed = Canvas(size=(718, 1280)).place(flat(200, (180, 320)), (180, 320))
    assert placed.min() > 190


def test_pixels_that_are_not_square_are_shown_square() -> None:
    placed = Canvas(size=(20, 40)).place(flat(200, (20, 30)), (20, 40))
    assert placed.shape == (20, 40, 3)
    assert placed.min() > 190


def test_a_piece_is_cut_out_and_enlarged_pixel_for_pixel() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8)
    piece = Canvas(size=(100, 200), piece=Piece(30, 40, 60, 50)).place(picture, (100, 200))
    assert np.array_equal(piece, picture[40:90, 30:90])
    large = enlarge_small(piece)
    assert large.shape == (300, 360, 3)
    assert np.array_equal(large[::6, ::6], piece)


def test_a_piece_outside_of_the_picture_is_refused() -> None:
    with pytest.raises(VsrError, match="reaches out") as caught:
        Piece(30, 40, 60, 70).require_within((100, 200))
    assert caught.value.exit_code == 2


def test_a_name_is_written_at_the_bottom_and_cut_where_it_is_too_long() -> None:
    named = draw_name(flat(100, (100, 200)), "in.mp4")
    assert (named[:70] == 100).all()
    assert named[80:].max() > 200
    assert (named[:, 150:] == 100).all()
    assert draw_name(flat(100, (16, 40)), "a name that is far too long").shape == (16, 40, 3)
