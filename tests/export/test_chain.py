"""What is copied into an export to be run without torch does what the pipeline does."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.networks import TINY, tiny_model
from tests.pipeline.runs import restore
from vsr_cli.config import SamplerConfig, UpscaleConfig
from vsr_cli.diffusion.motion import Motion
from vsr_cli.diffusion.schedule import keyed_noise, make_scheduler
from vsr_cli.export.chain import Array, Chain
from vsr_cli.export.chain import keyed_noise as noise_of_chain
from vsr_cli.export.graphs import MotionModule, make_graphs
from vsr_cli.export.manifest import Form, Origin, describe
from vsr_cli.export.vector import torch_runner
from vsr_cli.models.flow import DisFlow
from vsr_cli.pipeline.run_plan import RunPlan

STEPS = 3
ORIGIN = Origin(model="tiny", sha256="0", license="none")


def make_chain(scale: int) -> Chain:
    model = tiny_model()
    graphs = make_graphs(model, model.offered_scales, STEPS)
    form = Form(dtype="float32", opset=20, steps=STEPS, scales=model.offered_scales)
    return Chain(describe(model, graphs, ORIGIN, form), torch_runner(graphs), scale, seed=7)


def moving_frames(num_frames: int, size: tuple[int, int]) -> torch.Tensor:
    """(T, 3, h, w) in [-1, 1]: smooth noise that moves by a pixel a frame."""
    generator = torch.Generator().manual_seed(3)
    wide = torch.rand(1, 3, size[0], size[1] + num_frames, generator=generator) * 2 - 1
    wide = torch.nn.functional.avg_pool2d(wide, 3, stride=1, padding=1)[0]
    return torch.stack([wide[..., k : k + size[1]] for k in range(num_frames)])


def restore_in_clips(scale: int, frames: torch.Tensor, lengths: list[int]) -> Array:
    """All frames through a chain, with flow as the pipeline estimates it."""
    chain, found, first = make_chain(scale), list[Array](), 0
    before: Array | None = None
    for length in lengths:
        seen = chain.look(frames[first : first + length].numpy())
        bodies = seen["body"] if before is None else np.concatenate((before, seen["body"]))
        forward, backward = DisFlow()(torch.from_numpy(bodies)[None])
        found += chain.frames(first, seen, forward[0].numpy(), backward[0].numpy())
        before, first = seen["body"][-1:], first + length
    return np.stack(found)


@pytest.mark.parametrize("scale", TINY.scales)
def test_the_chain_gives_the_frames_of_the_pipeline(scale: int) -> None:
    frames = moving_frames(5, (40 // scale * 2, 48 // scale * 2))
    config = UpscaleConfig(
        scale=Fraction(scale), scene_cut=False, sampler=SamplerConfig(steps=STEPS, seed=7)
    )
    plan = RunPlan(torch.device("cpu"), torch.float32, 4, None, ())
    expected = restore(tiny_model(), frames, config, plan).clamp(-1, 1)
    found = torch.from_numpy(restore_in_clips(scale, frames, [2, 3]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_where_a_shot_is_cut_into_clips_changes_nothing() -> None:
    frames = moving_frames(8, (20, 24))
    whole = restore_in_clips(4, frames, [8])
    assert np.abs(restore_in_clips(4, frames, [4, 4]) - whole).max() < 1e-4
    assert np.abs(restore_in_clips(4, frames, [1, 2, 5]) - whole).max() < 1e-4


def test_a_new_shot_forgets_the_one_before() -> None:
    chain, frames = make_chain(4), moving_frames(2, (20, 24)).numpy()
    none = np.empty((0, 2, 20, 24), np.float32)
    (first,) = chain.frames(0, chain.look(frames[:1]), none, none)
    with pytest.raises(ValueError, match="1 frames have 0 flows"):
        list(chain.frames(1, chain.look(frames[1:]), none, none))
    chain.begin_shot()
    (again,) = chain.frames(0, chain.look(frames[:1]), none, none)
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize(("seed", "channels"), [(0, 4), (2**63 - 1, 3), (5, 16)])
def test_the_noise_is_that_of_the_sampler(seed: int, channels: int) -> None:
    expected = keyed_noise(
        seed, frames=[0, 7, 99_999], step=2, channels=channels, rows=range(9), columns=range(11)
    )
    found = noise_of_chain(seed, [0, 7, 99_999], 2, channels, 9, 11)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_the_examples_of_the_manifest_are_numbers_of_that_noise() -> None:
    graphs = make_graphs(tiny_model(), (4,), 1)
    form = Form(dtype="float32", opset=20, steps=1, scales=(4,))
    noise = describe(tiny_model(), graphs, ORIGIN, form)["noise"]
    assert isinstance(noise, dict)
    assert len(noise["examples"]) == 8
    for one in noise["examples"][:-1]:  # the last is far from the corner
        field = noise_of_chain(
            one["seed"], [one["frame"]], one["draw"], one["channel"] + 1, 12, one["column"] + 1
        )
        assert field[0, -1, one["row"], -1] == pytest.approx(one["noise"], abs=2e-6)


@pytest.mark.parametrize("steps", [1, 4, 50])
def test_the_coefficients_of_the_manifest_are_the_steps_of_the_scheduler(steps: int) -> None:
    form = Form(dtype="float32", opset=20, steps=steps, scales=(4,))
    model = tiny_model()
    model.config = replace(model.config, noise_scale=0.7, time_power=3.0, damping=0.4)
    sampling = describe(model, [], ORIGIN, form)["sampling"]
    assert isinstance(sampling, dict)
    scheduler = make_scheduler(steps, model.chain(steps))
    x0, x, noise = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    for time, row in zip(scheduler.timesteps.tolist(), sampling["steps"], strict=True):
        *_, of_x0, of_x, sigma = row["coefficients"]
        expected = scheduler.step(x0, time, x, noise)
        torch.testing.assert_close(of_x0 * x0 + of_x * x + sigma * noise, expected)


def test_motion_for_the_latents_is_that_of_the_pipeline() -> None:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(2, 3 * 2, 5, 6, generator=generator)
    flows = torch.nn.functional.interpolate(coarse, (20, 24), mode="bilinear").unflatten(1, (3, 2))
    forward, backward = flows[:1], -flows[:1] + 0.3 * flows[1:]
    motion = Motion.from_flow(forward, backward)
    small = motion.resized((10, 12))
    visible, *found = MotionModule()(forward, backward)
    torch.testing.assert_close(visible, motion.visible_backward)
    for x, expected in zip(found, vars(small).values(), strict=True):
        torch.testing.assert_close(x, expected)
    assert 0 < float(small.visible_forward.mean()) < 1
