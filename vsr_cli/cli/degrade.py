"""`vsr degrade`: the kind of small clip that users bring, made of a good one."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vsr_cli import api
from vsr_cli.cli.damage import DamageWatch
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import report_as_json
from vsr_cli.cli.options import FACTORS, AsJson, WholeScale
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.exit_codes import ExitCode

Level = Literal["clean", "mild", "heavy", "mixed"]

MOST_FRAMES = 1000


def degrade(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", readable=False, help="Video to read.")
    ],
    target: Annotated[
        Path, typer.Argument(readable=False, metavar="TARGET", help="Video to write, `.mkv`.")
    ],
    *,
    level: Annotated[
        Level,
        typer.Option(
            help="clean only shrinks; mild and heavy blur, add noise and compress; mixed draws one."
        ),
    ] = "mild",
    scale: Annotated[
        WholeScale,
        typer.Option(
            *("--scale", "-s"), metavar="1|2|4", help="How much smaller it becomes, per side."
        ),
    ] = "4",
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**63 - 1, help="Same seed, same clip.")
    ] = 0,
    num_frames: Annotated[
        int,
        typer.Option(
            "--frames", metavar="N", min=1, max=MOST_FRAMES, help="Taken from the start, at most."
        ),
    ] = 100,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace TARGET.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a smaller, degraded clip of SOURCE, without sound, and write it losslessly."""
    with report_failures(as_json=as_json):
        damage = DamageWatch()
        with progress_bar(quiet=False) as render:
            api.degrade(
                source,
                target,
                level=level,
                scale=FACTORS[scale],
                seed=seed,
                num_frames=num_frames,
                overwrite=overwrite,
                report=tee(tee(render, report_as_json) if as_json else render, damage),
            )
        if damage.has_damage:
            raise typer.Exit(ExitCode.SOURCE_DAMAGED)
