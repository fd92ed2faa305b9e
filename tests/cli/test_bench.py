import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.networks import write_tiny_weights
from vsr_cli.cli.app import app


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return write_tiny_weights(tmp_path / "tiny.safetensors")


def run(*words: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_bench_counts_operations_and_seconds(model_file: Path) -> None:
    words = ("bench", "--model", model_file, "--device", "cpu", "--size", "32x16", "--frames", "2")
    code, out, err = run(*words, "--steps", "1", "--steps", "3", "--json")
    assert code == 0, err
    one, three = (json.loads(line) for line in out.splitlines())
    assert one["lr_size"] == [16, 32]
    assert 0 < one["tflop"] < three["tflop"]
    assert one["seconds"] > 0


def test_bench_refuses_what_is_no_size(model_file: Path) -> None:
    code, _, err = run("bench", "--model", model_file, "--size", "large")
    assert code == 2
    assert "use WxH" in err
