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


@pytest.mark.slow
def test_bench_counts_operations_seconds_and_memory(model_file: Path) -> None:
    words = ("bench", "--model", model_file, "--device", "cpu", "--size", "32x16", "--frames", "2")
    code, out, err = run(*words, "--steps", "1", "--steps", "3", "--json")
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    one, three = (event for event in events if event["type"] == "cost")
    assert (one["lr_size"], one["scale"], one["steps"]) == ([16, 32], "4", 1)
    assert 0 < one["tflop"] < three["tflop"]
    assert one["seconds"] > 0
    assert set(one["shares"]) == {"sample", "decode", "color", "flow"}
    assert 0 < sum(one["shares"][name] for name in ("sample", "decode", "color")) <= 1
    assert one["ceiling"] > one["tflop"] / one["seconds"] > 0
    assert one["peak_gb"] > 0.1
    done = [event["frame"] for event in events if event["type"] == "progress"]
    assert done == [0, 1, 2]


@pytest.mark.slow
def test_bench_prints_a_table_a_row_for_each_scale(model_file: Path) -> None:
    words = ("bench", "--model", model_file, "--device", "cpu", "--quick", "--size", "32x16")
    code, out, err = run(*words, "--scale", "2", "--scale", "4")
    assert code == 0, err
    head, line, *rows = out.splitlines()
    assert line.count("---") == head.count("|") - 1
    assert [row.split("|")[2].strip() for row in rows] == ["2", "4"]
    assert {row.count("|") for row in rows} == {head.count("|")}
    assert "at most" in err


def test_bench_refuses_what_is_no_size(model_file: Path) -> None:
    code, _, err = run("bench", "--model", model_file, "--size", "large")
    assert code == 2
    assert "use WxH" in err
