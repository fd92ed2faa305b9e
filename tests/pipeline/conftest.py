from pathlib import Path

import pytest

from tests.networks import write_tiny_weights


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return write_tiny_weights(tmp_path / "tiny.safetensors")
