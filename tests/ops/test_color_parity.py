"""The colour fixes at full size are those of the original implementation."""

import pytest
import torch

from tests.parity import assert_like, recorded
from vsr_cli.ops.color import adain, wavelet


def test_published_colour_fixes_give_the_same_frames() -> None:
    table = recorded("colorfix")
    assert_like(adain(table["sr"], table["lr"]), table["adain"])
    assert_like(wavelet(table["sr"], table["lr"]), table["wavelet"])


@pytest.mark.parametrize("fix", [adain, wavelet])
def test_frames_that_have_the_right_colours_keep_them(fix: object) -> None:
    frames = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert callable(fix)
    torch.testing.assert_close(fix(frames, frames), frames, atol=1e-5, rtol=1e-5)


def test_a_tint_is_taken_off_by_both_and_detail_stays() -> None:
    frames = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    tint = torch.tensor([0.3, -0.2, 0.1])[:, None, None]
    for fix in (adain, wavelet):
        torch.testing.assert_close(fix(frames + tint, frames), frames, atol=1e-4, rtol=1e-4)
