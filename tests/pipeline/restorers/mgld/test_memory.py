"""The plan counts with what the networks take, and finds something for every card."""

from dataclasses import replace

import pytest
import torch

from tests.pipeline.restorers.mgld.live_bytes import PeakBytes
from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError, DeviceError
from vsr_cli.models.files import Header
from vsr_cli.models.mgld.config import PUBLISHED
from vsr_cli.models.mgld.model import MgldModel
from vsr_cli.pipeline.restorers.mgld.memory import (
    MgldRunPlan,
    Needs,
    fit_memory,
    plan_mgld,
    work_size,
)

GB = 10**9
NEEDS = Needs.of(PUBLISHED, num_values=1_102_867_999, in_denoiser=987_815_367, item=2)
RUN_PLAN = MgldRunPlan(torch.device("cuda"), torch.float16, 4, None, ())


def fit(budget: float, height: int, width: int, run_plan: MgldRunPlan = RUN_PLAN) -> MgldRunPlan:
    size = (height // 8, width // 8)
    return fit_memory(run_plan, NEEDS, size, int(budget * GB), PUBLISHED, may_tile=True)


@pytest.mark.slow
def test_peaks_are_those_of_the_published_networks() -> None:
    with PeakBytes() as peak:
        torch.set_default_dtype(torch.float16)
        try:
            model = MgldModel(PUBLISHED, shares_encoder=True).eval().requires_grad_(False)
        finally:
            torch.set_default_dtype(torch.float32)
        assert sum(p.numel() for p in model.denoiser.parameters()) * 2 == NEEDS.denoiser
        for num_tiles in (1, 3):
            tiles = torch.zeros(num_tiles, 5, 4, 64, 64)
            taken = peak.of(lambda tiles=tiles: model.denoise(tiles, tiles, 500))  # type: ignore[misc]
            assert 0.9 < taken / (num_tiles * NEEDS.denoise_tile) <= 1
        for height, width in ((512, 512), (512, 640)):
            features = model.features(torch.zeros(5, 3, height, width))
            latents = torch.zeros(5, 4, height // 8, width // 8)
            kept = sum(level.nbytes for level in features)
            taken = peak.of(lambda z=latents, f=features: model.decode(z, f, 1.0))  # type: ignore[misc]
            assert 0.9 < (taken + kept) / (height * width * NEEDS.decode_pixel) <= 1


@pytest.mark.parametrize(
    ("card", "size", "offload", "tiled"),
    [
        (24, (720, 1280), False, False),
        (16, (720, 1280), False, False),
        (8, (720, 1280), True, False),
        (6, (720, 1280), True, True),
        (24, (1080, 1920), False, False),
        (16, (1080, 1920), True, False),
        (24, (2160, 3840), True, True),
        (80, (2160, 3840), False, False),
    ],
)
def test_every_card_finds_a_way(
    card: int, size: tuple[int, int], offload: bool, tiled: bool
) -> None:
    budget = 0.85 * (card - 1)  # CUDA itself takes some
    run_plan = fit(budget, *size)
    assert (run_plan.offload, run_plan.tile_size is not None) == (offload, tiled)
    assert run_plan.tile_batch >= 1
    kept = NEEDS.weights - NEEDS.denoiser if offload else NEEDS.weights
    side = run_plan.tile_size
    sides = [min(8 * side, whole) if side else whole for whole in size]
    frame = size[0] * size[1] * NEEDS.keep_pixel
    assert kept + frame + sides[0] * sides[1] * NEEDS.decode_pixel <= budget * GB
    assert len(run_plan.reasons) == offload + tiled


def test_what_does_not_fit_at_all_is_refused_with_a_hint() -> None:
    with pytest.raises(DeviceError, match="does not fit into the memory") as refused:
        fit(2, 720, 1280)
    assert refused.value.hint


def test_tiles_that_were_asked_for_are_kept() -> None:
    assert fit(40, 720, 1280, replace(RUN_PLAN, tile_size=96)).tile_size == 96


def test_small_pictures_are_worked_on_at_the_size_of_training() -> None:
    assert work_size(UpscaleConfig(), (180, 320), 512) == (720, 1280)
    assert work_size(UpscaleConfig(), (32, 48), 512) == (512, 768)


def test_tiles_and_the_published_way_are_refused_together() -> None:
    config = UpscaleConfig(mgld_mode="parity", tile=512)
    with pytest.raises(ConfigError, match="contradict"):
        plan_mgld(Header({}, {}), PUBLISHED, config, (64, 64))
