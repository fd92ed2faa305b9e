"""Writes `docs/vsr.1`, the manual page, from the program itself.

python -m docs.make_man
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from vsr_cli import __version__
from vsr_cli.cli.app import app
from vsr_cli.cli.help import ARGUMENTS, panels_of
from vsr_cli.settings import option_types

TARGET = Path(__file__).with_name("vsr.1")
SCRIPTING = Path(__file__).with_name("scripting.md")

OTHERS = f"""\
.SH EXIT STATUS
@EXIT@
.SH ENVIRONMENT
.TP
.B VSR_WEIGHTS_DIR, VSR_CACHE_DIR
Folders of imported weights, and of what can be found again.
.TP
.B VSR_CONFIG
A file of settings in the place of the user's own.
.TP
.B VSR_\\fIOPTION\\fP
The option of a job of that name, as
.B VSR_STEPS
for
.BR \\-\\-steps .
What is typed goes before it. There are {len(option_types())} of them: see
.BR "vsr config init" .
.TP
.B NO_COLOR, OMP_NUM_THREADS, CUDA_VISIBLE_DEVICES
As in other programs.
.SH FILES
.TP
.I ~/.config/vsr/config.toml
Settings and presets; see
.BR "vsr config path" .
.TP
.I TARGET.vsr\\-job
What is done of a job that is unfinished; the same command goes on with it.
"""


def man_page() -> str:
    """The whole of `docs/vsr.1`."""
    root = typer.main.get_command(app)
    context = root.make_context("vsr", [], resilient_parsing=True)
    parts = [
        f'.TH VSR 1 "" "vsr {__version__}" "User Commands"',
        ".SH NAME",
        "vsr \\- upscale and restore real-world video",
        ".SH SYNOPSIS",
        ".B vsr\n.I COMMAND\n[\\fIOPTIONS\\fP] [\\fIARGUMENTS\\fP]",
        ".br\n.B vsr\n.I SOURCE\n[\\fITARGET\\fP]",
        ".SH DESCRIPTION",
        escape(str(root.help)),
        "The network is never touched. Without a command, SOURCE is upscaled.",
        ".SH COMMANDS",
    ]
    for command, name in commands_of(root, context, "vsr"):
        parts += describe(command, name)
    return "\n".join([*parts, OTHERS.replace("@EXIT@", "\n".join(exit_codes()))])


def commands_of(group: Any, context: Any, path: str) -> Iterator[tuple[Any, str]]:  # noqa: ANN401
    """Every command below a group, with all its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, context, f"{path} {name}")
        else:
            yield command, f"{path} {name}"


def describe(command: Any, name: str) -> Iterator[str]:  # noqa: ANN401
    """A command with everything that it takes."""
    context = typer.Context(command, info_name=name)
    yield f'.SS "{escape(name)} {escape(" ".join(command.collect_usage_pieces(context)))}"'
    yield escape(" ".join(str(command.help).split()))
    for parameter in command.params:
        parameter.hidden = False
    for panel, records in panels_of(command, context).items():
        if panel != ARGUMENTS:
            yield f".P\n.I {escape(panel)}"
        for words, text in records:
            yield f".TP\n.B {escape(words)}\n{escape(text)}"
    if command.epilog:
        lines = command.epilog.replace("\b", "").strip().splitlines()
        yield ".P\n.nf\n" + "\n".join(escape(line) for line in lines) + "\n.fi"


def exit_codes() -> Iterator[str]:
    """The table of the SCRIPTING as a list."""
    table = SCRIPTING.read_text(encoding="utf-8").split("| exit code | meaning |\n|---|---|\n")[1]
    for row in table.split("\n\n")[0].splitlines():
        codes, meaning = (cell.strip() for cell in row.strip("|").split("|"))
        yield f".TP\n.B {codes}\n{escape(meaning.replace('`', ''))}"


def escape(text: str) -> str:
    """Text as roff takes it for text."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE).replace("\n\n", "\n.P\n")


if __name__ == "__main__":
    TARGET.write_text(man_page(), encoding="utf-8")
