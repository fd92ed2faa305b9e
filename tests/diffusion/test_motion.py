"""Motion guidance: the loss, its gradient, and what guiding promises."""

from itertools import accumulate

import pytest
import torch
from torch import Tensor

from vsr_cli.diffusion.motion import (
    HUBER_DELTA,
    Motion,
    guide_bounded,
    guide_paper,
    motion_gradient,
    motion_loss,
)

HEIGHT, WIDTH = 8, 32


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def motion_to_the_right(speeds: list[int], size: tuple[int, int]) -> Motion:
    """Exact motion of a scene that moves `speeds` pixels right between frames."""
    flow = torch.zeros(1, len(speeds), 2, *size)
    for index, speed in enumerate(speeds):
        flow[:, index, 0] = speed
    return Motion.from_flow(flow, -flow)


def moving_latents(speeds: list[int], *, seed: int = 0) -> Tensor:
    """(1, T, 4, 8, 32) of a random scene that moves so."""
    scene = torch.rand(1, 4, HEIGHT, 48, generator=seeded(seed))
    shifts = list(accumulate(speeds, initial=0))
    return torch.stack([scene[..., 8 - shift : 40 - shift] for shift in shifts], dim=1)


def random_motion(num_pairs: int, *, speed: float, seed: int, batch: int = 1) -> Motion:
    """Unrelated flows and visibilities: the law must hold for any."""
    generator = seeded(seed)
    flows = speed * torch.randn(2, batch, num_pairs, 2, HEIGHT, WIDTH, generator=generator)
    visible = torch.rand(2, batch, num_pairs, 1, HEIGHT, WIDTH, generator=generator) < 0.7
    return Motion(*flows, *visible.float())


def pairs_of(motion: Motion, start: int, stop: int) -> Motion:
    """Motion of the frames `start` to `stop` alone."""
    return Motion(
        motion.flow_forward[:, start:stop],
        motion.flow_backward[:, start:stop],
        motion.visible_forward[:, start:stop],
        motion.visible_backward[:, start:stop],
    )


def random_latents(num_frames: int, *, seed: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, num_frames, 4, HEIGHT, WIDTH, generator=seeded(seed))


def test_latents_that_follow_the_flow_cost_nothing() -> None:
    speeds = [1, 3, 2]
    latents = moving_latents(speeds)
    motion = motion_to_the_right(speeds, size=(HEIGHT, WIDTH))
    assert motion_loss(latents, motion) < 1e-2 < motion_loss(latents.flip(1), motion)


@pytest.mark.parametrize("speed", [0.0, 0.4, 3.0, 40.0])
@pytest.mark.parametrize("num_frames", [2, 4])
def test_closed_form_gradient_is_that_of_autograd(num_frames: int, speed: float) -> None:
    motion = random_motion(num_frames - 1, speed=speed, seed=1, batch=2)
    latents = random_latents(num_frames, seed=2, batch=2).requires_grad_()
    (gradient,) = torch.autograd.grad(motion_loss(latents, motion), latents)
    closed = motion_gradient(latents.detach(), motion)
    torch.testing.assert_close(closed, gradient, atol=1e-5, rtol=1e-5)


def test_published_step_descends_the_loss() -> None:
    motion = motion_to_the_right([1, 2], size=(HEIGHT, WIDTH))
    latents = random_latents(3, seed=0)
    moved = guide_paper(latents, motion, strength=1.0, variance=0.01)
    assert motion_loss(moved, motion) < motion_loss(latents, motion)
    expected = latents - 0.01 * motion_gradient(latents, motion)
    torch.testing.assert_close(moved, expected)


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0, 10.0])
@pytest.mark.parametrize("speeds", [[0, 0, 0], [1, 3, 2]])
def test_guiding_lowers_the_loss_of_noisy_motion_at_any_strength(
    speeds: list[int], strength: float
) -> None:
    motion = motion_to_the_right(speeds, size=(HEIGHT, WIDTH))
    latents = moving_latents(speeds) + 0.3 * random_latents(4, seed=3)
    guided = guide_bounded(latents, motion, strength=strength)
    assert motion_loss(guided, motion) < 0.9 * motion_loss(latents, motion)


