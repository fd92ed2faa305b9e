import pytest
import torch

from vsr_cli.config import ClipConfig, UpscaleConfig
from vsr_cli.errors import ConfigError, DeviceError
from vsr_cli.models.files import shipped_weights
from vsr_cli.models.weights import load_weights
from vsr_cli.pipeline.frames import upscale_frames
from vsr_cli.pipeline.restorers.small.memory import fit_memory
from vsr_cli.pipeline.run_plan import Runtime, choose_dtype

HD = (1080, 1920)


def test_a_clip_that_fits_is_left_alone() -> None:
    assert fit_memory(UpscaleConfig(), (180, 320), 4, 10**10) == (ClipConfig.length, None, "")


def test_scarce_memory_shortens_clips_first_and_says_so() -> None:
    length, tile, why = fit_memory(UpscaleConfig(clip=ClipConfig(length=40)), HD, 4, 40 * 10**9)
    assert 2 <= length < 40
    assert tile is None
    assert "clip length" in why


def test_very_scarce_memory_makes_tiles_unless_they_are_forbidden() -> None:
    length, tile, why = fit_memory(UpscaleConfig(), HD, 4, 12 * 10**9)
    assert length == 2
    assert tile is not None
    assert "tiles of" in why
    with pytest.raises(DeviceError, match="does not fit into memory"):
        fit_memory(UpscaleConfig(tile=0), HD, 4, 12 * 10**9)
    with pytest.raises(DeviceError):
        fit_memory(UpscaleConfig(), HD, 4, 10**8)


def test_more_steps_leave_memory_for_fewer_frames_and_then_for_tiles() -> None:
    config, budget = UpscaleConfig(clip=ClipConfig(length=40)), 44 * 10**9
    few, more, many = (fit_memory(config, HD, steps, budget) for steps in (4, 20, 50))
    assert few[0] > more[0] > 2
    assert many[0] == 2
    assert many[1] is not None


def test_float16_needs_a_gpu() -> None:
    with pytest.raises(ConfigError, match="needs a CUDA device"):
        choose_dtype("float16", torch.device("cpu"))
    assert choose_dtype("bfloat16", torch.device("cpu")) == (torch.bfloat16, "")


@pytest.mark.weights
def test_tiles_change_the_picture_by_less_than_one_code() -> None:
    model, config = load_weights(shipped_weights()), UpscaleConfig(scene_cut=False)
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(1, 3, 40, 46, generator=generator) * 1.6 - 0.8
    texture = torch.nn.functional.interpolate(texture, size=(156, 180), mode="bicubic")[0]
    frames = [texture[:, :150, k : k + 170] for k in range(3)]

    def upscale(tile: int | None) -> torch.Tensor:
        runtime = Runtime(torch.device("cpu"), torch.float32, 3, tile, ())
        clips = upscale_frames(iter(frames), model, config, runtime)
        return torch.cat([clip.frames for clip in clips])

    difference = (upscale(48) - upscale(None)).abs() * 127.5
    assert difference.mean() < 1
    assert difference.max() > 0  # tiles were really used
