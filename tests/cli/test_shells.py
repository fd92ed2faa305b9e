"""What `vsr completion` prints completes words in the shells themselves."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vsr_cli.cli.app import app

ROOT = Path(__file__).resolve().parents[2]

# How each shell is asked for what it would show; the script is `_vsr` in the current folder.
BASH = """
source ./_vsr
COMP_WORDS=({line} '{word}'); COMP_CWORD={number}; COMP_LINE="{line} {word}"
$(complete -p vsr | sed 's/.*-F \\([^ ]*\\).*/\\1/') vsr '{word}' {last}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# In `fpath`, as installed: what it is asked first is answered, too.
ZSH = """
fpath=($PWD $fpath)
compdef() {{ : }}
_arguments() {{ print -r -- "$@" }}
words=({line} '{word}') CURRENT=$(({number} + 1))
autoload -Uz _vsr
_vsr
"""
FISH = "source ./_vsr; complete -C '{line} {word}'"
SHELLS = {
    "bash": (["bash", "--norc", "-c"], BASH),
    "zsh": (["zsh", "-f", "-c"], ZSH),
    "fish": (["fish", "--private", "--no-config", "-c"], FISH),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_words_are_completed_in_the_shell_itself(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    program = tmp_path / "vsr"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vsr_cli "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "_vsr").write_text(CliRunner().invoke(app, ["completion", shell]).stdout)
    words, asked = SHELLS[shell]

    def completed(line: str, word: str) -> str:
        given = line.split()
        text = asked.format(line=line, word=word, number=len(given), last=given[-1])
        done = subprocess.run(
            [*words, text], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    commands = completed("vsr", "comp")
    assert "compare" in commands
    assert "completion" in commands
    assert "upscale" not in commands
    assert "flac" in completed("vsr upscale --audio", "f")
