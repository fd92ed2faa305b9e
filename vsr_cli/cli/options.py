"""Options that several commands have: one spelling, one explanation."""

from typing import Annotated, Literal

import typer

from vsr_cli.cli.complete import complete_device, complete_model
from vsr_cli.config import NUM_TRAIN_TIMESTEPS, DtypeChoice

# Shown by `--help-all` only, so that `--help` stays what one can take in at once.
RARE = {"hidden": True}

Steps = Annotated[
    int | None,
    typer.Option(metavar="N", help="Denoising steps.", show_default="the model's own"),
]
SeveralSteps = Annotated[
    list[int] | None,
    typer.Option(
        metavar="N", min=1, max=NUM_TRAIN_TIMESTEPS, help="Denoising steps; may be repeated."
    ),
]
WholeScale = Literal["1", "2", "4"]  # enlargements that clips are made for
FACTORS: dict[WholeScale, Literal[1, 2, 4]] = {"1": 1, "2": 2, "4": 4}
Fidelity = Annotated[
    float, typer.Option(metavar="W", help="Share of the source's features in the picture, 0 to 1.")
]
MotionScale = Annotated[
    float, typer.Option(metavar="X", help="Pull along the motion, 0 to 10; 0 is off.")
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Weights: a file, or a name of `vsr weights list`.",
        show_default="the shipped ones",
        autocompletion=complete_model,
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.", autocompletion=complete_device),
]
Dtype = Annotated[
    DtypeChoice,
    typer.Option(
        "--dtype", "--precision", help="Number format of networks; int8: of convolutions."
    ),
]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", "-n", help="Succeed if TARGET exists.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and say, write nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Events on stdout, as NDJSON.")]
ProgressFile = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Events as NDJSON into a file, or `fd:N`, an open one.", **RARE
    ),
]
ResultAsJson = Annotated[bool, typer.Option("--json", help="The result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only notes and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
