"""Commands that run jobs share all options of a job; here they get them."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Concatenate, ParamSpec

import typer

from vsr_cli.cli.options_input import input_config
from vsr_cli.cli.options_job import job_config
from vsr_cli.cli.options_model import upscale_config
from vsr_cli.cli.options_output import output_config
from vsr_cli.config import UpscaleConfig

MakeConfig = Callable[[], UpscaleConfig]
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


def with_job_options(
    command: Callable[Concatenate[MakeConfig, P], None],
) -> Callable[..., None]:
    """Add the options of a job to a command.

    Its first parameter is the function that makes an `UpscaleConfig` of them. The command calls it
    where errors are told to the user, since a bad value raises `ConfigError`.
    """
    own = list(inspect.signature(command).parameters.values())[1:]
    source = _options(input_config)
    output, model = _options(output_config), _options(upscale_config)
    job = _options(job_config)
    help_all = inspect.Parameter(
        "help_all", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=HelpAll
    )
    parameters = [
        *(parameter for parameter in own if parameter.kind != parameter.KEYWORD_ONLY),
        *model.values(),
        *source.values(),
        *output.values(),
        *job.values(),
        *(parameter for parameter in own if parameter.kind == parameter.KEYWORD_ONLY),
        help_all,
    ]

    @functools.wraps(command)
    def with_config(*args: P.args, **kwargs: P.kwargs) -> None:
        kwargs.pop("help_all", None)
        of_source = {name: kwargs.pop(name) for name in source if name in kwargs}
        of_output = {name: kwargs.pop(name) for name in output if name in kwargs}
        of_job = {name: kwargs.pop(name) for name in job if name in kwargs}
        of_model = {name: kwargs.pop(name) for name in model if name in kwargs}

        def make_config() -> UpscaleConfig:
            config = upscale_config(output_config(**of_output), **of_model)  # type: ignore[arg-type]
            return replace(
                config,
                input=input_config(**of_source),  # type: ignore[arg-type]
                job=job_config(**of_job),  # type: ignore[arg-type]
            )

        command(make_config, *args, **kwargs)

    with_config.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_config.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_config


def _options(builder: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a function that makes a config."""
    parameters = inspect.signature(builder).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind == parameter.KEYWORD_ONLY
    }
