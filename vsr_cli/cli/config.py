"""`vsr config`: what holds for options that are not typed, and where that is written."""

from pathlib import Path
from typing import Annotated

import typer

from vsr_cli import api
from vsr_cli.cli.configured import as_words
from vsr_cli.cli.console import print_line, print_result, printable
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.help import App
from vsr_cli.cli.json_events import report_as_json, write_event
from vsr_cli.cli.options import AsJson
from vsr_cli.cli.progress import print_note

config_app = App(help="Show settings, or begin a file of them.", no_args_is_help=True)

File = Annotated[
    Path | None,
    typer.Option(
        "--config",
        readable=False,
        metavar="FILE",
        help="Another file.",
        show_default="see `vsr config path`",
    ),
]


@config_app.command("show")
def show_config(
    *,
    config: File = None,
    no_config: Annotated[bool, typer.Option("--no-config", help="Read no file.")] = False,
    preset_name: Annotated[
        list[str] | None,
        typer.Option("--preset-name", "-P", metavar="NAME", help="With a preset; repeat."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show each option that is set, and where; options that are typed go before all of them."""
    with report_failures(as_json=as_json):
        found = api.find_settings(
            config,
            presets=preset_name or (),
            has_file=not no_config,
            report=report_as_json if as_json else print_note,
        )
        width = max((len(printable(as_words(setting))) for setting in found.values()), default=0)
        for setting in found.values():
            if as_json:
                values = {"name": setting.name.replace("_", "-"), "value": setting.value}
                values |= {"origin": setting.origin, "place": setting.place}
                write_event("setting", values)
            else:
                print_result(printable(f"{as_words(setting):{width}}  {setting.place}"))
        if as_json:
            return
        presets = [] if no_config else api.preset_names(config)
        if not found:
            print_line("nothing is set: every option has the default that `--help` shows")
        if presets:
            print_line(f"presets: {', '.join(presets)}")


@config_app.command("path")
def show_path() -> None:
    """Print where the file of settings is, or would be."""
    with report_failures():
        path = api.config_path()
        print_result(str(path))
        if not path.exists():
            print_line("it does not exist; `vsr config init` writes one")


@config_app.command("init")
def init_config(*, config: File = None) -> None:
    """Write a file of settings with everything in it as a comment; one that exists is kept."""
    with report_failures():
        path = api.write_config(config)
        print_line(f"wrote `{path}`")
