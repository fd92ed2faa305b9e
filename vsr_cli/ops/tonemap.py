"""HDR pictures as an SDR screen shows them.

Codes become light (SMPTE ST 2084, or ARIB STD-B67 as in ITU-R BT.2100), wide primaries those of
BT.709, and what is brighter than HDR's white is rolled off by the knee of ITU-R BT.2390, section 5.
Light becomes codes again by the inverse of BT.1886, the screen that SDR video is made for.
"""

import torch
from torch import Tensor

from vsr_cli.pixels import HLG, PQ

SDR_WHITE = 203.0  # cd/m2 that become white: HDR's reference white, ITU-R BT.2408
USUAL_PEAK = 1000.0  # cd/m2 of a screen that HDR is graded on
_GAMMA = 2.4  # of BT.1886
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128  # of ST 2084, as are these
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073  # of HLG
_OOTF_GAMMA = 1.2  # of HLG, on a screen of 1000 cd/m2
_LUMINANCE = (0.2627, 0.6780, 0.0593)  # of BT.2020
# Linear light of other primaries in those of BT.709; by the codes of H.273, table 2.
_TO_BT709 = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    12: ((1.2249, -0.2249, 0.0), (-0.0421, 1.0421, 0.0), (-0.0196, -0.0786, 1.0983)),
}


def is_hdr(transfer: int) -> bool:
    """Whether codes stand for more light than SDR has; `transfer` is of H.273, table 3."""
    return transfer in (PQ, HLG)


def tone_mapped(
    frame: Tensor, *, transfer: int, primaries: int, peak: float = USUAL_PEAK
) -> Tensor:
    """Turn an HDR frame into one for SDR screens.

    Args:
        frame: (3, H, W), RGB in [-1, 1], as coded.
        transfer: PQ or HLG.
        primaries: of H.273, table 2; those that are unknown are taken for BT.2020's.
        peak: cd/m2 of the screen that the frame was made for; what is brighter is white.

    Returns:
        (3, H, W), float32, RGB in [-1, 1], in BT.709.

    Raises:
        ValueError: the transfer is that of no HDR.
    """
    if not is_hdr(transfer):
        raise ValueError(f"expected PQ ({PQ}) or HLG ({HLG}), got {transfer}")
    codes = ((frame.float() + 1) / 2).clamp(0, 1)
    light = pq_to_light(codes) if transfer == PQ else hlg_to_light(codes)
    if primaries != 1:
        matrix = light.new_tensor(_TO_BT709.get(primaries, _TO_BT709[9]))
        light = torch.einsum("ij,jhw->ihw", matrix, light).clamp(min=0)
    brightest = light.amax(dim=0, keepdim=True)
    # All three by one factor, so that hues stay.
    light = light * roll_off(brightest, peak) / brightest.clamp(min=1e-6)
    return (light / SDR_WHITE).clamp(0, 1).pow(1 / _GAMMA) * 2 - 1


def pq_to_light(codes: Tensor) -> Tensor:
    """Codes of PQ in [0, 1] as cd/m2 (ST 2084, the EOTF)."""
    power = codes.pow(1 / _M2)
    return 10_000 * ((power - _C1).clamp(min=0) / (_C2 - _C3 * power)).pow(1 / _M1)


def light_to_pq(light: Tensor) -> Tensor:
    """The inverse of `pq_to_light`."""
    power = (light / 10_000).clamp(0, 1).pow(_M1)
    return ((_C1 + _C2 * power) / (1 + _C3 * power)).pow(_M2)


def hlg_to_light(codes: Tensor) -> Tensor:
    """(3, H, W), codes of HLG in [0, 1] of BT.2020, as cd/m2 of a screen of 1000 (BT.2100)."""
    scene = torch.where(codes <= 0.5, codes.square() / 3, (((codes - _C) / _A).exp() + _B) / 12)
    luminance = torch.einsum("j,jhw->hw", scene.new_tensor(_LUMINANCE), scene)
    return USUAL_PEAK * luminance.clamp(min=1e-9).pow(_OOTF_GAMMA - 1) * scene


def roll_off(light: Tensor, peak: float) -> Tensor:
    """Bring cd/m2 up to `peak` down to SDR_WHITE, by a knee along PQ (BT.2390, section 5.4.1).

    Below the knee nothing changes; `peak` becomes SDR_WHITE.
    """
    if peak <= SDR_WHITE:
        return light.clamp(max=SDR_WHITE)
    top, white = (light_to_pq(light.new_tensor(value)) for value in (peak, SDR_WHITE))
    most = white / top
    knee = 1.5 * most - 0.5
    e = (light_to_pq(light) / top).clamp(max=1)
    t = ((e - knee) / (1 - knee)).clamp(min=0)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * most
    )
    return pq_to_light(torch.where(e < knee, e, bent) * top)
