"""Writes `docs/reference.md`, every command with every option, from the program itself.

python -m docs.make_reference
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from docs.make_man import commands_of
from vsr_cli.cli.app import app
from vsr_cli.cli.help import panels_of

TARGET = Path(__file__).with_name("reference.md")

HEAD = """\
# Every command and option

<!-- Written by `make docs` from the program. -->

What commands print with `--help-all`, rare options included.
"""


def reference_page() -> str:
    """The whole of `docs/reference.md`."""
    root = typer.main.get_command(app)
    context = root.make_context("vsr", [], resilient_parsing=True)
    lines = [HEAD]
    for command, name in commands_of(root, context, "vsr"):
        lines += describe(command, name)
    return "\n".join(lines)


def describe(command: Any, name: str) -> Iterator[str]:  # noqa: ANN401  Typer's own, not public
    """A section about a command: how it is called, what it takes, and examples."""
    context = typer.Context(command, info_name=name)
    yield f"## `{name}`\n"
    yield f"    {name} {' '.join(command.collect_usage_pieces(context))}\n"
    yield " ".join(str(command.help).split()) + "\n"
    for parameter in command.params:
        parameter.hidden = False
    for panel, records in panels_of(command, context).items():
        yield f"| {panel} | |\n|---|---|"
        for words, text in records:
            yield f"| `{_cell(words)}` | {_cell(text)} |"
        yield ""
    if command.epilog:
        _, *examples = command.epilog.replace("\b", "").strip().splitlines()
        yield "\n".join(f"    {line.strip()}" for line in examples) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(reference_page(), encoding="utf-8")
