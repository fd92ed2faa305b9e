"""Specks of one frame are found, and nothing that moves or is there for longer."""

import torch
from torch import Tensor

from vsr_cli.ops.dirt import find_dirt, without_things

SIZE = (40, 48)


def gray(value: float = 0.5) -> Tensor:
    return torch.full((1, 1, *SIZE), value)


def spot(side: int, value: float = 0.9) -> Tensor:
    picture = gray()
    picture[..., 20 : 20 + side, 20 : 20 + side] = value
    return picture


def found(picture: Tensor, earlier: Tensor, later: Tensor) -> Tensor:
    return find_dirt(picture, earlier, later, 20 / 255, 0.12)


def test_a_speck_is_found_whole_and_nothing_else() -> None:
    for value in (0.1, 0.9):
        dirt = found(spot(4, value), gray(), gray())
        assert torch.equal(dirt, (spot(4, value) != gray()).float())


def test_a_single_pixel_is_noise() -> None:
    assert found(spot(1), gray(), gray()).max() == 0


def test_what_lies_between_its_neighbours_is_a_fade() -> None:
    assert found(gray(0.5), gray(0.3), gray(0.7)).max() == 0


def test_what_the_next_frame_shows_as_well_is_no_dirt() -> None:
    assert found(spot(4), gray(), spot(4)).max() == 0


def test_where_the_neighbours_differ_there_is_none() -> None:
    """Lighter than both, which are 60 codes apart at that place."""
    assert found(spot(3, 0.9), spot(3, 0.4), spot(3, 0.635)).max() == 0


def test_what_a_neighbour_shows_elsewhere_has_moved_and_stays() -> None:
    picture, dirt = spot(6), (spot(6) != gray()).float()
    elsewhere = torch.roll(spot(6), (-7, 9), (2, 3))
    for neighbors in ((elsewhere, gray()), (gray(), elsewhere)):
        assert without_things(dirt, picture, gray(), neighbors).max() == 0
    far = torch.roll(spot(6), (-20, -20), (2, 3))
    assert torch.equal(without_things(dirt, picture, gray(), (far, far)), dirt)
    assert torch.equal(without_things(dirt, picture, gray(), (gray(), gray())), dirt)


def test_what_is_further_away_than_things_move_is_another_thing() -> None:
    size = (120, 130)
    picture = torch.full((1, 1, *size), 0.5)
    picture[..., 60:66, 60:66] = 0.9
    dirt = (picture == 0.9).float()
    for distance, stays in ((18, False), (40, True)):
        neighbor = torch.roll(picture, (-distance, 0), (2, 3))
        left = without_things(dirt, picture, torch.full_like(picture, 0.5), (neighbor, neighbor))
        assert bool(left.any()) == stays


def test_dirt_that_looks_like_something_that_stands_nearby_is_dirt() -> None:
    standing = torch.roll(spot(6), (0, 9), (2, 3))
    picture = torch.maximum(spot(6), standing)
    dirt = (spot(6) != gray()).float()
    left = without_things(dirt, picture, standing, (standing, standing))
    assert torch.equal(left, dirt)


def test_one_place_stays_while_another_goes() -> None:
    picture = spot(6).minimum(torch.roll(1 - spot(6), (-15, -15), (2, 3)) + 0.0)
    picture = torch.where(spot(6) != gray(), spot(6), picture)
    dirt = (picture != gray()).float()
    elsewhere = torch.roll(spot(6), (0, 9), (2, 3))
    left = without_things(dirt, picture, gray(), (elsewhere, gray()))
    assert torch.equal(left, dirt * (spot(6) == gray()))
    assert left.sum() == 36
