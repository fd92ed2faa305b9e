"""Help is in panels, the common options first, as wide as the terminal, and tells true defaults."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vsr_cli.cli.app import app
from vsr_cli.cli.complete import complete_encoder, complete_model, complete_preset
from vsr_cli.config import UpscaleConfig

ROOT = Path(__file__).resolve().parents[2]


def shown(*words: str) -> str:
    result = CliRunner().invoke(app, [*words])
    assert result.exit_code == 0
    return result.stdout


def panels(text: str) -> dict[str, str]:
    """The text below each headline."""
    parts = re.split(r"^([A-Z][a-z ]+):$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("command", ["upscale", "restore", "batch", "fill", "erase"])
def test_common_options_come_first_and_each_option_once(command: str) -> None:
    found = panels(shown(command, "--help-all"))
    assert list(found)[:2] == ["Arguments", "Common options"]
    assert list(found)[-1] == "Options"
    assert {"Source", "Target", "Unfinished work"} < set(found)
    options = re.findall(r"^  (?:-\S+, )*(--[a-z-]+)", "\n".join(found.values()), re.MULTILINE)
    assert len(options) == len(set(options)) > 40
    assert "--overwrite" in found["Common options"]
    assert "--job-dir" in found["Unfinished work"]


@pytest.mark.parametrize("columns", [60, 120])
def test_lines_are_as_long_as_the_terminal_is_wide(columns: int) -> None:
    command = [sys.executable, "-m", "vsr_cli", "upscale", "--help-all"]
    environment = {**os.environ, "COLUMNS": str(columns)}
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    longest = max(map(len, run.stdout.splitlines()))
    assert columns - 10 < longest <= columns


def test_defaults_are_those_that_hold() -> None:
    upscale, restore = (
        " ".join(shown(name, "--help-all").split()) for name in ("upscale", "restore")
    )
    assert f"such as 1.5 or 3/2. [default: {UpscaleConfig.scale}]" in upscale
    assert "such as 1.5 or 3/2. [default: 1]" in restore
    assert "[default: the model's own]" in upscale
    assert "[default: (" not in upscale


def test_usage_says_what_may_be_left_out() -> None:
    assert shown("upscale", "-h").startswith("Usage: vsr upscale [OPTIONS] SOURCE [TARGET]\n")
    assert shown("batch", "-h").startswith("Usage: vsr batch [OPTIONS] [SOURCE]...\n")
    assert shown("preview", "-h").startswith("Usage: vsr preview [OPTIONS] SOURCE [OUT]\n")
    assert shown("compare", "-h").startswith("Usage: vsr compare [OPTIONS] A B [C [D]]\n")


def test_arguments_are_explained_in_the_order_in_which_they_are_typed() -> None:
    explained = panels(shown("preview", "-h"))["Arguments"]
    assert re.findall(r"^  ([A-Z]+) ", explained, re.MULTILINE) == ["SOURCE", "OUT"]


def test_commands_are_in_panels_and_none_is_missing() -> None:
    found = panels(shown("-h"))
    assert list(found)[:2] == ["Options", "Videos"]
    names = re.findall(r"^  ([a-z]+) ", "\n".join(list(found.values())[1:]), re.MULTILINE)
    commands = {str(group.name) for group in app.registered_groups}
    commands |= {c.callback.__name__ for c in app.registered_commands if c.callback is not None}
    assert set(names) == commands
    assert len(names) == len(commands)


def complete(line: str) -> list[str]:
    words = line.split(" ")
    environment = {
        "_VSR_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    return CliRunner().invoke(app, prog_name="vsr", env=environment).stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("vsr res", ["restore"]),
        ("vsr upscale --audio ", ["copy", "none", "aac", "flac"]),
        ("vsr upscale --dtype bf", ["bfloat16"]),
        ("vsr upscale -c:v libx265", ["libx265"]),
        ("vsr upscale --size 10", ["1080p"]),
        ("vsr upscale --preset veryf", ["veryfast"]),
        ("vsr batch --chunk", ["--chunk-length"]),
        ("vsr upscale -f mat", ["matroska"]),
        ("vsr completion f", ["fish"]),
    ],
)
def test_words_are_completed(line: str, words: list[str]) -> None:
    assert [word for word in complete(line) if not word.startswith("bf16")] == words


def test_names_of_models_encoders_and_presets_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "mine.safetensors").touch()
    (tmp_path / "c.toml").write_text("[preset.phone]\n[preset.film]")
    monkeypatch.setenv("VSR_WEIGHTS_DIR", str(folder))
    monkeypatch.setenv("VSR_CONFIG", str(tmp_path / "c.toml"))
    assert complete_model("mi") == ["mine"]
    assert complete_encoder("prores") == ["prores", "prores_aw", "prores_ks"]
    assert "aac" not in complete_encoder("")
    assert complete_preset("f") == ["film"]
    (tmp_path / "c.toml").write_text("nonsense")
    assert complete_preset("f") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_gets_what_it_needs(shell: str) -> None:
    script = shown("completion", shell)
    assert "_VSR_COMPLETE" in script
    assert f"complete_{shell}" in script
