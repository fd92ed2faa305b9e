"""`vsr upscale`: options become an `UpscaleConfig`, the pipeline does the work."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.api import Upscaler
from vsr_cli.cancellation import StopRequest
from vsr_cli.cli.command_line import as_operand
from vsr_cli.cli.console import print_line
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.job import Flags, run_job
from vsr_cli.cli.options_all import with_live_options
from vsr_cli.cli.sources import name_beside, parse_target
from vsr_cli.config import UpscaleConfig
from vsr_cli.options import Options

EXAMPLES = """\b
Examples:
  vsr upscale in.mp4 out.mp4
  vsr in.mp4
  vsr upscale in.avi out.mkv --steps 50 --scale 2
  vsr upscale in.mp4 - | mpv -
  vsr upscale -n --json -- -odd-name.mov out.mp4
"""


@with_live_options
def upscale(
    options: Options,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", readable=False, help="Video to read.")
    ],
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="TARGET",
            parser=parse_target,
            help="Video to write, or a folder for it.",
            show_default="beside SOURCE, named by size",
        ),
    ] = None,
    *,
    flags: Flags,
) -> None:
    """Upscale the video SOURCE and write it to TARGET, sound and timing kept."""
    stop = StopRequest()
    with report_failures(verbose=flags.verbose, as_json=flags.as_json, stop=stop):
        upscaler = Upscaler(stop=stop, **options)
        if target is None:
            target = name_beside(source, upscaler.config)
            if not flags.quiet:
                print_line(f"writing `{target}`")
        target = run_job(source, target, upscaler, upscaler.upscale, flags)
        if not (flags.quiet or flags.dry_run) and _can_be_compared(source, target, upscaler.config):
            page = as_operand(target.with_suffix(".html"))
            both = [as_operand(source), as_operand(target)]
            words = shlex.join(["vsr", "compare", *both, "-o", page])
            print_line(f"to see both: `{words}`")


def _can_be_compared(source: Path, target: Path, config: UpscaleConfig) -> bool:
    """Whether both are files that begin with the same frame."""
    reading = config.input
    is_whole = reading.start is None and reading.frames is None and reading.format is None
    return is_whole and source.is_file() and target.is_file()
