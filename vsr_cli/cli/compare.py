"""`vsr compare`: videos at the same instants, on a page, in a video or in figures."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vsr_cli import api
from vsr_cli.cli.amounts import duration
from vsr_cli.cli.console import print_line, print_result, printable
from vsr_cli.cli.damage import DamageWatch
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import report_as_json
from vsr_cli.cli.options import AsJson, Quiet, Verbose
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.events import Comparison
from vsr_cli.exit_codes import ExitCode
from vsr_cli.stdio import is_stdout

COMPARE_EXAMPLES = """\b
Examples:
  vsr compare in.mp4 out.mp4 -o page.html
  vsr compare a.mp4 b.mp4 -o both.mp4 --mode split --sweep
  vsr compare a.mp4 b.mp4 -o frame.png --at 12.5 --crop 320x180+64+32
  vsr compare truth.mkv ours.mkv theirs.mkv --truth 1 --metrics psnr,ssim
"""


def compare(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="A B [C [D]]", readable=False, help="Videos; the first leads."),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            *("--out", "-o"),
            readable=False,
            metavar="OUT",
            help="`.html` is a page, `.png` a picture, others are videos.",
        ),
    ] = None,
    mode: Annotated[
        Literal["side", "split", "stack", "blink", "heat", "profile"],
        typer.Option(
            help="How a video or picture lays them out; heat: differences of luma; profile: one "
            "line of pixels over time."
        ),
    ] = "side",
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of one picture, for `.png` or `.html`.")
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(metavar="WxH+X+Y", help="The part to look at, in pixels of the largest."),
    ] = None,
    offset: Annotated[
        float, typer.Option(metavar="S", help="Seconds by which all but A are shown later.")
    ] = 0,
    fit: Annotated[
        Literal["bicubic", "nearest"], typer.Option(help="How smaller ones are enlarged.")
    ] = "bicubic",
    every: Annotated[
        float, typer.Option(metavar="S", help="Seconds between changes of `blink`.")
    ] = 0.5,
    gain: Annotated[
        float, typer.Option(metavar="N", help="By how much differences are multiplied.")
    ] = 8,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Move the line of `split` once across.")
    ] = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="psnr, ssim, xpsnr, lpips: against A, or against `--truth`."
        ),
    ] = None,
    truth: Annotated[
        int | None,
        typer.Option(metavar="N", help="Which video is the truth, counted from 1."),
    ] = None,
    lpips_weights: Annotated[
        Path | None, typer.Option(readable=False, metavar="FILE", help="SqueezeNet LPIPS.")
    ] = None,
    per_frame: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="FILE", help="Figures of each frame: .csv or .json."),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="How they are called.", show_default="the files"),
    ] = None,
    most_mb: Annotated[
        float, typer.Option(metavar="N", help="Size of a page above which it shows samples.")
    ] = 40,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace files that exist.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show videos at the same instants, and measure how far they are apart."""
    with report_failures(verbose=verbose, as_json=as_json):
        if as_json and out is not None and is_stdout(out):
            raise ConfigError(
                "standard output cannot hold both video and events", hint="name a file with `-o`"
            )
        damage = DamageWatch()
        with progress_bar(quiet=quiet) as render:
            found = api.compare(
                *sources,
                out=out,
                mode=mode,
                at=at,
                crop=crop,
                offset=offset,
                fit=fit,
                every=every,
                gain=gain,
                sweep=sweep,
                metrics=metrics,
                truth=truth,
                lpips_weights=lpips_weights,
                per_frame=per_frame,
                names=names,
                most_mb=most_mb,
                overwrite=overwrite,
                report=tee(tee(render, report_as_json) if as_json else render, damage),
            )
        if as_json:
            report_as_json(found)
        else:
            _print_means(found)
        if out is not None and not quiet:
            print_line(
                f"wrote `{out}`: {counted(found.frames, 'frame')}, in {duration(found.seconds)}"
            )
        if damage.has_damage:
            raise typer.Exit(ExitCode.SOURCE_DAMAGED)


def _print_means(found: Comparison) -> None:
    """The figures, a line for each video."""
    if not found.means:
        return
    what = "against the truth," if found.is_truth else "difference from"
    print_result(
        printable(f"{what} `{found.reference}`, mean of {counted(found.frames, 'frame')}:")
    )
    for name, figures in found.means.items():
        texts = ", ".join(f"{metric} {value:.4f}" for metric, value in figures.items())
        print_result(printable(f"  {name}: {texts}"))
