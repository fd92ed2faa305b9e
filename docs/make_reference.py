"""Writes `docs/reference.md`, every command with every option, from the program itself.

python -m docs.make_reference
"""

import re
from pathlib import Path
from typing import Any

import typer.main

from vsr_cli.cli.app import app

TARGET = Path(__file__).with_name("reference.md")

HEAD = """\
# Every command and option

<!-- Written by `make docs` from the program. -->

What a command prints with `--help-all`, rare options included.
"""


def reference_page() -> str:
    """The whole of `docs/reference.md`."""
    return "\n".join([HEAD, *_sections(typer.main.get_command(app), "vsr", [])])


def _sections(command: Any, name: str, parents: list[Any]) -> list[str]:  # noqa: ANN401
    """A section for a command, or for each of a group; Typer does not export their types."""
    context = command.context_class(
        command, info_name=name, parent=parents[-1] if parents else None
    )
    if hasattr(command, "commands"):
        parts = [_text(command.help)] if parents else []
        head = [f"## `{context.command_path}`", "", *parts, ""] if parents else []
        found = command.commands.items()
        below = [_sections(sub, sub_name, [*parents, context]) for sub_name, sub in found]
        return [*head, *(line for lines in below for line in lines)]
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## `{context.command_path}`", "", f"    {context.command_path} {usage}", ""]
    lines += [_text(command.help), ""]
    rows = [row for parameter in command.get_params(context) if (row := _row(parameter, context))]
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    return lines


def _row(parameter: Any, context: Any) -> str | None:  # noqa: ANN401
    """A row of the table of options; None for what every command has."""
    parameter.hidden = False
    record = parameter.get_help_record(context)
    if record is None or parameter.name in {"help", "help_all"}:
        return None
    names, meaning = (_cell(text) for text in record)
    return f"| `{names}` | {meaning} |"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def _text(help_text: str | None) -> str:
    """What a command is for, and its examples as a block of code."""
    said, _, examples = (help_text or "").partition("\b\n")
    said = re.sub(r"\n(?!\n)", " ", said).strip()
    if not examples:
        return said
    return f"{said}\n\n" + "\n".join(f"    {line.strip()}" for line in examples.splitlines()[1:])


if __name__ == "__main__":
    TARGET.write_text(reference_page(), encoding="utf-8")
