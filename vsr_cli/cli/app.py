"""The root command: puts the others together."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.cli.batch import BATCH_EXAMPLES, batch
from vsr_cli.cli.bench import bench
from vsr_cli.cli.compare import COMPARE_EXAMPLES, compare
from vsr_cli.cli.completion import completion
from vsr_cli.cli.config import config_app
from vsr_cli.cli.console import open_missing_streams, print_result, printable
from vsr_cli.cli.degrade import degrade
from vsr_cli.cli.demo import demo
from vsr_cli.cli.doctor import doctor
from vsr_cli.cli.erase import ERASE_EXAMPLES, erase
from vsr_cli.cli.evaluate import evaluate
from vsr_cli.cli.export import EXPORT_EXAMPLES, export
from vsr_cli.cli.fill import FILL_EXAMPLES, fill
from vsr_cli.cli.help import WIDEST, App
from vsr_cli.cli.jobs import jobs_app
from vsr_cli.cli.preview import PREVIEW_EXAMPLES, preview
from vsr_cli.cli.probe import probe
from vsr_cli.cli.restore import RESTORE_EXAMPLES, restore
from vsr_cli.cli.upscale import EXAMPLES, upscale
from vsr_cli.cli.usage import Commands
from vsr_cli.cli.weights import weights_app

app = App(
    name="vsr",
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
    pretty_exceptions_enable=False,  # `report_failures` says what there is to say
    rich_markup_mode=None,  # plain text
)
_VIDEOS, _LOOKS, _MEASURES, _KEEPS = "Videos", "A look at things", "Measuring", "Setting up"
app.command(epilog=EXAMPLES, rich_help_panel=_VIDEOS)(upscale)
app.command(epilog=BATCH_EXAMPLES, rich_help_panel=_VIDEOS)(batch)
app.command(epilog=RESTORE_EXAMPLES, rich_help_panel=_VIDEOS)(restore)
app.command(epilog=FILL_EXAMPLES, rich_help_panel=_VIDEOS)(fill)
app.command(epilog=ERASE_EXAMPLES, rich_help_panel=_VIDEOS)(erase)
app.command(epilog=PREVIEW_EXAMPLES, rich_help_panel=_LOOKS)(preview)
app.command(epilog=COMPARE_EXAMPLES, rich_help_panel=_LOOKS)(compare)
app.command(rich_help_panel=_LOOKS)(probe)
app.command(rich_help_panel=_LOOKS)(demo)
app.command(rich_help_panel=_LOOKS)(doctor)
app.command(rich_help_panel=_MEASURES)(evaluate)
app.command(rich_help_panel=_MEASURES)(degrade)
app.command(rich_help_panel=_MEASURES)(bench)
app.command(epilog=EXPORT_EXAMPLES, rich_help_panel=_KEEPS)(export)
app.add_typer(weights_app, name="weights", rich_help_panel=_KEEPS)
app.add_typer(jobs_app, name="jobs", rich_help_panel=_KEEPS)
app.add_typer(config_app, name="config", rich_help_panel=_KEEPS)
app.command(rich_help_panel=_KEEPS)(completion)


def main() -> None:
    """Entry point of the `vsr` script."""
    open_missing_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until a command has something to tidy up
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 has no other way to ask for errors only
    app(args=with_command(sys.argv[1:]), prog_name="vsr")


def with_command(words: list[str]) -> list[str]:
    """Take `vsr in.mp4` for `vsr upscale in.mp4`: a file in the place of a command is upscaled.

    What cannot be a command is taken for one that is missing, and an address for a file; `-` is
    stdin, and what follows `--` is a file whatever it is called.
    """
    functions = (command.callback for command in app.registered_commands)
    names = {function.__name__ for function in functions if function is not None}
    names |= {str(group.name) for group in app.registered_groups}
    if words[:1] == ["-"] or (words[:1] == ["--"] and words[1:2] and words[1] not in names):
        return ["upscale", *words]
    if words and words[0] not in names and not words[0].startswith("-"):
        is_path = "." in words[0] or "/" in words[0]
        if is_path or Path(words[0]).exists():
            return ["upscale", *words]
    return words


def _print_version(wanted: bool) -> None:
    if wanted:
        from vsr_cli.cli.versions import version_lines

        for line in version_lines():
            print_result(printable(line))
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print versions.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Upscale real-world video: sharp, faithful and steady, with sound and timing kept."""
