"""Clips and tiles that fit."""

from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from vsr_cli.config import ClipConfig, UpscaleConfig
from vsr_cli.errors import DeviceError
from vsr_cli.pipeline import run_plan
from vsr_cli.pipeline.memory import SHARE_OF_FREE_MEMORY
from vsr_cli.pipeline.restorers.small.memory import (
    FULL,
    HALF,
    Costs,
    Fit,
    fit_memory,
    plan_small,
    region_bytes,
    region_overlap,
    whole_bytes,
)
from vsr_cli.pipeline.restorers.small.regions import plan_regions

HD = (1080, 1920)
UHD = (2160, 3840)
GB = 10**9


def test_a_clip_that_fits_is_left_alone() -> None:
    fit = fit_memory(UpscaleConfig(), (180, 320), 4, 10 * GB)
    assert (fit.length, fit.side, fit.why) == (ClipConfig.length, None, "")
    assert fit.num_bytes == whole_bytes((180, 320), ClipConfig.length, 4)


def test_scarce_memory_shortens_clips_first_and_says_so() -> None:
    fit = fit_memory(UpscaleConfig(clip=ClipConfig(length=40)), HD, 4, 30 * GB)
    assert 2 <= fit.length < 40
    assert fit.side is None
    assert "clip length" in fit.why


