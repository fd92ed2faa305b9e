"""What is hidden is taken from where it is seen, and only if the ring of the hole agrees."""

import torch
from torch import Tensor

from vsr_cli.ops.propagate import Carried, carry, complete_motion, merge, tolerance

SIZE = (24, 32)
WEIGHTS = torch.ones(1, 1, 1, 1)


def field(value: float) -> Tensor:
    return torch.full((1, 1, *SIZE), value)


def hole() -> Tensor:
    mask = field(0)
    mask[..., 8:14, 10:20] = 1
    return mask


def slope() -> Tensor:
    return (0.2 + 0.5 * torch.arange(32) / 31).expand(1, 1, *SIZE).contiguous()


def whole(picture: Tensor, cost: float = 0) -> Carried:
    return Carried(picture, field(1), field(cost), field(1))


def still() -> Tensor:
    return torch.zeros(1, 2, *SIZE)


def carried(before: Carried, picture: Tensor) -> Carried:
    closed = torch.where(hole() > 0, field(0.5), picture)
    borne = tolerance(closed, hole(), WEIGHTS)
    return carry(before, closed, hole(), still(), field(1), borne, WEIGHTS)


def test_a_hole_shows_what_the_frame_before_shows() -> None:
    found = carried(whole(slope()), slope())
    torch.testing.assert_close(found.values, slope())
    assert found.had.min() == found.is_sure.min() == 1


def test_light_that_changes_is_followed() -> None:
    found = carried(whole(slope() - 0.02), slope())
    torch.testing.assert_close(found.values, slope(), atol=1e-3, rtol=0)


def test_what_the_ring_does_not_agree_with_is_not_taken() -> None:
    for error in (0.06, 0.2):  # borne in flat places: 0.03
        found = carried(whole(slope() - error), slope())
        assert found.had[hole() > 0].max() == 0


def test_errors_add_up_on_the_way() -> None:
    step = carried(whole(slope() - 0.02, cost=0.01), slope())
    assert step.cost[hole() > 0].min() > 0.025
    assert carried(whole(slope(), cost=1), slope()).had[hole() > 0].max() == 0


def test_motion_into_a_hole_is_that_of_its_surroundings() -> None:
    """The flow is 4 to the right, but for what starts or ends in a hole."""
    flow = torch.zeros(1, 2, *SIZE)
    flow[:, 0] = 4
    later = field(0)
    later[..., 12, 12] = 1
    wrong = flow.clone()
    wrong[0, 1, 12, 8] = 0.5  # measured against what hides the place where it ends
    forward, backward = complete_motion(wrong, -flow, field(0), later)
    torch.testing.assert_close(forward, flow, atol=1e-3, rtol=0)
    torch.testing.assert_close(backward, -flow, atol=1e-3, rtol=0)


def test_what_is_sure_goes_before_what_is_not() -> None:
    sure = Carried(field(0.2), field(1), field(0.1), field(1))
    unsure = Carried(field(0.8), field(1), field(0), field(0))
    found, is_open, _ = merge(sure, unsure, hole(), field(0.05))
    torch.testing.assert_close(found[hole() > 0], field(0.2)[hole() > 0])
    assert is_open.max() == 0


def test_the_cheaper_way_counts_more_and_none_is_left_open() -> None:
    near = Carried(field(0.2), field(1), field(0), field(1))
    far = Carried(field(0.8), field(1), field(0.1), field(1))
    found, *_ = merge(near, far, hole(), field(0.05))
    assert 0.2 < float(found[..., 10, 15]) < 0.3
    none = Carried(field(0.5), 1 - hole(), field(0), 1 - hole())
    assert torch.equal(merge(none, none, hole(), field(0.05))[1], hole())


def test_what_came_with_errors_is_doubted_the_more() -> None:
    def doubt_of(cost: float) -> float:
        side = Carried(field(0.2), field(1), field(cost), field(1))
        doubt = merge(side, side, hole(), field(0.05))[2]
        assert doubt[hole() == 0].max() == 0
        return float(doubt[..., 10, 15])

    assert doubt_of(0) == 0
    assert 0 < doubt_of(0.05) < 0.2 < doubt_of(0.1) < doubt_of(0.15) < 0.9
    none = Carried(field(0.5), 1 - hole(), field(0), 1 - hole())
    assert torch.equal(merge(none, none, hole(), field(0.05))[2], hole())
