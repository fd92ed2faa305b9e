import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vsr_cli.cli.app import app
from vsr_cli.models import files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the installation ships, for this test."""
    monkeypatch.setattr(files, "weights_dir", lambda: tmp_path)
    return tmp_path


def test_the_list_gives_name_size_and_digest(folder: Path) -> None:
    (folder / "tiny.safetensors").write_bytes(b"x" * 1_500_000)
    digest = hashlib.sha256(b"x" * 1_500_000).hexdigest()
    result = CliRunner().invoke(app, ["weights", "list"])
    assert (result.exit_code, result.stdout) == (0, f"tiny.safetensors  1.5 MB  {digest}\n")
    [event] = CliRunner().invoke(app, ["weights", "list", "--json"]).stdout.splitlines()
    assert json.loads(event)["bytes"] == 1_500_000


@pytest.mark.parametrize("command", ["list", "verify"])
def test_no_weights_at_all_is_an_error(folder: Path, command: str) -> None:
    result = CliRunner().invoke(app, ["weights", command])
    assert result.exit_code == 5
    assert "no weights are installed" in result.stderr


def test_damaged_weights_are_found(folder: Path) -> None:
    path = folder / "tiny.safetensors"
    path.write_bytes(b"x" * 100)
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  tiny.safetensors\n")
    result = CliRunner().invoke(app, ["weights", "verify", str(path)])
    assert result.exit_code == 5
    assert "is damaged" in result.stderr


@pytest.mark.weights
def test_the_shipped_weights_are_whole() -> None:
    result = CliRunner().invoke(app, ["weights", "verify"])
    assert result.exit_code == 0
    assert "is whole" in result.stderr
