"""Outputs of the original MGLD-VSR implementation, recorded at reduced width."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vsr_cli.models.mgld.config import MgldConfig

FOLDER = Path(
    os.environ.get("VSR_PARITY_DIR")
    or Path(__file__).resolve().parents[2] / "shared" / "design" / "parity"
)
TOLERANCE = 1e-5  # of the largest value recorded; a wrong epsilon of a norm already shows there

RECORDED = MgldConfig(
    denoiser_channels=(32, 64, 96, 96),
    head_channels=8,
    context_channels=64,
    structure_channels=(32, 32, 64, 64),
    structure_features=64,
    autoencoder_channels=(32, 64, 96, 96),
    tile_size=16,
    tile_overlap=8,
)


def recorded(name: str) -> dict[str, Tensor]:
    """The tensors of a recording, weights in float32; skips the test where there is none."""
    path = FOLDER / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"no recording `{path}`: set VSR_PARITY_DIR to the folder that has it")
    return {
        name: tensor.float() if tensor.dtype == torch.float8_e4m3fn else tensor
        for name, tensor in load_file(path).items()
    }


def assert_like(found: Tensor, expected: Tensor) -> None:
    """Refuse a difference beyond the tolerance, relative to the largest expected value."""
    assert found.shape == expected.shape
    difference = (found.double() - expected.double()).abs().max()
    assert difference <= TOLERANCE * expected.abs().max()
