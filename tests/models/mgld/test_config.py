"""The config in the header of imported weights, which may be damaged or made up."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from vsr_cli.errors import WeightsError
from vsr_cli.models.mgld.config import PUBLISHED, MgldConfig, read_config


def read(text: str) -> MgldConfig:
    return read_config(Path("mgld.safetensors"), {"family": "mgld", "config": text})


def test_a_config_comes_back_as_it_was_written() -> None:
    assert read(json.dumps(asdict(PUBLISHED))) == PUBLISHED


@pytest.mark.parametrize(
    "entries",
    [
        {"denoiser_channels": [320, 640]},
        {"denoiser_channels": 320},
        {"denoiser_channels": [320, 640, 1280, "1280"]},
        {"head_channels": 0},
        {"text_layers": 10**9},
        {"clip_length": [5]},
        {"clip_length": True},
        {"tile_size": 32},
        {"pixel_stride": 0},
    ],
    ids=str,
)
def test_what_no_model_has_is_refused(entries: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match=r"no model that can be (built|run)") as refused:
        read(json.dumps({**asdict(PUBLISHED), **entries}))
    assert refused.value.exit_code == 5


def test_what_is_no_config_is_refused() -> None:
    for text in ("{", "null", "[" * 100_000):
        with pytest.raises(WeightsError, match="is damaged"):
            read(text)
