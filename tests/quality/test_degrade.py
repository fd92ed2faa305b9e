"""Degradation as a whole."""

import pytest
import torch
from torch import Tensor

from vsr_cli.errors import ConfigError
from vsr_cli.quality import degrade
from vsr_cli.quality.degrade import Degradation, Level

LEVELS: tuple[Level, ...] = ("clean", "compressed", "mild", "heavy", "mixed")


def random_frames(num_frames: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(num_frames, 3, height, width, generator=generator) * 2 - 1


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 36, 52)])
def test_the_clip_is_a_quarter_of_the_size_and_in_range(
    level: Level, shape: tuple[int, int, int]
) -> None:
    num_frames, height, width = shape
    for seed in range(6):
        lr_frames = Degradation(level)(random_frames(*shape), seed)
        assert lr_frames.shape == (num_frames, 3, height // 4, width // 4)
        assert lr_frames.abs().max() <= 1
        codes = (lr_frames + 1) * 127.5
        torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("level", LEVELS)
def test_the_same_seed_gives_the_same_clip(level: Level) -> None:
    frames = random_frames(3, 48, 48)
    for seed in range(6):
        first = Degradation(level)(frames, seed)
        assert torch.equal(first, Degradation(level)(frames, seed))


@pytest.mark.parametrize("level", ["mild", "heavy"])
def test_another_seed_gives_another_clip(level: Level) -> None:
    frames = random_frames(2, 48, 48)
    assert not torch.equal(Degradation(level)(frames, 1), Degradation(level)(frames, 2))


def test_a_generator_is_read_and_moves_on() -> None:
    frames, generator = random_frames(1, 48, 48), torch.Generator().manual_seed(3)
    first, second = (Degradation("mild")(frames, generator) for _ in range(2))
    assert not torch.equal(first, second)
    again = Degradation("mild")(frames, torch.Generator().manual_seed(3))
    assert torch.equal(first, again)


def test_global_randomness_is_neither_used_nor_moved() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    Degradation("heavy")(random_frames(2, 48, 48), 5)
    assert torch.equal(torch.rand(1), expected)


def test_a_clean_clip_of_one_colour_keeps_it_in_place() -> None:
    frames = torch.full((1, 3, 32, 32), -1.0)
    frames[..., 16:] = 1.0
    lr_frames = Degradation("clean")(frames, 0)
    assert (lr_frames[..., :3] < -0.9).all()
    assert (lr_frames[..., 5:] > 0.9).all()


@pytest.mark.parametrize("level", ["mild", "heavy"])
def test_nothing_is_shifted(level: Level) -> None:
    """The centre of light of a bright square stays, on average, where the square is."""
    frames = torch.full((1, 3, 96, 96), -0.5)
    frames[..., 32:48, 48:72] = 0.9
    total = sum((Degradation(level)(frames, seed) for seed in range(24)), torch.zeros(1, 3, 24, 24))
    light = ((total / 24).mean(dim=1)[0] + 0.5).clamp(min=0.15) - 0.15  # noise is no light
    place = torch.arange(24.0)
    x = (light.sum(dim=0) * place).sum() / light.sum()
    y = (light.sum(dim=1) * place).sum() / light.sum()
    assert abs(x - (59.5 - 1.5) / 4) < 0.25
    assert abs(y - (39.5 - 1.5) / 4) < 0.25


def test_heavy_is_farther_from_the_clean_clip_than_mild() -> None:
    frames = torch.nn.functional.avg_pool2d(random_frames(1, 192, 192), 3) * 2
    clean = Degradation("clean")(frames, 0)
    error = {
        level: sum(
            (Degradation(level)(frames, seed) - clean).square().mean().item() for seed in range(16)
        )
        for level in LEVELS[2:4]
    }
    assert error["heavy"] > error["mild"] > 0


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("level", LEVELS)
def test_sources_of_other_scales_have_their_size(level: Level, scale: int) -> None:
    for seed in range(6):
        lr_frames = Degradation(level, scale=scale)(random_frames(2, 32, 40), seed)
        assert lr_frames.shape == (2, 3, 32 // scale, 40 // scale)


def test_at_scale_one_clean_is_untouched_and_part_of_the_mix_is_clean() -> None:
    frames = (random_frames(1, 32, 32) * 127.5 + 127.5).round() / 127.5 - 1
    torch.testing.assert_close(Degradation("clean", scale=1)(frames, 0), frames)
    whole = [
        torch.allclose(Degradation("mixed", scale=1)(frames, seed), frames, atol=1e-5)
        for seed in range(200)
    ]
    assert 0.12 < sum(whole) / 200 < 0.3


def test_at_scale_one_part_of_the_mix_has_noise_that_nothing_came_after() -> None:
    frames = random_frames(1, 32, 32)
    drawn = [Degradation("mixed", scale=1).explained(frames, seed)[1] for seed in range(100)]
    plain = [
        lines
        for lines in drawn
        if any("noise" in line for line in lines)
        and not any("JPEG" in line or "bits per pixel" in line for line in lines)
    ]
    assert 10 < len(plain) < 40
    assert all(lines[0] == "level mild" for lines in plain)


def test_strengths_drift_slowly_and_stay_within_their_limits() -> None:
    for seed in range(5):
        walk = degrade._Randomness(seed, size=(8, 8), num_frames=200, has_codecs=True).drifting(
            (2, 6)
        )
        assert walk.min() >= 2
        assert walk.max() <= 6
        assert 0 < walk.diff().abs().max() < 1


def test_without_codecs_all_else_stays_as_it_was_drawn() -> None:
    frames = random_frames(3, 64, 64)
    coded = 0
    for seed in range(12):
        _, lines = Degradation("heavy").explained(frames, seed)
        _, without = Degradation("heavy", has_codecs=False).explained(frames, seed)
        assert without == tuple(line for line in lines if "bits per pixel" not in line)
        coded += without != lines
    assert coded


def test_frames_on_another_device_stay_there_and_are_never_read_back() -> None:
    # Reading a value of a tensor on `meta` is an error: nothing here makes a GPU wait.
    frames = torch.zeros(3, 3, 64, 64, device="meta")
    for seed in range(12):
        for level in ("clean", "mild", "heavy"):
            lr_frames = Degradation(level, has_codecs=False)(frames, seed)
            assert lr_frames.device.type == "meta"
            assert lr_frames.shape == (3, 3, 16, 16)


@pytest.mark.gpu
def test_a_gpu_makes_the_same_input_as_the_cpu() -> None:
    frames = random_frames(3, 64, 64)
    for seed in range(12):
        expected = Degradation("mixed")(frames, seed)
        found = Degradation("mixed")(frames.cuda(), seed).cpu()
        assert (found - expected).abs().mean() < 0.5 / 255  # a rounded code here and there


@pytest.mark.parametrize("shape", [(1, 3, 30, 32), (3, 32, 32), (1, 1, 32, 32)])
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Degradation("clean")(torch.zeros(shape), 0)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigError, match="gentle"):
        Degradation("gentle")  # type: ignore[arg-type]
