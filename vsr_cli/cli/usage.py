"""What was typed wrong, said in one line with a hint: unknown commands, options and values."""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from vsr_cli.cli.failures import FailureReport
from vsr_cli.cli.ffmpeg_options import explain_ffmpeg_option, refuse_ffmpeg_options
from vsr_cli.cli.help import format_commands
from vsr_cli.cli.signals import Signals
from vsr_cli.errors import ConfigError, VsrError, did_you_mean, find_nearest


class Commands(TyperGroup):
    """The commands, with errors of usage in the form of all others, and exit code 2."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the commands in their panels."""
        format_commands(self, ctx, formatter)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,  # noqa: ANN401  as it is declared above
    ) -> Any:  # noqa: ANN401
        """Run the command that is named, and end the program."""
        words = list(sys.argv[1:] if args is None else args)
        try:
            refuse_ffmpeg_options(words)
            code = super().main(words, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.TyperException as error:
            if "\n" in error.format_message():  # a command without arguments shows its help
                typer.echo(error.format_message(), err=True)
                sys.exit(error.exit_code)
            sys.exit(_explain(_usage_error(error, self.commands, words), words))
        except ConfigError as error:
            sys.exit(_explain(error, words))
        except typer.Abort:
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _explain(error: VsrError, words: Sequence[str]) -> int:
    is_json = "--json" in words
    return FailureReport(Signals(None), verbose=False, as_json=is_json).explain(error)


def _usage_error(
    error: typer.TyperException, commands: Mapping[str, Any], words: Sequence[str]
) -> ConfigError:
    """The same in our words, whatever kind of error it is."""
    message, context = error.message, getattr(error, "ctx", None)
    command = context.command_path if context else _command_of(words, commands)
    usage = f"see `{command} --help`"
    if hasattr(error, "possibilities"):
        return _unknown_option(str(getattr(error, "option_name", "")), context, usage, words)
    if unknown := re.match(r"No such command '(.*?)'\.(?: Did you mean|$)", message):
        known = list(context.command.commands if context else commands)
        return ConfigError(
            f"there is no command `{unknown[1]}`", hint=_ask(command, unknown[1], known, usage)
        )
    parameter = getattr(error, "param", None)
    name = max(getattr(parameter, "opts", ()) or ("",), key=len)
    if choice := re.search(r"'(.*)' is not one of (.*?)\.?$", message):
        choices = re.findall(r"'([^']*)'", choice[2])
        return ConfigError(
            f"`{name} {choice[1]}` is not known",
            hint=did_you_mean(choice[1], choices, "use one of " + ", ".join(choices)),
        )
    if number := re.search(r"should be a valid (integer|number)", message):
        kind = "a whole number" if number[1] == "integer" else "a number"
        return ConfigError(f"invalid value for `{name}`: it takes {kind}", hint=usage)
    text = error.format_message().replace("'", "`").rstrip(".")
    return ConfigError(text[:1].lower() + text[1:], hint=usage)


def _command_of(words: Sequence[str], commands: Mapping[str, Any]) -> str:
    """The command that is called, where an error does not tell; all of it for one of a group."""
    path = "vsr"
    for word in words:
        if word not in commands:
            break
        path, commands = f"{path} {word}", getattr(commands[word], "commands", {})
    return path


def _ask(command: str, word: str, known: Sequence[str], usage: str) -> str:
    nearest = find_nearest(word, known)
    return f"did you mean `{command} {nearest}`? or {usage}" if nearest else usage


def _unknown_option(
    name: str,
    context: Any,  # noqa: ANN401  Typer's own, which has no public name for its parts
    usage: str,
    words: Sequence[str],
) -> ConfigError:
    if found := explain_ffmpeg_option(name, words):
        return found
    parameters = context.command.params if context else ()
    known = [
        option
        for parameter in parameters
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    ]
    has_more = "--help-all" in known
    usage = usage.replace("--help`", "--help-all`") if has_more else usage
    hint = did_you_mean(name, known, usage) if name.startswith("--") else usage
    return ConfigError(f"there is no option `{name}`", hint=hint)
