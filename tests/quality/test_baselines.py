"""Restorers that know nothing of video."""

import pytest
import torch
from torch import Tensor

from vsr_cli.quality.baselines import AMOUNTS, bicubic, lanczos, match_sharpness, sharpen
from vsr_cli.quality.clips import to_codes


@pytest.mark.parametrize("restorer", [bicubic, lanczos])
def test_a_flat_clip_stays_flat_four_times_as_large(restorer: object) -> None:
    assert callable(restorer)
    flat = torch.tensor([-0.5, 0.0, 0.7])[None, :, None, None].expand(2, 3, 5, 7)
    expected = torch.tensor([-0.5, 0.0, 0.7])[None, :, None, None].expand(2, 3, 20, 28)
    torch.testing.assert_close(restorer(flat, 4), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("restorer", [bicubic, lanczos])
def test_a_ramp_is_continued_at_the_right_places(restorer: object) -> None:
    assert callable(restorer)
    ramp = (torch.arange(12.0) / 12).expand(1, 3, 12, 12)
    wide = ((torch.arange(48.0) + 0.5) / 4 - 0.5) / 12
    torch.testing.assert_close(restorer(ramp, 4)[0, 0, 20, 16:32], wide[16:32], atol=4e-3, rtol=0)


def random_clip(num_frames: int = 5) -> Tensor:
    return torch.rand(num_frames, 3, 8, 10, generator=torch.Generator().manual_seed(0)) - 0.5


def test_sharpening_by_nothing_is_lanczos_and_of_a_flat_clip_nothing() -> None:
    clip = random_clip()
    torch.testing.assert_close(sharpen(clip, 4, 0), lanczos(clip, 4))
    flat = torch.full((2, 3, 8, 8), 0.3)
    torch.testing.assert_close(sharpen(flat, 4, 4), lanczos(flat, 4), atol=1e-5, rtol=0)


def test_sharpening_adds_what_a_gaussian_takes_from_the_luma() -> None:
    clip = random_clip(1)
    frames = lanczos(clip, 4)[0]
    y = 0.299 * frames[0] + 0.587 * frames[1] + 0.114 * frames[2]
    offsets = torch.arange(13.0) - 6
    bell = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = bell[:, None] * bell / bell.sum() ** 2
    smooth = (y[10:23, 14:27] * window).sum()  # around (16, 20)
    expected = frames[:, 16, 20] + 1.5 * (y[16, 20] - smooth)
    torch.testing.assert_close(sharpen(clip, 4, 1.5)[0, :, 16, 20], expected, atol=1e-5, rtol=0)


def distance(first: Tensor, second: Tensor) -> Tensor:
    """A stand-in for LPIPS."""
    return (first - second).abs().flatten(1).mean(dim=1)


def test_the_amount_is_the_one_nearest_in_lpips() -> None:
    lr_frames = random_clip(3)
    hr_frames = to_codes(sharpen(lr_frames, 4, 2))
    far = {
        a: float(distance(to_codes(sharpen(lr_frames, 4, a)), hr_frames).mean()) for a in AMOUNTS
    }
    assert match_sharpness(lr_frames, hr_frames, hr_frames, distance) == 2
    # Nearer to the amount 0.25 than to 0.5, and far from every amount beyond the truth's.
    like = hr_frames + 0.7 * far[0.25] + 0.3 * far[0.5]
    assert match_sharpness(lr_frames, hr_frames, like, distance) == min(
        AMOUNTS, key=lambda a: abs(far[a] - 0.7 * far[0.25] - 0.3 * far[0.5])
    )


def test_no_more_than_three_frames_are_compared_and_those_of_all_the_clip() -> None:
    lr_frames = random_clip(9)
    hr_frames = torch.arange(9.0)[:, None, None, None].expand(9, 3, 32, 40) / 10
    seen: list[list[float]] = []

    def blind(first: Tensor, second: Tensor) -> Tensor:
        seen.append([round(float(frame[0, 0, 0]), 1) for frame in second])
        return torch.zeros(len(first))

    assert match_sharpness(lr_frames, hr_frames, hr_frames, blind) == 0  # all are as near
    assert all(values == [0.0, 0.4, 0.8] for values in seen)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_enlargement_has_its_scale_and_at_one_changes_nothing(scale: int) -> None:
    clip = random_clip(2)
    for enlarge in (bicubic, lanczos):
        assert enlarge(clip, scale).shape == (2, 3, 8 * scale, 10 * scale)
    torch.testing.assert_close(lanczos(clip, 1), clip, atol=1e-5, rtol=0)
    assert torch.equal(bicubic(clip, 1), clip)
