from pathlib import Path

import pytest

from vsr_cli.cli.command_line import command_to_go_on, from_here, with_command
from vsr_cli.config import UpscaleConfig


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["upscale", "a b.mp4", "out.mp4"], "vsr upscale 'a b.mp4' out.mp4"),
        (["upscale", "--fresh", "in.mp4", "-y"], "vsr upscale in.mp4 -y"),
        (["upscale", "--", "--fresh", "out.mp4"], "vsr upscale -- --fresh out.mp4"),
    ],
)
def test_what_is_done_is_gone_on_with_and_never_begun_anew(words: list[str], command: str) -> None:
    assert command_to_go_on(words) == command


def test_a_job_knows_where_it_was_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "two words"
    there.mkdir()
    monkeypatch.chdir(there)
    monkeypatch.setattr("sys.argv", ["vsr", "upscale", "in.mp4", "out.mp4", "--fresh"])
    command = str(with_command(UpscaleConfig()).job.command)
    assert from_here(command) == "vsr upscale in.mp4 out.mp4"
    monkeypatch.chdir(tmp_path)
    assert from_here(command) == command == f"cd '{there}' && vsr upscale in.mp4 out.mp4"
