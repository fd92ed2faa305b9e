"""The stages, on the real networks a few channels wide."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.networks import tiny_model
from vsr_cli.config import GivenLatents, Memory, SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import ignore
from vsr_cli.models.base import VideoModel
from vsr_cli.models.small.model import SmallModel
from vsr_cli.pipeline.clips import Clip
from vsr_cli.pipeline.restorers.small import restorer as module
from vsr_cli.pipeline.restorers.small.given_latents import GivenLatentsRestorer, require_small
from vsr_cli.pipeline.restorers.small.regions import plan_regions
from vsr_cli.pipeline.restorers.small.restorer import SmallRestorer
from vsr_cli.pipeline.restorers.small.stages import RegionClip, Sampled, estimate_motion
from vsr_cli.pipeline.run_plan import RunPlan

CPU = torch.device("cpu")
PLAN = RunPlan(CPU, torch.float32, 4, None, ())


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


def restorer(
    model: SmallModel, config: UpscaleConfig, flow: EvenFlow, monkeypatch: pytest.MonkeyPatch
) -> SmallRestorer:
    """That finds this flow wherever it looks."""
    monkeypatch.setattr(module, "make_flow", lambda *_, **__: flow)
    return SmallRestorer(model, config, PLAN, ignore)


Decode = Callable[..., Tensor]


@pytest.fixture
def decode(model: SmallModel, monkeypatch: pytest.MonkeyPatch) -> Decode:
    """Four frames in clips that begin anew after `cut`, with latents that know of no motion."""

    def decode(memory: Memory, flow: EvenFlow, *, cut: int = 4) -> Tensor:
        frames = torch.rand(4, 3, 24, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
        clips = [Clip(0, frames[:cut], 0)]
        if cut < 4:
            clips.append(Clip(cut - 1, frames[cut - 1 :], 1))
        config = UpscaleConfig(memory=memory, color="none", sampler=SamplerConfig(motion_scale=0))
        restored = restorer(model, config, flow, monkeypatch).restore(iter(clips), None)
        return torch.stack([frame for clip in restored for frame in clip.frames])

    return decode


@pytest.mark.parametrize("cut", [2, 4])
def test_a_still_memory_is_one_along_a_flow_of_zero(decode: Decode, cut: int) -> None:
    moving, still = EvenFlow(3, -2), EvenFlow(0, 0)
    found = decode("still", moving, cut=cut)
    torch.testing.assert_close(found, decode("warped", still), atol=1e-5, rtol=1e-5)
    assert (found - decode("warped", moving)).abs().max() > 1e-3


@pytest.mark.parametrize("cut", [2, 4])
def test_without_memory_the_flow_and_the_frames_before_make_no_difference(
    decode: Decode, cut: int
) -> None:
    found = decode("off", EvenFlow(3, -2), cut=cut)
    assert torch.equal(found, decode("off", EvenFlow(0, 0), cut=cut))
    kept = decode("still", EvenFlow(0, 0))
    torch.testing.assert_close(found[0], kept[0], atol=1e-5, rtol=1e-5)
    assert (found[1:] - kept[1:]).abs().amax(dim=(1, 2, 3)).min() > 1e-4


def place(
    model: SmallModel, given: GivenLatents, *, cut: int = 4, seed: int = 0
) -> tuple[list[Sampled], Tensor]:
    """Given latents of four frames in clips that begin anew after `cut`, and all of their latents.

    The sides of the truth are no multiples of what the networks need.
    """
    generator = torch.Generator().manual_seed(1)
    hr_frames = torch.rand(4, 3, 100, 132, generator=generator) * 2 - 1
    lr_frames = torch.nn.functional.avg_pool2d(hr_frames, 4)
    clips = [Clip(0, lr_frames[:cut], 0)]
    if cut < 4:
        clips.append(Clip(cut - 1, lr_frames[cut - 1 :], 1))
    config = UpscaleConfig(sampler=SamplerConfig(seed=seed))
    restorer = GivenLatentsRestorer(model, config, PLAN, given, hr_frames)
    region = plan_regions((13, 17), None, 0, 4).all[0]
    placed = [
        restorer.find_latents(RegionClip.of(prepared, region, CPU), None)
        for prepared in estimate_motion(clips, EvenFlow(1, 0), scale=4, device=CPU)
    ]
    return placed, torch.cat([sampled.latents for sampled in placed], dim=1)


TRUE = GivenLatents(is_true=True)
NOISY = GivenLatents(is_true=True, deviation=0.5)


def test_zero_latents_are_zero_and_of_the_shape_of_the_true_ones(model: SmallModel) -> None:
    _, zero = place(model, GivenLatents(is_true=False))
    _, true = place(model, TRUE)
    assert zero.shape == true.shape == (1, 4, 4, 13, 17)
    assert not zero.any()
    assert true.any()


@pytest.mark.parametrize("given", [TRUE, NOISY])
def test_given_latents_belong_to_frames_however_clips_are_cut(
    model: SmallModel, given: GivenLatents
) -> None:
    _, whole = place(model, given)
    placed, parts = place(model, given, cut=2)
    assert [sampled.latents.shape[1] for sampled in placed] == [2, 2]
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-5)


def test_the_noise_has_its_deviation_and_is_the_seeds(model: SmallModel) -> None:
    _, true = place(model, TRUE)
    (_, first), (_, second) = (place(model, NOISY, seed=seed) for seed in (0, 1))
    assert (first - true).std().item() == pytest.approx(0.5, rel=0.05)
    assert not torch.equal(first, second)


class OtherModel(VideoModel):
    family = "other"


def test_another_family_is_given_no_latents() -> None:
    with pytest.raises(ConfigError, match=r"`a\.safetensors` takes no latents") as caught:
        require_small(OtherModel(), "a.safetensors")
    assert "`other`" in str(caught.value.why)
    assert caught.value.hint is not None
