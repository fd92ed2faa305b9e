"""The shipped family in 8-bit integers against itself in floats."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from tests.networks import ROUNDABLE, roundable_model, tiny_model
from vsr_cli.models.small import fused
from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.models.small.int8 import Int8Conv2d, round_convolutions, roundable
from vsr_cli.models.small.model import SmallModel
from vsr_cli.ops.precision import has_int8

needs_int8 = pytest.mark.skipif(not has_int8(), reason="this CPU has no instructions for it")


@pytest.fixture(scope="module")
def exact() -> SmallModel:
    return roundable_model()


def rounded_copy(exact: SmallModel, dtype: torch.dtype = torch.float32) -> SmallModel:
    model = deepcopy(exact)
    round_convolutions(model, model.config.activation_ranges)
    return model.to(dtype)


@pytest.fixture(scope="module")
def rounded(exact: SmallModel) -> SmallModel:
    return rounded_copy(exact)


def frames_of(model: SmallModel, scale: int) -> Tensor:
    torch.manual_seed(1)
    lr_frames = torch.rand(1, 3, 3, 64 // scale, 64 // scale) * 2 - 1
    latents = torch.randn(1, 3, 4, 8, 8)
    warp = MemoryWarp(torch.full((1, 2, 16, 16), 0.3), torch.ones(1, 1, 16, 16))
    with torch.inference_mode():
        condition = model.condition(lr_frames, scale)
        v, _ = model.denoise(latents, torch.zeros(1), condition, None)
        frames, _ = model.decode(
            v.float(),
            lr_frames,
            condition.lr_features,
            fidelity=1.0,
            memory_features=None,
            warps=[None, warp, warp],
        )
    return frames


def test_pixels_latents_and_last_sums_stay_in_floats() -> None:
    names = roundable(tiny_model(config=ROUNDABLE)).keys()
    assert {"condition_encoder.down1", "denoiser.down0.0.conv2", "decoder.memory.mix"} <= names
    kept = ("encoder.", "trunk.", "denoiser.out", "decoder.output")
    assert not any(name.startswith(kept) for name in names)
    narrow = roundable(tiny_model())  # where rounding costs more than is gained
    assert all(conv.in_channels >= 32 for conv in narrow.values())
    assert "denoiser.down0.0.conv1" not in narrow


def test_every_convolution_that_may_be_rounded_has_a_range(exact: SmallModel) -> None:
    ranges = exact.config.activation_ranges
    assert ranges.keys() == roundable(exact).keys()
    for low, high in ranges.values():
        assert all(a <= 0 <= b for a, b in zip(low, high, strict=True))
        assert any(a < b for a, b in zip(low, high, strict=True))


@needs_int8
@pytest.mark.parametrize("scale", [4, 2, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_changes_frames_by_little(
    exact: SmallModel, dtype: torch.dtype, scale: int
) -> None:
    found = frames_of(rounded_copy(exact, dtype), scale)
    wanted = frames_of(exact, scale)
    error = (found - wanted).square().mean() / wanted.square().mean()
    assert 0 < error < 0.1**2  # random weights pass on every error, as trained ones do not


@needs_int8
def test_nothing_that_is_still_needed_is_written_over(rounded: SmallModel) -> None:
    assert torch.equal(frames_of(rounded, 4), frames_of(rounded, 4))
    x = torch.randn(1, 32, 16, 16).to(memory_format=torch.channels_last)
    for blocks in (rounded.decoder.middle, rounded.condition_encoder.level0):
        before = x.clone()
        with torch.inference_mode():
            blocks(x)
        assert torch.equal(x, before)


@needs_int8
def test_rounding_twice_is_rounding_once(exact: SmallModel, rounded: SmallModel) -> None:
    model = rounded_copy(exact)
    round_convolutions(model, model.config.activation_ranges)
    assert torch.equal(frames_of(model, 4), frames_of(rounded, 4))


@needs_int8
@pytest.mark.parametrize("is_activated", [True, False])
def test_pixels_are_shuffled_as_by_floats(
    exact: SmallModel, rounded: SmallModel, is_activated: bool
) -> None:
    x = torch.randn(1, 32, 6, 8).to(memory_format=torch.channels_last)
    conv = rounded.decoder.get_submodule("up_fine")
    assert isinstance(conv, Int8Conv2d)
    with torch.inference_mode():
        found = fused.conv_shuffle(conv, x, is_activated=is_activated)
        wanted = fused.conv_shuffle(exact.decoder.up_fine, x, is_activated=is_activated)
    assert (found - wanted).norm() < 0.1 * wanted.norm()
