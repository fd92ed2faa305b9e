import pytest
import torch
from torch import Tensor

from vsr_cli.ops.interpolate import between


def waves(shift: float) -> Tensor:
    """A texture (1, 1, 48, 64) in [0, 1], moved to the right."""
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    x = x - shift
    return ((2 + (x / 3).sin() + (x / 7 + y / 5).cos()) / 4)[None, None]


def flow_of(right: float) -> Tensor:
    flow = torch.zeros(1, 2, 48, 64)
    flow[:, 0] = right
    return flow


@pytest.mark.parametrize("time", [0.25, 0.5, 0.8])
def test_a_picture_that_moves_evenly_is_found_at_any_time_between(time: float) -> None:
    motion = between(waves(0), waves(6), flow_of(6), flow_of(-6), time)
    found = motion.mix(waves(0), waves(6))
    inside = (slice(None), slice(None), slice(8, 40), slice(10, 54))
    assert float((found - waves(6 * time))[inside].abs().max()) < 0.02
    assert motion.disagreement(waves(0), waves(6)) < 0.2


def test_planes_of_half_the_size_move_by_half() -> None:
    motion = between(waves(0), waves(8), flow_of(8), flow_of(-8), 0.5)
    halves = [torch.nn.functional.avg_pool2d(waves(shift), 2) for shift in (0, 4, 8)]
    found = motion.mix(halves[0], halves[2])
    inside = (slice(None), slice(None), slice(4, 20), slice(6, 26))
    assert float((found - halves[1])[inside].abs().max()) < 0.03


def test_what_only_one_frame_shows_comes_from_there() -> None:
    """A thing that is gone in the later frame, with nothing to follow it to."""
    earlier, later = torch.full((1, 1, 32, 48), 0.5), torch.full((1, 1, 32, 48), 0.5)
    forward, backward = torch.zeros(1, 2, 32, 48), torch.zeros(1, 2, 32, 48)
    earlier[..., 8:24, 8:24] = 0.9
    forward[:, 0, 8:24, 8:24] = 60.0  # out of the picture
    found = between(earlier, later, forward, backward, 0.5).mix(earlier, later)
    assert float((found[..., 10:22, 34:40] - 0.5).abs().max()) < 0.01


def test_motion_that_explains_nothing_says_so() -> None:
    noise = [torch.rand(1, 1, 48, 64, generator=torch.Generator().manual_seed(k)) for k in (0, 1)]
    motion = between(noise[0], noise[1], flow_of(3), flow_of(-3), 0.5)
    assert motion.disagreement(noise[0], noise[1]) > 0.7