def test_guiding_leaves_latents_that_follow_the_flow_alone() -> None:
    speeds = [1, 3, 2]
    latents = moving_latents(speeds)
    motion = motion_to_the_right(speeds, size=(HEIGHT, WIDTH))
    torch.testing.assert_close(
        guide_bounded(latents, motion, strength=1.0), latents, atol=1e-5, rtol=0
    )


def test_no_strength_no_flow_or_no_visibility_changes_nothing() -> None:
    latents = random_latents(4, seed=0)
    motion = random_motion(3, speed=2.0, seed=1)
    assert torch.equal(guide_bounded(latents, motion, strength=0.0), latents)
    blind = Motion(motion.flow_forward, motion.flow_backward, *torch.zeros(2, 1, 3, 1, 8, 32))
    assert torch.equal(guide_bounded(latents, blind, strength=1.0), latents)
    assert torch.equal(
        guide_bounded(latents[:, :1], pairs_of(motion, 0, 0), strength=1.0), latents[:, :1]
    )


@pytest.mark.parametrize("strength", [0.3, 10.0])
def test_a_still_pair_moves_by_the_bounded_step_and_never_past_its_mean(strength: float) -> None:
    earlier, later = random_latents(2, seed=0).unbind(1)
    motion = motion_to_the_right([0], size=(HEIGHT, WIDTH))
    guided = guide_bounded(torch.stack((earlier, later), 1), motion, strength=strength)
    gap = earlier - later
    step = torch.minimum(strength * gap.abs().clamp(max=HUBER_DELTA), gap.abs() / 2)
    torch.testing.assert_close(guided[:, 1], later + step * gap.sign())


@pytest.mark.parametrize(
    ("gap", "strength", "moved"),
    [
        (0.2, 0.25, 0.05),  # in proportion, up to a gap of one half
        (0.5, 0.25, 0.125),
        (4.0, 0.25, 0.125),  # beyond it always as much
        (0.2, 0.9, 0.1),  # never past the mean
        (4.0, 2.0, 1.0),
        (-4.0, 0.25, -0.125),
    ],
)
def test_a_pull_is_in_proportion_up_to_half_a_unit_and_constant_beyond(
    gap: float, strength: float, moved: float
) -> None:
    latents = torch.zeros(1, 2, 4, HEIGHT, WIDTH)
    latents[:, 0] = gap
    motion = motion_to_the_right([0], size=(HEIGHT, WIDTH))
    guided = guide_bounded(latents, motion, strength=strength)
    torch.testing.assert_close(guided[:, 1], torch.full_like(guided[:, 1], moved))


@pytest.mark.parametrize("seen", ["forward", "backward"])
def test_where_one_flow_of_a_pair_is_trusted_its_pull_counts_in_full(seen: str) -> None:
    latents = torch.zeros(1, 2, 4, HEIGHT, WIDTH)
    latents[:, 0] = 4.0
    flow, ones = torch.zeros(1, 1, 2, HEIGHT, WIDTH), torch.ones(1, 1, 1, HEIGHT, WIDTH)
    visible = (ones, 0 * ones) if seen == "forward" else (0 * ones, ones)
    guided = guide_bounded(latents, Motion(flow, flow, *visible), strength=0.25)
    torch.testing.assert_close(guided[:, 1], torch.full_like(guided[:, 1], 0.125))


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_guiding_pieces_that_share_a_frame_equals_guiding_the_whole(cut: int) -> None:
    latents = random_latents(6, seed=0, batch=2)
    motion = random_motion(5, speed=2.0, seed=1, batch=2)
    whole = guide_bounded(latents, motion, strength=1.0)
    first = guide_bounded(latents[:, : cut + 1], pairs_of(motion, 0, cut), strength=1.0)
    second = guide_bounded(latents[:, cut:], pairs_of(motion, cut, 5), strength=1.0)
    torch.testing.assert_close(torch.cat((first, second[:, 1:]), dim=1), whole, atol=1e-6, rtol=0)


