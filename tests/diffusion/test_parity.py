"""Schedule and guidance are those of the original implementation."""

import pytest
import torch
from torch import Tensor

from tests.parity import assert_like, recorded
from vsr_cli.diffusion.motion import Motion, motion_gradient, motion_loss
from vsr_cli.diffusion.reference_guidance import reference_loss, reference_motion, shift_pairs
from vsr_cli.diffusion.schedule import make_respaced_chain
from vsr_cli.ops.warp import backward_warp, resize_flow
from vsr_cli.ops.windows import gaussian_weights


@pytest.fixture(scope="module")
def schedule() -> dict[str, Tensor]:
    return recorded("sampler")


@pytest.fixture(scope="module")
def guidance() -> dict[str, Tensor]:
    return recorded("guidance")


def test_the_same_times_are_kept_for_any_number_of_steps(schedule: dict[str, Tensor]) -> None:
    tables = {name: times for name, times in schedule.items() if name.startswith("timesteps.")}
    assert len(tables) == 14
    for name, times in tables.items():
        steps = int(name.removeprefix("timesteps."))
        assert list(make_respaced_chain(steps).network_times) == times.tolist()


@pytest.mark.parametrize("steps", [50, 4])
def test_the_tables_of_a_respaced_chain_are_the_same(
    schedule: dict[str, Tensor], steps: int
) -> None:
    table = {
        name.removeprefix(f"respaced.{steps}."): values
        for name, values in schedule.items()
        if name.startswith(f"respaced.{steps}.")
    }
    chain = make_respaced_chain(steps)
    assert_like(chain.base_alphas_cumprod, schedule["base.alphas_cumprod"])
    kept = chain.scheduler.alphas_cumprod
    assert_like(kept, table["alphas_cumprod"])
    assert_like(1 - kept / torch.cat([torch.ones(1), kept[:-1]]), table["betas"])
    variance = torch.tensor([chain.scheduler.sigma(index) ** 2 for index in range(steps)])
    assert_like(variance, table["posterior_variance"])

    def mean(noise: float, x: float) -> Tensor:
        """A step from x = 0 or 1 given noise 0 or 1 reads the coefficients off."""
        ends = torch.full((1, 1), noise), torch.full((1, 1), x)
        zero = torch.zeros(1, 1)
        steps_down = [chain.scheduler.step(ends[0], k, ends[1], zero) for k in range(steps)]
        return torch.cat(steps_down)[:, 0]

    first, second = table["posterior_mean_coef1"], table["posterior_mean_coef2"]
    assert_like(mean(0.0, 1.0), first * table["sqrt_recip_alphas_cumprod"] + second)
    assert_like(mean(1.0, 0.0), -first * table["sqrt_recipm1_alphas_cumprod"])


@pytest.mark.parametrize("size", [16, 64])
def test_tiles_are_weighed_alike(schedule: dict[str, Tensor], size: int) -> None:
    weight = torch.outer(gaussian_weights(size, size / 2), gaussian_weights(size, (size - 1) / 2))
    assert_like(weight, schedule[f"tile_weights.{size}"])


@pytest.mark.parametrize("masked", [True, False])
def test_the_released_loss_and_its_gradient_are_the_same(
    guidance: dict[str, Tensor], masked: bool
) -> None:
    motion = reference_motion(guidance["flow_to_next"][None], guidance["flow_to_prev"][None])
    assert torch.equal(1 - motion.visible_forward[0], guidance["occluded_next"])
    assert torch.equal(1 - motion.visible_backward[0], guidance["occluded_prev"])
    if not masked:
        ones = torch.ones_like(motion.visible_forward)
        motion = Motion(motion.flow_forward, motion.flow_backward, ones, ones)
    latents = guidance["latents"][None]
    name = "released" if masked else "released_no_mask"
    assert_like(reference_loss(latents, motion), guidance[f"{name}.loss"])
    gradient = motion_gradient(latents, motion, outside="zeros")[0] / latents[:, 0].numel()
    assert_like(gradient, guidance[f"{name}.grad"])


def test_the_loss_with_the_right_pairs_is_the_recorded_correction(
    guidance: dict[str, Tensor],
) -> None:
    latents = guidance["latents"][None]
    motion = Motion(
        guidance["flow_to_next"][None],
        guidance["flow_to_prev"][None],
        1 - guidance["occluded_next"][None],
        1 - guidance["occluded_prev"][None],
    )
    assert_like(motion_loss(latents, motion, outside="zeros"), guidance["corrected.loss"])
    gradient = motion_gradient(latents, motion, outside="zeros")
    assert_like(gradient[0], guidance["corrected.grad"])
    shifted = motion_gradient(latents, shift_pairs(motion), outside="zeros")
    assert (shifted - gradient).abs().max() > 0.1


def test_warps_and_resized_flow_are_the_same(guidance: dict[str, Tensor]) -> None:
    latents = guidance["latents"]
    onto_here = backward_warp(latents[1:], guidance["flow_to_next"], outside="zeros")
    assert_like(onto_here, guidance["warp.next_to_here"])
    onto_next = backward_warp(latents[:-1], guidance["flow_to_prev"], outside="zeros")
    assert_like(onto_next, guidance["warp.prev_to_here"])
    resized = resize_flow(guidance["resize.flow_in"], (16, 24), antialias=False)
    assert_like(resized, guidance["resize.flow_out"])
