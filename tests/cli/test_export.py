"""`vsr export`: what is refused before anything is written, and how it is said."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from tests.networks import write_tiny_weights
from vsr_cli.cli.app import app
from vsr_cli.export import engines, export


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_weights(tmp_path / "tiny.safetensors")


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dtype", "bfloat16"], "`--dtype bfloat16` cannot be exported"),
        (["--opset", "17"], "`--opset 17` is out of range"),
        (["--opset", "24"], "`--opset 24` is out of range"),
        (["--steps", "0"], "`--steps 0` is out of range"),
        (["--engine"], "`--engine` needs to know for which sources"),
        (["--size", "640x480"], "`--size` means nothing without `--engine`"),
        (["--engine", "--size", "8x8"], "`--size` is too small"),
        (["--engine", "--size", "640x480", "--frames", "0"], "`--frames 0` is out of range"),
        (["--verify", "-y"], "`--verify` writes nothing"),
        (["--model", "none.safetensors"], "no weights at `none.safetensors`"),
    ],
)
def test_what_cannot_be_is_said_in_a_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("out", *words)
    assert result.exit_code == (5 if "--model" in words else 2)
    assert f"error: {said}" in result.stderr
    assert "hint: " in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_family_is_not_exported(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"family": "mgld"})
    result = run(tmp_path / "out", "--model", path)
    assert result.exit_code == 2
    assert "it is of the family `mgld`" in result.stderr


@pytest.mark.parametrize(
    ("missing", "words", "said"),
    [
        ({"onnx"}, [], "pip install onnx`"),
        ({"onnxscript", "onnxruntime"}, [], "pip install onnxscript onnxruntime`"),
        ({"onnxruntime"}, ["--verify"], "pip install onnxruntime`"),
    ],
)
def test_what_is_not_installed_is_named_with_the_line_that_installs_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: set[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(export, "is_installed", lambda name: name not in missing)
    result = run(tmp_path / "out", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_users_is_kept(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    for words in ([], ["-y"]):
        result = run(tmp_path / "out", "--model", tiny, *words)
        assert result.exit_code == 4
        assert "out` " in result.stderr
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_engines_need_tensorrt_and_a_gpu(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (tmp_path / "out", "--model", tiny, "--engine", "--size", "64x64")
    monkeypatch.setattr(engines, "has_tensorrt", lambda: False)
    result = run(*words)
    assert result.exit_code == 6
    assert "the package `tensorrt` is not installed" in result.stderr
    monkeypatch.setattr(engines, "has_tensorrt", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = run(*words)
    assert result.exit_code == 6
    assert "no CUDA device found" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_tensorrt_that_does_not_load_is_said(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "has_tensorrt", lambda: True)
    monkeypatch.setattr(engines, "find_gpu", lambda: torch.device("cpu"))
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    result = run(tmp_path / "out", "--model", tiny, "--engine", "--size", "64x64")
    assert result.exit_code == 6
    assert "TensorRT does not load" in result.stderr


def test_only_an_export_can_be_verified(tmp_path: Path) -> None:
    result = run("--verify", tmp_path, "--json")
    assert result.exit_code == 3
    event = json.loads(result.stdout)
    assert (event["type"], event["exit"], event["code"]) == ("error", 3, "E_INPUT")


def test_what_is_no_export_is_told_from_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    for folder, why in (
        (tmp_path / "none", "it does not exist"),
        (tmp_path, "it has no `manifest.json`"),
        (tmp_path / "broken", "its `manifest.json` cannot be read: Expecting"),
    ):
        result = run("--verify", folder)
        assert result.exit_code == 3
        assert f"`{folder}` is no export\nwhy: {why}" in result.stderr
