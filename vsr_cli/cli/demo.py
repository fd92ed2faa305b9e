"""`vsr demo`: a clip made by code, made small, upscaled, and shown beside the truth."""

import time
from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.api import Upscaler
from vsr_cli.cli.amounts import duration
from vsr_cli.cli.console import print_line, print_result, show_debug_log
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.job import Flags, run
from vsr_cli.cli.options import Device, Steps, Verbose
from vsr_cli.cli.sources import make_folder
from vsr_cli.config import SamplerConfig, UpscaleConfig
from vsr_cli.errors import OutputError


def demo(
    out: Annotated[
        Path,
        typer.Option(readable=False, metavar="DIR", help="Folder to write to; made if missing."),
    ] = Path("demo"),
    *,
    steps: Steps = SamplerConfig.steps,
    device: Device = UpscaleConfig.device,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace what an earlier demo left.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Make a small clip, upscale it, and put the result beside the original."""
    with report_failures(verbose=verbose):
        if verbose:
            show_debug_log()
        from vsr_cli.cli.demo_clip import render_scene, write_comparison, write_small_clip

        started = time.monotonic()
        upscaler = Upscaler(device=device, steps=steps, overwrite=True)
        make_folder(out)
        lr_path, sr_path, picture_path = out / "lr.mp4", out / "sr.mp4", out / "side_by_side.png"
        for path in (lr_path, sr_path, picture_path):
            if path.exists() and not overwrite:
                raise OutputError(f"`{path}` exists", hint="use `-y`, or another `--out`")
        print_line(f"making `{lr_path}`")
        hr_frames = list(render_scene())
        try:
            write_small_clip(lr_path, hr_frames)
        except OSError as error:
            raise OutputError(
                f"`{lr_path}` cannot be written", why=error.strerror, hint="use another `--out`"
            ) from error
        run(lr_path, sr_path, upscaler.upscale, Flags())
        write_comparison(picture_path, lr_path, sr_path, hr_frames)
        print_line(f"took {duration(time.monotonic() - started)}")
        print_result(f"small clip:    {lr_path}")
        print_result(f"upscaled clip: {sr_path}")
        print_result(f"side by side:  {picture_path}  (bicubic, vsr, truth)")
