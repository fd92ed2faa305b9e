"""Commands that run jobs share all options of a job; here they get them."""

import functools
import inspect
from collections.abc import Callable, Mapping
from copy import copy
from typing import Annotated, Concatenate, ParamSpec, cast, get_args

import typer

from vsr_cli.cli.configured import configured_options, say_untyped
from vsr_cli.cli.help import OTHERS
from vsr_cli.cli.job import Flags
from vsr_cli.cli.options_input import input_options
from vsr_cli.cli.options_job import (
    job_options,
    live_options,
    shard_options,
    worker_options,
)
from vsr_cli.cli.options_model import model_options
from vsr_cli.cli.options_output import output_options
from vsr_cli.cli.options_repair import erase_options, fill_options
from vsr_cli.options import Options

P = ParamSpec("P")


def _print_all_help(context: typer.Context, wanted: bool) -> None:
    if wanted:
        for option in context.command.params:
            option.hidden = False  # type: ignore[attr-defined]  # arguments have it, too
        typer.echo(context.get_help())
        raise typer.Exit


HelpAll = Annotated[
    bool,
    typer.Option(
        "--help-all", help="Show rare options as well.", callback=_print_all_help, is_eager=True
    ),
]


# What the options that a function declares are about, as help says it.
PANELS: Mapping[Callable[..., None], str] = {
    model_options: "Picture",
    input_options: "Source",
    output_options: "Target",
    erase_options: "Taken out",
    fill_options: "Made anew",
    job_options: "Unfinished work",
    worker_options: "Several at work",
    shard_options: "Several at work",
    live_options: "Live sources",
}
_FLAGS = tuple(inspect.signature(Flags).parameters.values())


def with_options(
    *declarations: Callable[..., None], defaults: Mapping[str, object] | None = None
) -> Callable[[Callable[Concatenate[Options, P], None]], Callable[..., None]]:
    """Add options to a command, whose first parameter takes them, as they were typed.

    A keyword `flags` of the command becomes the flags that `Flags` declares. What is not typed may
    come from the environment, a preset or a file.

    Args:
        declarations: functions whose parameters are the options.
        defaults: of options, by name, in the place of those that are declared; they make the
            command what it is, and nothing but the command line changes them.
    """
    shared = {
        name: _in_panel(parameter, PANELS.get(declare, OTHERS))
        for declare in declarations
        for name, parameter in inspect.signature(declare).parameters.items()
    }
    for name, default in (defaults or {}).items():
        shared[name] = _with_default(shared[name], default)

    def decorate(command: Callable[Concatenate[Options, P], None]) -> Callable[..., None]:
        own = list(inspect.signature(command).parameters.values())[1:]
        flags = [p for p in _FLAGS if any(parameter.name == "flags" for parameter in own)]
        own = [*(parameter for parameter in own if parameter.name != "flags"), *flags]
        help_all = inspect.Parameter(
            "help_all", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=HelpAll
        )
        parameters = [
            *(parameter for parameter in own if parameter.kind != parameter.KEYWORD_ONLY),
            *shared.values(),
            *(_in_panel(p, OTHERS) for p in own if p.kind == p.KEYWORD_ONLY),
            *(_in_panel(p, OTHERS) for p in configured_options(set(defaults or {}))),
            help_all,
        ]

        @functools.wraps(command)
        def decorated(*args: P.args, **kwargs: P.kwargs) -> None:
            say_untyped(kwargs)
            options = {name: kwargs.pop(name) for name in shared if name in kwargs}
            if flags:
                given = {p.name: kwargs.pop(p.name) for p in flags if p.name in kwargs}
                kwargs["flags"] = Flags(**given)  # type: ignore[arg-type]
            command(cast(Options, options), *args, **kwargs)

        signature = inspect.Signature(parameters)
        decorated.__signature__ = signature  # type: ignore[attr-defined]
        decorated.__annotations__ = {p.name: p.annotation for p in parameters}
        return decorated

    return decorate


def _in_panel(parameter: inspect.Parameter, panel: str) -> inspect.Parameter:
    """An option that help shows in a panel."""
    kind, option = get_args(parameter.annotation)
    option = copy(option)
    option.rich_help_panel = panel
    return parameter.replace(annotation=Annotated[kind, option])


def _with_default(parameter: inspect.Parameter, default: object) -> inspect.Parameter:
    """An option with another default, which is shown as it is."""
    if default is None:
        return parameter
    kind, option = get_args(parameter.annotation)
    option = copy(option)
    option.show_default = True
    return parameter.replace(default=default, annotation=Annotated[kind, option])


_OF_JOBS = (model_options, input_options, output_options, job_options, erase_options)
with_job_options = with_options(*_OF_JOBS)
with_batch_options = with_options(*_OF_JOBS, worker_options)
with_live_options = with_options(*_OF_JOBS, worker_options, shard_options, live_options)
_RESTORING = {"scale": "1", "size": None, "height": None, "on_decode_error": "fill"}
with_restore_options = with_options(*_OF_JOBS, worker_options, shard_options, defaults=_RESTORING)
