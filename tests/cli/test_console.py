"""What people read on standard error."""

import pytest

from vsr_cli.cli.console import print_line


def test_lines_for_people_neither_steer_a_terminal_nor_forge_other_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_line("wrote `a\x1b[31m\nerror: forged\x07\x9b.mp4`")
    assert capsys.readouterr().err == "wrote `a\\x1b[31m\\nerror: forged\\x07\\x9b.mp4`\n"


def test_letters_of_every_script_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_line("`Übung 日本 é.mp4`")
    assert capsys.readouterr().err == "`Übung 日本 é.mp4`\n"
