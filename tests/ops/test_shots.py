"""Scene cuts: a new scene fires; motion, light and noise do not."""

import pytest
import torch
from torch import Tensor

from vsr_cli.ops.resize import resize
from vsr_cli.ops.shots import is_cut

SIZE = (72, 128)


def scene(seed: int, size: tuple[int, int] = SIZE) -> Tensor:
    """A frame (3, h, w) in [-1, 1] with structure from coarse to fine."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        resize(torch.randn(3, size[0] // cell, size[1] // cell, generator=generator), size)
        for cell in (4, 8, 16)
    ]
    return (0.25 * sum(layers[1:], layers[0])).clamp(-1, 1)


@pytest.mark.parametrize("seed", range(5))
def test_another_scene_is_a_cut(seed: int) -> None:
    assert is_cut(scene(seed), scene(seed + 100))


@pytest.mark.parametrize("pixels", [1, 5, 12, 24])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_pan_is_no_cut(pixels: int, axis: int) -> None:
    wide = scene(1, (128, 192))
    pixels = min(pixels, 16) if axis == 1 else pixels
    moved = wide.roll(pixels, dims=axis)
    view = (slice(None), slice(30, 30 + SIZE[0]), slice(30, 30 + SIZE[1]))
    assert not is_cut(wide[view], moved[view])


@pytest.mark.parametrize("gain", [0.3, 0.6, 1.5])
@pytest.mark.parametrize("lift", [-0.3, 0.0, 0.4])
def test_a_flash_or_fade_is_no_cut(gain: float, lift: float) -> None:
    frame = scene(2) * 0.6
    assert not is_cut(frame, (frame * gain + lift).clamp(-1, 1))


@pytest.mark.parametrize("other_colours", [True, False])
def test_other_colours_tell_a_cut_between_scenes_of_little_contrast(*, other_colours: bool) -> None:
    dull, other = 0.3 * scene(6), 0.3 * scene(106)
    tint = torch.tensor([0.587, -0.299, 0.0])[:, None, None]  # red or green, of the same luma
    assert is_cut(dull + tint, other - tint if other_colours else other + tint) == other_colours


def test_noise_is_no_cut() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = [scene(3) + 0.3 * torch.randn(3, *SIZE, generator=generator) for _ in range(2)]
    assert not is_cut(frames[0].clamp(-1, 1), frames[1].clamp(-1, 1))


def test_a_still_picture_is_no_cut() -> None:
    assert not is_cut(scene(4), scene(4))


@pytest.mark.parametrize("size", [(17, 300), (90, 40), (36, 64)])
def test_frames_of_any_shape_are_told_apart(size: tuple[int, int]) -> None:
    assert is_cut(scene(0, size), scene(1, size))
    assert not is_cut(scene(0, size), scene(0, size))


def test_a_single_pixel_never_starts_a_shot() -> None:
    assert not is_cut(torch.full((3, 1, 1), -1.0), torch.ones(3, 1, 1))


def test_frames_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4, 4\), \(3, 4, 5\)"):
        is_cut(torch.zeros(3, 4, 4), torch.zeros(3, 4, 5))
