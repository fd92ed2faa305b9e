"""Clips and tiles that fit."""

import pytest

from vsr_cli.config import ClipConfig, UpscaleConfig
from vsr_cli.errors import DeviceError
from vsr_cli.pipeline.restorers.small.memory import SHARE_OF_FREE_MEMORY, _bytes_needed, fit_memory

HD = (1080, 1920)


def test_a_clip_that_fits_is_left_alone() -> None:
    assert fit_memory(UpscaleConfig(), (180, 320), 4, 10**10) == (ClipConfig.length, None, "")


def test_scarce_memory_shortens_clips_first_and_says_so() -> None:
    length, tile, why = fit_memory(UpscaleConfig(clip=ClipConfig(length=40)), HD, 4, 30 * 10**9)
    assert 2 <= length < 40
    assert tile is None
    assert "clip length" in why


def test_very_scarce_memory_makes_tiles_unless_they_are_forbidden() -> None:
    length, tile, why = fit_memory(UpscaleConfig(), HD, 4, 10 * 10**9)
    assert length == 2
    assert tile is not None
    assert "tiles of" in why
    with pytest.raises(DeviceError, match="does not fit into memory"):
        fit_memory(UpscaleConfig(tile=0), HD, 4, 10 * 10**9)
    with pytest.raises(DeviceError):
        fit_memory(UpscaleConfig(), HD, 4, 10**8)


def test_more_steps_leave_memory_for_fewer_frames_and_then_for_tiles() -> None:
    config, budget = UpscaleConfig(clip=ClipConfig(length=40)), 35 * 10**9
    few, more, many = (fit_memory(config, HD, steps, budget) for steps in (4, 20, 50))
    assert few[0] > more[0] > 2
    assert many[0] == 2
    assert many[1] is not None


@pytest.mark.parametrize("size", [HD, (540, 960), (4320, 7680)])
@pytest.mark.parametrize("length", [2, 8])
def test_smaller_tiles_never_need_more(size: tuple[int, int], length: int) -> None:
    needs = [_bytes_needed(size, length, side, 4) for side in range(16, 2200, 7)]
    assert needs == sorted(needs)
    assert needs[-1] <= _bytes_needed(size, length, None, 4)


def test_tiles_that_are_asked_for_are_planned_too() -> None:
    config = UpscaleConfig(tile=512)
    length, tile, why = fit_memory(config, HD, 4, 6 * 10**9)
    assert (2 <= length < 8, tile) == (True, 64)
    assert "clip length" in why
    with pytest.raises(DeviceError, match="does not fit into memory") as caught:
        fit_memory(config, HD, 4, 3 * 10**9)
    assert "smaller ones" in (caught.value.hint or "")


def test_a_phone_clip_fits_where_thirteen_gigabytes_are_free() -> None:
    budget = int(SHARE_OF_FREE_MEMORY * 13 * 10**9)
    length, tile, _ = fit_memory(UpscaleConfig(), HD, 4, budget)
    assert length >= 2
    assert tile is not None
