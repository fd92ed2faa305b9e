"""Standard streams that are closed or full: the work is done, and no file takes their place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import MakeClip
from tests.networks import write_tiny_weights
from vsr_cli.cli.app import app
from vsr_cli.cli.console import open_missing_streams

ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


@pytest.fixture
def folder(tmp_path: Path, make_clip: MakeClip) -> Path:
    write_tiny_weights(tmp_path / "tiny.safetensors")
    make_clip(tmp_path / "in.mp4", num_frames=2, size=(16, 24))
    return tmp_path


def shell(folder: Path, streams: str, *options: str) -> int:
    """The exit code of the command with redirections."""
    command = (
        f"'{sys.executable}' -m vsr_cli upscale in.mp4 out.mkv --model tiny.safetensors "
        f"--device cpu --steps 1 --scale 1 {' '.join(options)} {streams}"
    )
    return subprocess.run(["bash", "-c", command], cwd=folder, env=ENV, check=False).returncode


@pytest.mark.parametrize(
    ("streams", "options", "code"),
    [
        pytest.param("2>&-", [], 0, id="stderr closed"),
        pytest.param("2>/dev/full", ["-v"], 0, id="stderr full"),
        pytest.param("0>&- 1>&- 2>&-", [], 0, id="all closed"),
        pytest.param(">&-", ["--json"], 141, id="stdout closed"),
        pytest.param(">/dev/full", ["--json"], 4, id="stdout full"),
    ],
)
@pytest.mark.slow
def test_the_work_is_done_unless_nobody_can_read_what_was_asked_for(
    folder: Path, streams: str, options: list[str], code: int
) -> None:
    assert shell(folder, streams, *options) == code
    assert (folder / "out.mkv").exists() == (code == 0)


def test_a_video_does_not_get_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    script = (
        "import os, sys; from vsr_cli.cli.console import open_missing_streams as f; os.close(2); "
        "f(); sys.exit(os.open(sys.argv[1], os.O_CREAT))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "video")]
    done = subprocess.run(command, env=ENV, check=False)
    assert done.returncode > 2
    open_missing_streams()  # where none is missing nothing happens


def test_events_are_not_written_to_a_closed_stdout(folder: Path) -> None:
    code = (
        "import sys; sys.stdout = None; from vsr_cli.cli.app import main; "
        "sys.argv = ['vsr', 'probe', 'in.mp4', '--json']; main()"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("command", [["probe"], ["upscale", "--dry-run"]])
def test_whether_a_source_can_be_read_is_found_out_by_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """A source without rights ends as any other that cannot be read: `3`, and an event."""
    monkeypatch.setattr("os.access", lambda *_, **__: False)  # what root is not told
    source = tmp_path / "in.mp4"
    source.write_bytes(b"no video")
    result = CliRunner().invoke(app, [*command, str(source), str(tmp_path / "x.mkv"), "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout.splitlines()[-1])["code"] == "E_INPUT"