def test_very_scarce_memory_makes_tiles_unless_they_are_forbidden() -> None:
    fit = fit_memory(UpscaleConfig(), HD, 4, 8 * GB)
    assert fit.length >= 2
    assert fit.side is not None
    assert "tiles of" in fit.why
    assert fit.num_bytes <= 8 * GB
    with pytest.raises(DeviceError, match="does not fit into memory"):
        fit_memory(UpscaleConfig(tile=0), HD, 4, 8 * GB)
    with pytest.raises(DeviceError):
        fit_memory(UpscaleConfig(), HD, 4, GB // 10)


@pytest.mark.parametrize(
    ("size", "budget"), [((720, 1280), 3), ((720, 1280), 4), (HD, 5), (HD, 8), ((600, 4000), 6)]
)
def test_tiles_are_those_that_are_computed_soonest(size: tuple[int, int], budget: int) -> None:
    chosen = fit_memory(UpscaleConfig(), size, 4, budget * GB)
    assert chosen.side is not None
    for tile in range(512, 4096, 448):
        try:
            other = fit_memory(UpscaleConfig(tile=tile), size, 4, budget * GB)
        except DeviceError:
            continue
        assert relative_time(size, chosen) <= relative_time(size, other)
    # Wide tiles that nearly reach across the frame would have it computed almost twice.
    assert relative_time(size, chosen) < 1.9


def relative_time(size: tuple[int, int], fit: Fit) -> float:
    """How many frames are computed for each that is wanted, and a fifth more for each clip's."""
    assert fit.side is not None
    regions = plan_regions((size[0] // 2, size[1] // 2), fit.side, region_overlap(fit.side), 4)
    computed = sum(rows.size * columns.size for rows, columns in (r.body for r in regions.all))
    return computed / (size[0] * size[1]) * (1 + 0.2 / (fit.length - 1))


def test_more_steps_leave_memory_for_fewer_frames_and_then_for_tiles() -> None:
    config, budget = UpscaleConfig(clip=ClipConfig(length=40)), 32 * GB
    few, more, many = (fit_memory(config, HD, steps, budget) for steps in (4, 20, 50))
    assert few.length > more.length > 2
    assert few.side is more.side is None
    assert many.side is not None


def test_what_regions_hand_on_lies_on_disk_where_it_would_fill_the_memory() -> None:
    few, many = (fit_memory(UpscaleConfig(tile=512), HD, steps, 8 * GB) for steps in (1, 50))
    assert not few.is_state_on_disk
    assert many.is_state_on_disk


def test_frames_are_merged_on_disk_where_that_saves_time_or_all_else_is_too_large() -> None:
    fits = []
    for budget in range(4, 80):
        with suppress(DeviceError):
            fits.append(fit_memory(UpscaleConfig(), HD, 4, budget * GB // 10))
    assert fits[0].is_out_of_core
    assert not fits[-1].is_out_of_core
    assert all(fit.is_state_on_disk for fit in fits if fit.is_out_of_core)
    assert all("on disk" in fit.why for fit in fits if fit.is_out_of_core)
    times = [relative_time(HD, fit) * (1.1 if fit.is_out_of_core else 1) for fit in fits]
    assert times == sorted(times, reverse=True)
    # Neither the planes of all frames nor the clip that is read ahead are in memory then.
    assert region_bytes(HD, 8, 64, 4, on_disk=True, out_of_core=True) < (
        region_bytes(HD, 8, 64, 4, on_disk=True) - 8 * 100 * HD[0] * HD[1]
    )


def test_8k_fits_into_what_8_gb_leave_beside_its_encoder() -> None:
    config = UpscaleConfig(device="cpu", dtype="bfloat16", scale=Fraction(2))
    fit = fit_memory(config, UHD, 4, int(3.7 * GB), replace(HALF, source=72))
    assert fit.is_out_of_core


def test_networks_that_are_not_cut_into_bands_are_planned_as_such() -> None:
    config = UpscaleConfig(device="cpu", dtype="bfloat16", tile=0)
    cut, compiled = (
        plan_small(replace(config, compile=compile_), (540, 960), 4, (4,)).peak_bytes or 0
        for compile_ in (False, True)
    )
    assert compiled > cut


@pytest.mark.parametrize("tile", [0, 512])
def test_a_source_as_large_as_the_target_takes_more_than_a_small_one(tile: int) -> None:
    plans = [
        plan_small(
            UpscaleConfig(device="cpu", dtype="float32", scale=Fraction(scale), tile=tile),
            (1920 // scale, 1280 // scale),
            1,
            (scale,),
        )
        for scale in (4, 2, 1)
    ]
    peaks = [plan.peak_bytes or 0 for plan in plans]
    assert peaks == sorted(peaks)
    # All frames of two clips, three numbers of four bytes for each pixel.
    more = 2 * ClipConfig.length * 12 * 1920 * 1280 * (1 - 1 / 16)
    assert 0.99 < (peaks[2] - peaks[0]) / more < 1.2  # a region's part is held beside the whole


@pytest.mark.parametrize("size", [HD, (540, 960), (4320, 7680)])
@pytest.mark.parametrize("length", [2, 8])
def test_smaller_tiles_never_need_more(size: tuple[int, int], length: int) -> None:
    needs = [region_bytes(size, length, side, 4, on_disk=True) for side in range(16, 2200, 7)]
    assert needs == sorted(needs)


def test_tiles_that_are_asked_for_are_planned_too() -> None:
    config = UpscaleConfig(tile=512)
    fit = fit_memory(config, HD, 4, 3 * GB)
    assert (2 <= fit.length < 8, fit.side) == (True, 64)
    assert "clip length" in fit.why
    with pytest.raises(DeviceError, match="does not fit into memory") as caught:
        fit_memory(config, HD, 4, GB * 3 // 4)
    assert "smaller ones" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("costs", "steps"), [(HALF, 1), (HALF, 4), (HALF, 50), (FULL, 1), (FULL, 4)]
)
@pytest.mark.parametrize("size", [HD, UHD])
def test_a_few_gigabytes_are_enough_for_any_size(
    size: tuple[int, int], steps: int, costs: Costs
) -> None:
    budget = int(SHARE_OF_FREE_MEMORY * 4.6 * GB)  # 8 GB, less what encodes frames of 15360x8640
    fit = fit_memory(UpscaleConfig(), size, steps, budget, costs)
    assert fit.side is not None
    assert fit.num_bytes <= budget


@pytest.mark.parametrize(("dtype", "budget"), [(torch.float32, 4.6), (torch.bfloat16, 2.7)])
def test_where_full_precision_does_not_fit_half_is_taken(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, budget: float
) -> None:
    free = int(budget * GB / SHARE_OF_FREE_MEMORY)
    monkeypatch.setattr(run_plan, "is_faster_in_bfloat16", lambda: False)
    monkeypatch.setattr("vsr_cli.pipeline.memory.free_memory", lambda device: free)
    plan = plan_small(UpscaleConfig(device="cpu"), UHD, 50, (4,))
    assert plan.dtype == dtype
    assert any("dtype" in reason for reason in plan.reasons)
    least = UpscaleConfig(device="cpu", dtype="float32")
    if dtype == torch.float32:
        assert plan_small(least, UHD, 50, (4,)).dtype == dtype
        return
    with pytest.raises(DeviceError):
        plan_small(least, UHD, 50, (4,))
