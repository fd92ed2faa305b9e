"""`vsr restore`: old and damaged footage at its own size, in one command."""

from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.api import Upscaler
from vsr_cli.cancellation import StopRequest
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.job import Flags, run_job
from vsr_cli.cli.options_all import with_restore_options
from vsr_cli.cli.sources import parse_target
from vsr_cli.options import Options

RESTORE_EXAMPLES = """\b
Examples:
  vsr restore film.mp4 out.mp4 --dirt
  vsr restore tape.avi out.mkv --strength 0.7
"""


@with_restore_options
def restore(
    options: Options,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", readable=False, help="Video to read.")
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET", parser=parse_target, help="Video to write, or a folder for it."
        ),
    ],
    *,
    flags: Flags,
) -> None:
    """Clean a video at its own size: `upscale --scale 1 --on-decode-error fill`."""
    stop = StopRequest()
    with report_failures(verbose=flags.verbose, as_json=flags.as_json, stop=stop):
        upscaler = Upscaler(stop=stop, **options)
        run_job(source, target, upscaler, upscaler.upscale, flags)
