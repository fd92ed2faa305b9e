"""HDR for SDR screens: light as the standards say, and a knee that bends only what is bright."""

import pytest
import torch
from torch import Tensor

from vsr_cli.ops.tonemap import (
    SDR_WHITE,
    hlg_to_light,
    light_to_pq,
    pq_to_light,
    roll_off,
    tone_mapped,
)
from vsr_cli.pixels import HLG, PQ


def grey(*codes: float) -> Tensor:
    """(3, 1, N) of codes in [0, 1], in [-1, 1]."""
    return torch.tensor([codes] * 3)[:, None] * 2 - 1


def shown(frame: Tensor, transfer: int = PQ, primaries: int = 9) -> Tensor:
    """(3, N), in [0, 1]."""
    return ((tone_mapped(frame, transfer=transfer, primaries=primaries) + 1) / 2)[:, 0]


def test_pq_is_that_of_the_standard() -> None:
    """Codes of 0, 100, 203, 1000 and 10,000 cd/m2, from ITU-R BT.2408."""
    light = torch.tensor([0.0, 100, 203, 1000, 10_000])
    codes = torch.tensor([0.0, 0.5081, 0.5807, 0.7518, 1.0])
    torch.testing.assert_close(light_to_pq(light), codes, atol=1e-4, rtol=0)
    torch.testing.assert_close(pq_to_light(light_to_pq(light)), light, rtol=1e-3, atol=1e-3)


def test_hlg_has_its_white_at_three_quarters() -> None:
    light = hlg_to_light((grey(0.0, 0.75, 1.0) + 1) / 2)[0, 0]
    torch.testing.assert_close(light, torch.tensor([0.0, 203.0, 1000.0]), rtol=0.01, atol=1e-3)


def test_only_what_is_bright_is_bent_and_the_peak_becomes_white() -> None:
    light = torch.linspace(0, 2000, 4001)
    bent = roll_off(light, 1000)
    below = light < 90
    torch.testing.assert_close(bent[below], light[below], rtol=2e-3, atol=1e-2)
    assert (bent.diff() > -1e-3).all()
    torch.testing.assert_close(
        bent[light >= 1000].mean(), torch.tensor(SDR_WHITE), rtol=1e-3, atol=0
    )
    assert (roll_off(light, 100) <= SDR_WHITE).all()


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_grey_stays_grey_and_its_order(transfer: int) -> None:
    found = shown(grey(*(k / 50 for k in range(51))), transfer)
    assert (found.amax(dim=0) - found.amin(dim=0)).max() < 2e-3
    assert (found[0].diff() >= -1e-4).all()
    assert found[0, 0] == 0
    assert found[0, -1] == pytest.approx(1, abs=2e-3)


def test_dark_light_is_that_of_an_sdr_screen() -> None:
    """50 cd/m2 where 203 are white, on a screen of gamma 2.4."""
    code = float(light_to_pq(torch.tensor(50.0)))
    assert shown(grey(code))[0, 0] == pytest.approx((50 / SDR_WHITE) ** (1 / 2.4), abs=2e-3)


def test_primaries_become_those_of_bt709() -> None:
    """A red of BT.709, written in BT.2020, is pure again, and one that was in BT.709 stays."""
    bt2020 = torch.tensor([0.6274, 0.0691, 0.0164])[:, None, None] * 80  # ITU-R BT.2087
    codes = light_to_pq(bt2020) * 2 - 1
    red, green, blue = shown(codes)[:, 0].tolist()
    assert red > 0.6
    assert max(green, blue) < 0.06
    own = shown(codes, primaries=1)[:, 0]
    assert own[1] > 0.2


def test_what_is_no_hdr_is_refused() -> None:
    with pytest.raises(ValueError, match="expected PQ"):
        tone_mapped(grey(0.5), transfer=1, primaries=1)
