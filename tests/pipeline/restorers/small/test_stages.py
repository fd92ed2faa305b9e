"""The stages, on the real networks a few channels wide."""

import pytest
import torch
from torch import Tensor

from tests.networks import tiny_model
from vsr_cli.config import Memory, SamplerConfig, UpscaleConfig
from vsr_cli.events import ignore
from vsr_cli.models.small.model import SmallModel
from vsr_cli.pipeline.clips import Clip
from vsr_cli.pipeline.restorers.small.adaptive import AdaptiveNetworks
from vsr_cli.pipeline.restorers.small.stages import (
    ClipState,
    decode_clips,
    estimate_motion,
    sample_clips,
)
from vsr_cli.pipeline.run_plan import RunPlan

CPU = torch.device("cpu")


class EvenFlow:
    """Everything moves alike, by (x, y) pixels."""

    def __init__(self, x: float, y: float) -> None:
        self.move = torch.tensor([x, y])[:, None, None]

    def __call__(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        b, t, _, height, width = frames.shape
        forward = self.move.expand(b, t - 1, 2, height, width).clone()
        return forward, -forward


@pytest.fixture(scope="module")
def model() -> SmallModel:
    return tiny_model()


def decode(model: SmallModel, memory: Memory, flow: EvenFlow, *, cut: int = 4) -> Tensor:
    """Four frames in clips that begin anew after `cut`, with latents that know of no motion."""
    frames = torch.rand(4, 3, 24, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    clips = [Clip(0, frames[:cut], 0)]
    if cut < 4:
        clips.append(Clip(cut - 1, frames[cut - 1 :], 1))
    config = UpscaleConfig(memory=memory, color="none", sampler=SamplerConfig(motion_scale=0))
    run_plan = RunPlan(CPU, torch.float32, 4, None, ())
    prepared = estimate_motion(clips, flow, scale=4, device=CPU)
    networks = AdaptiveNetworks(model, 4, tile_size=None, may_tile=False, report=ignore)
    clip_state = ClipState()
    sampled = sample_clips(prepared, networks, config, run_plan, clip_state)
    done = decode_clips(sampled, networks, config, clip_state)
    return torch.cat([clip.frames for clip in done])


@pytest.mark.parametrize("cut", [2, 4])
def test_a_still_memory_is_one_along_a_flow_of_zero(model: SmallModel, cut: int) -> None:
    moving, still = EvenFlow(3, -2), EvenFlow(0, 0)
    found = decode(model, "still", moving, cut=cut)
    torch.testing.assert_close(found, decode(model, "warped", still), atol=1e-5, rtol=1e-5)
    assert (found - decode(model, "warped", moving)).abs().max() > 1e-3


@pytest.mark.parametrize("cut", [2, 4])
def test_without_memory_the_flow_and_the_frames_before_make_no_difference(
    model: SmallModel, cut: int
) -> None:
    found = decode(model, "off", EvenFlow(3, -2), cut=cut)
    assert torch.equal(found, decode(model, "off", EvenFlow(0, 0), cut=cut))
    kept = decode(model, "still", EvenFlow(0, 0))
    torch.testing.assert_close(found[0], kept[0], atol=1e-5, rtol=1e-5)
    assert (found[1:] - kept[1:]).abs().amax(dim=(1, 2, 3)).min() > 1e-4
