"""How help looks: options in panels by what they are about, the common ones first."""

import re
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import CommandFunctionType

from vsr_cli.errors import ConfigError

# Panels are Typer's, which draws them with Rich; here they are plain text, which takes half of the
# time and shows as much in a narrow terminal, a pager or a pipe.
ARGUMENTS, COMMON, OTHERS = "Arguments", "Common options", "Options"
WIDEST = 10_000  # columns; as wide as the terminal is

_NAMES = frozenset(("FILE", "DIR", "OUT", "PNG"))  # of what options take: files and folders

# Options that most people need, of whatever command, in the order in which they are shown.
COMMON_OPTIONS = (
    *("out", "watch", "scale", "size", "steps", "fps", "model", "vcodec", "crf", "audio"),
    *("start", "to", "duration", "preset_name", "overwrite", "skip_existing", "dry_run"),
)


class App(typer.Typer):
    """A `typer.Typer` whose commands show their help as it is done here."""

    def command(
        self,
        name: str | None = None,
        *,
        cls: type[TyperCommand] | None = None,
        **settings: Any,  # noqa: ANN401  as they are declared there
    ) -> Callable[[CommandFunctionType], CommandFunctionType]:
        """As `typer.Typer.command`."""
        return super().command(name, cls=cls or Command, **settings)


class Command(TyperCommand):
    """A command with its options in panels, which takes no empty name for the folder it is in."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Take the words apart.

        Raises:
            ConfigError: a file or folder has an empty name, as of a variable that is not set.
        """
        if any(word == "" or word.endswith("=") for word in args) and not ctx.resilient_parsing:
            found, _, _ = self.make_parser(ctx).parse_args(args=[*args])
            for parameter in self.params:
                value: Any = found.get(parameter.name)
                names = value if isinstance(value, list | tuple) else [value]
                if _is_name(parameter) and "" in names:
                    _refuse_empty(parameter)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401
        """Write arguments that have to be there without brackets.

        What says itself how often it may come, as `A B [C]`, is not followed by dots.
        """
        pieces = [re.sub(r"^\{(.*)\}", r"\1", it) for it in super().collect_usage_pieces(ctx)]
        return [it.removesuffix("...") if " " in it else it for it in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write arguments, and options in panels."""
        for name, records in panels_of(self, ctx).items():
            with formatter.section(name):
                formatter.write_dl(records)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:  # noqa: ANN401
        """Complete rare options as well, which help does not show."""
        for parameter in self.params:
            parameter.hidden = False  # type: ignore[attr-defined]
        return super().shell_complete(ctx, incomplete)


def _is_name(parameter: Any) -> bool:  # noqa: ANN401
    """Whether a file or folder is named."""
    return parameter.param_type_name == "argument" or parameter.metavar in _NAMES


def _refuse_empty(parameter: Any) -> NoReturn:  # noqa: ANN401
    is_option = parameter.param_type_name == "option"
    what = f"`{max(parameter.opts, key=len)}`" if is_option else str(parameter.metavar)
    raise ConfigError(
        f"the name for {what} is empty",
        hint="check the variable that it comes from; the folder you are in is `.`",
    )


def format_commands(group: TyperGroup, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
    """Write the commands of a group in their panels."""
    panels = dict[str, list[tuple[str, str]]]()
    width = max(map(len, group.commands), default=0)
    for name, command in group.commands.items():
        if not command.hidden:
            text = command.get_short_help_str(max(formatter.width - width - 6, 20))
            panel = getattr(command, "rich_help_panel", None)
            panels.setdefault(panel if isinstance(panel, str) else "Commands", []).append(
                (name, text)
            )
    for panel, rows in panels.items():
        with formatter.section(panel):
            formatter.write_dl([(name.ljust(width), text) for name, text in rows])


def panels_of(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:  # noqa: ANN401
    """What a command takes, as words and what they mean, by panel, in the order to show them."""
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in sorted(command.get_params(ctx), key=_rank):
        if (record := parameter.get_help_record(ctx)) is not None:
            words, text = record[0], _plain_default(record[1])
            if parameter.param_type_name == "argument":
                panels.setdefault(ARGUMENTS, []).append((re.sub(r" <.*>$", "", words), text))
            else:
                panels.setdefault(_panel_of(parameter), []).append((words, text))
    first, last = (ARGUMENTS, COMMON), (OTHERS,)
    names = sorted(panels, key=lambda name: (name not in first, name in last, name != ARGUMENTS))
    return {name: panels[name] for name in names}


def _panel_of(parameter: Any) -> str:  # noqa: ANN401  Typer's own, which has no public name
    """The panel that an option belongs to."""
    panel = getattr(parameter, "rich_help_panel", None)
    if parameter.name in COMMON_OPTIONS and isinstance(panel, str):
        return COMMON
    return panel if isinstance(panel, str) else OTHERS


def _rank(parameter: Any) -> int:  # noqa: ANN401
    """Where an option is shown; those that are not common keep their order."""
    is_common = parameter.name in COMMON_OPTIONS and parameter.param_type_name == "option"
    return COMMON_OPTIONS.index(parameter.name) if is_common else len(COMMON_OPTIONS)


def _plain_default(text: str) -> str:
    """A default in words without the brackets that Typer puts around them."""
    return re.sub(r"\[default: \((.*)\)(; .*)?\]", r"[default: \1\2]", text, flags=re.DOTALL)
