"""Known defects of clips that keep their size."""

import pytest
import torch
from torch import Tensor

from vsr_cli.quality.defects import DEFECTS, damage
from vsr_cli.quality.denoisers import motion_compensated_mean, non_local_means
from vsr_cli.quality.metrics import psnr_y


def wave(num_frames: int = 3, height: int = 48, width: int = 64) -> Tensor:
    """Smooth stripes that move to the right by a pixel a frame."""
    x = torch.arange(width) - torch.arange(num_frames)[:, None]
    y = torch.arange(height)[None, :, None]
    picture = torch.sin(x[:, None, :] / 5) * torch.cos(y / 7) * 0.6
    frames = picture[:, None].expand(-1, 3, -1, -1)
    return ((frames + 1) * 127.5).round() / 127.5 - 1


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_keeps_the_size_and_its_seed_makes_it(defect: str) -> None:
    name = next(known for known in DEFECTS if known == defect)
    frames = wave()
    found = damage(frames, name, 3)
    assert found.shape == frames.shape
    assert found.abs().max() <= 1
    assert torch.equal(found, damage(frames, name, 3))
    assert (found - frames).abs().max() * 127.5 > 1
    if name.startswith("noise"):
        assert not torch.equal(found, damage(frames, name, 4))


@pytest.mark.parametrize(("defect", "deviation"), [("noise10", 10), ("noise25", 25)])
def test_noise_has_the_deviation_of_its_name(defect: str, deviation: int) -> None:
    name = next(known for known in DEFECTS if known == defect)
    grey = torch.zeros(2, 3, 64, 64)
    assert (damage(grey, name, 0) * 127.5).std().item() == pytest.approx(deviation, rel=0.05)


def test_a_higher_rate_factor_leaves_less() -> None:
    frames = wave(4)
    good, bad = (psnr_y(damage(frames, name, 0), frames) for name in ("crf34", "crf38"))
    assert good > bad


def test_denoisers_take_noise_away() -> None:
    frames = wave(5)
    noisy = damage(frames, "noise15", 0)
    before = psnr_y(noisy, frames)
    assert psnr_y(non_local_means(noisy), frames) > before + 1
    assert psnr_y(motion_compensated_mean(noisy), frames) > before + 0.5


def test_the_mean_along_the_motion_leaves_still_frames_as_they_are() -> None:
    still = wave(1).expand(4, -1, -1, -1)
    torch.testing.assert_close(motion_compensated_mean(still), still, atol=1e-3, rtol=0)