def test_a_frame_is_moved_by_its_predecessor_only() -> None:
    latents = random_latents(5, seed=0)
    motion = random_motion(4, speed=2.0, seed=1)
    before = guide_bounded(latents, motion, strength=1.0)
    latents[:, 2] += 1.0
    after = guide_bounded(latents, motion, strength=1.0)
    changed = [(before[:, t] - after[:, t]).abs().max() > 1e-6 for t in range(5)]
    assert changed == [False, False, True, True, False]


def test_guiding_a_wider_scene_pulls_each_pixel_alike() -> None:
    latents = random_latents(3, seed=0)
    motion = random_motion(2, speed=1.0, seed=1)
    wide = Motion(
        *(torch.cat((x, x), dim=-1) for x in (motion.flow_forward, motion.flow_backward)),
        *(torch.cat((x, x), dim=-1) for x in (motion.visible_forward, motion.visible_backward)),
    )
    far = slice(0, WIDTH - 8)  # out of reach of the seam
    alone = guide_bounded(latents, motion, strength=1.0)
    beside = guide_bounded(torch.cat((latents, latents), dim=-1), wide, strength=1.0)
    torch.testing.assert_close(beside[..., far], alone[..., far])


def test_strength_may_differ_between_pixels_and_pairs() -> None:
    latents = random_latents(3, seed=0)
    motion = random_motion(2, speed=1.0, seed=1)
    strength = torch.tensor([0.0, 0.7]).reshape(1, 2, 1, 1, 1)
    guided = guide_bounded(latents, motion, strength=strength)
    assert torch.equal(guided[:, 1], latents[:, 1])
    torch.testing.assert_close(guided[:, 2], guide_bounded(latents, motion, strength=0.7)[:, 2])


def test_half_precision_latents_stay_half_precision() -> None:
    latents = random_latents(3, seed=0)
    motion = random_motion(2, speed=2.0, seed=1)
    guided = guide_bounded(latents.bfloat16(), motion, strength=0.5)
    assert guided.dtype == torch.bfloat16
    full = guide_bounded(latents, motion, strength=0.5)
    torch.testing.assert_close(guided.float(), full, atol=5e-2, rtol=1e-2)


def test_resized_motion_points_at_the_same_places() -> None:
    motion = motion_to_the_right([4, 2], size=(HEIGHT, WIDTH))
    half = motion.resized((HEIGHT // 2, WIDTH // 2))
    expected = motion_to_the_right([2, 1], size=(HEIGHT // 2, WIDTH // 2))
    torch.testing.assert_close(half.flow_forward, expected.flow_forward)
    torch.testing.assert_close(half.flow_backward, expected.flow_backward)
    inner = slice(3, -3)  # the border is visible by halves
    assert half.visible_forward[..., inner].all()
    assert set(half.visible_backward.flatten().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("start", "first_visible"), [(7, 4), (8, 4), (9, 5), (10, 5)])
def test_a_coarse_pixel_is_visible_where_three_quarters_of_it_are(
    start: int, first_visible: int
) -> None:
    # Halving looks at four columns, of weights 1, 3, 3 and 1 eighths: from column 7 on, pixel 4
    # (columns 7 to 10) sees all, from 8 on seven eighths, from 9 on a half.
    flow, visible = torch.zeros(1, 1, 2, 8, 32), torch.zeros(1, 1, 1, 8, 32)
    visible[..., start:] = 1
    half = Motion(flow, flow, visible, visible).resized((4, 16))
    for coarse in (half.visible_forward, half.visible_backward):
        expected = (torch.arange(16) >= first_visible).float().expand(1, 1, 1, 4, 16)
        assert torch.equal(coarse, expected)


def test_motion_and_latents_of_other_sizes_are_refused() -> None:
    motion = random_motion(2, speed=1.0, seed=0)
    with pytest.raises(ValueError, match="do not fit motion of 2 pairs"):
        motion_loss(random_latents(4, seed=0), motion)
    with pytest.raises(ValueError, match=r"expected \(1, 2, 1, 8, 32\), got \(1, 2, 2, 8, 32\)"):
        Motion(*[motion.flow_forward] * 4)
