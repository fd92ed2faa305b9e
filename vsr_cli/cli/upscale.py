"""`vsr upscale`: options become an `UpscaleConfig`, the pipeline does the work."""

from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.api import Upscaler
from vsr_cli.cancellation import StopRequest
from vsr_cli.cli.console import print_line
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.job import Flags, run_job
from vsr_cli.cli.options_all import with_live_options
from vsr_cli.cli.sources import name_beside
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
            readable=False,
            help="Video to write.",
            show_default="beside SOURCE, named by size",
        ),
    ] = None,
    *,
    flags: Flags,
) -> None:
    """Upscale the video SOURCE and write it to TARGET, sound and timing kept."""
    stop = StopRequest()
    with report_failures(verbose=flags.verbose, as_json=flags.has_events, stop=stop):
        upscaler = Upscaler(stop=stop, **options)
        if target is None:
            target = name_beside(source, upscaler.config)
            if not flags.quiet:
                print_line(f"writing `{target}`")
        run_job(source, target, upscaler, upscaler.upscale, flags)
