import functools
import hashlib
import json
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.conftest import MakeClip
from tests.models.mgld.published import NARROW, write_published
from tests.networks import write_tiny_weights
from vsr_cli.cli.app import app
from vsr_cli.models import files
from vsr_cli.models.mgld import convert


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the installation ships, for this test; nothing was imported."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    monkeypatch.setattr(files, "weights_dir", lambda: shipped)
    monkeypatch.setenv("VSR_WEIGHTS_DIR", str(tmp_path / "user"))
    return shipped


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


def test_the_folder_of_imported_weights_and_the_file_of_a_name_are_printed(folder: Path) -> None:
    write_tiny_weights(folder / "tiny.safetensors")
    where = CliRunner().invoke(app, ["weights", "path"])
    assert where.stdout == f"{folder.parent / 'user'}\n"
    file = CliRunner().invoke(app, ["weights", "path", "tiny"])
    assert file.stdout == f"{folder / 'tiny.safetensors'}\n"
    unknown = CliRunner().invoke(app, ["weights", "path", "big"])
    assert unknown.exit_code == 5
    assert "known are tiny" in unknown.stderr


def test_information_is_read_from_the_header(folder: Path) -> None:
    write_tiny_weights(folder / "tiny.safetensors")
    shown = CliRunner().invoke(app, ["weights", "info", "tiny"])
    assert shown.exit_code == 0
    assert "family      small" in shown.stdout
    result = CliRunner().invoke(app, ["weights", "info", "tiny", "--json"])
    event = json.loads(result.stdout)
    assert event["family"] == "small"
    assert event["parameters"] > 1000


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published files may be as narrow as those of the tests."""
    narrowed = functools.partial(convert.import_published, config=NARROW)
    monkeypatch.setattr(convert, "import_published", narrowed)


@pytest.mark.slow
@pytest.mark.usefixtures("narrow")
def test_published_files_are_imported_and_upscale_a_clip(
    folder: Path, tmp_path: Path, make_clip: MakeClip
) -> None:
    run = CliRunner().invoke
    unet, video = (str(path) for path in write_published(tmp_path))
    imported = run(app, ["weights", "import", unet, video, "--name", "narrow", "--json"])
    assert imported.exit_code == 0, imported.stderr
    assert "non-commercial" in imported.stderr
    assert "layers along time" in imported.stderr
    assert "there is no RAFT in the files" in imported.stderr
    assert json.loads(imported.stdout.splitlines()[-1])["type"] == "imported"
    target = tmp_path / "user" / "narrow.safetensors"
    assert target.is_file()
    assert "narrow.safetensors" in run(app, ["weights", "list"]).stdout
    shown = run(app, ["weights", "info", "narrow"]).stdout
    assert "1280x720:" in shown
    assert "unet.ckpt" in shown
    assert run(app, ["weights", "verify", "narrow"]).exit_code == 0

    again = run(app, ["weights", "import", unet, video, "--name", "narrow"])
    assert again.exit_code == 4
    source = make_clip(tmp_path / "in.mkv", num_frames=3, size=(18, 20), codec="ffv1")
    for mode, options in (("default", []), ("parity", ["--motion-scale", "0"])):
        out = tmp_path / f"{mode}.mkv"
        command = ["upscale", "-v", str(source), str(out), "--model", "narrow", "--mgld-mode", mode]
        command += ["--steps", "1", "-c:v", "ffv1", "--device", "cpu", "--dtype", "float32"]
        done = run(app, [*command, *options])
        assert done.exit_code == 0, done.stderr
        assert "model narrow.safetensors, steps 1" in done.stderr
        with av.open(f"file:{out}") as container:
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert np.stack(pictures).shape == (3, 72, 80, 3)
        assert np.stack(pictures).std() > 1


@pytest.mark.usefixtures("folder", "narrow")
def test_a_file_that_is_not_the_published_one_ends_with_exit_code_5(tmp_path: Path) -> None:
    unet, video = write_published(tmp_path)
    video.write_bytes(b"these are not weights")
    result = CliRunner().invoke(app, ["weights", "import", str(unet), str(video)])
    assert result.exit_code == 5
    assert "video.ckpt" in result.stderr
    assert not (tmp_path / "user").exists()


@pytest.mark.weights
def test_the_shipped_weights_are_whole() -> None:
    result = CliRunner().invoke(app, ["weights", "verify"])
    assert result.exit_code == 0
    assert "is whole" in result.stderr


def test_nothing_to_import_is_said() -> None:
    result = CliRunner().invoke(app, ["weights", "import"])
    assert (result.exit_code, "there is nothing to import" in result.stderr) == (2, True)
