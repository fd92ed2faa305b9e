"""`vsr evaluate`: restorers measured against the truth, in one table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vsr_cli import api
from vsr_cli.cli.configured import with_settings
from vsr_cli.cli.console import print_line, print_result
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.options import (
    FACTORS,
    Device,
    Dtype,
    Fidelity,
    Model,
    MotionScale,
    ResultAsJson,
    SeveralSteps,
    WholeScale,
)
from vsr_cli.config import SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError, OutputError
from vsr_cli.events import Event, Note, Progress

if TYPE_CHECKING:
    from vsr_cli.quality.repair_table import RepairTable
    from vsr_cli.quality.table import Table

Task = Literal["upscale", "restore", "erase", "fill"]


def _has_no_model(typed: Mapping[str, object]) -> bool:
    return typed.get("task") in ("erase", "fill")


@with_settings(
    *("model", "device", "dtype", "steps", "motion_scale", "fidelity"), unless=_has_no_model
)
def evaluate(
    folder: Annotated[
        Path, typer.Argument(readable=False, metavar="DIR", help="Clips that count as the truth.")
    ],
    *,
    task: Annotated[
        Task,
        typer.Option(
            help="restore: clips with one known defect each, at the truth's own size; erase, fill: "
            "clips with holes, or without some frames."
        ),
    ] = "upscale",
    scale: Annotated[
        WholeScale | None,
        typer.Option(
            *("--scale", "-s"),
            metavar="1|2|4",
            help="By how much inputs are smaller than the truth, per side.",
            show_default="4, or 1 to restore",
        ),
    ] = None,
    steps: SeveralSteps = None,
    latents: Annotated[
        str | None,
        typer.Option(
            metavar="zero|true|noisy:S",
            help="Give the decoder zeros, the encoder's latents of the truth, or these with noise "
            "of deviation S, instead of sampled ones: is a fault the decoder's or the sampler's?",
        ),
    ] = None,
    level: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="clean, mild or heavy; to restore noise10, noise15, noise25, crf34, crf38, "
            "blur9, mix or clean; to erase logo, object, dirt or text; to fill gap1 or gap3; or a "
            "KIND of `--lr`; may be repeated.",
            show_default="all",
        ),
    ] = None,
    num_frames: Annotated[
        int, typer.Option("--frames", min=2, metavar="N", help="Taken from each clip.")
    ] = 12,
    lr: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="DIR",
            help="Inputs CLIP_KIND.mkv, used instead of degrading the truth.",
        ),
    ] = None,
    write_lr: Annotated[
        Path | None,
        typer.Option(
            *("--write-lr", "--lr-dir"),
            readable=False,
            metavar="DIR",
            help="Where to write the inputs first, as CLIP_LEVEL.mkv, for other tools.",
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR",
            help="Another tool's results, CLIP_LEVEL.mkv or folders of PNG; may be repeated.",
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:KEY=VALUE,...",
            help="The model with other settings: steps, motion_scale, guidance (bounded, paper), "
            "fidelity, supersample (on, off), color, memory (warped, still, off), flow_weights, "
            "latents; may be repeated.",
        ),
    ] = None,
    sharpen: Annotated[
        bool,
        typer.Option(
            "--sharpen",
            help="Add Lanczos with an unsharp mask. Its amount is chosen with the help of the "
            "truth, so that its LPIPS is that of the model: what to compare steadiness with.",
        ),
    ] = False,
    lpips_weights: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="FILE", help="SqueezeNet LPIPS, for the perceptual columns."
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="DIR", help="Where to put side-by-side sheets."),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="FILE", help="Write the table as Markdown, too."),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="FILE", help="Write the table as JSON, too."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace inputs and tables that exist.")
    ] = False,
    model: Model = None,
    motion_scale: MotionScale = SamplerConfig.motion_scale,
    fidelity: Fidelity = UpscaleConfig.fidelity,
    device: Device = UpscaleConfig.device,
    dtype: Dtype = UpscaleConfig.dtype,
    seed: Annotated[int, typer.Option(metavar="N", help="Of degradation and noise.")] = 0,
    as_json: ResultAsJson = False,
) -> None:
    """Degrade the clips of DIR, restore them, and measure against what needs no model."""
    with report_failures(as_json=as_json):
        for path in filter(None, (markdown, json_file)):
            _check_file(path, overwrite=overwrite)
        from vsr_cli.pipeline.memory import reuse_memory

        reuse_memory()
        table = api.evaluate(
            folder,
            task=task,
            scale=None if scale is None else FACTORS[scale],
            steps=steps or (),
            latents=latents,
            level=level or (),
            num_frames=num_frames,
            lr=lr,
            write_lr=write_lr,
            compare=_parse_compared(compare or []),
            variant=variant or (),
            sharpen=sharpen,
            lpips_weights=lpips_weights,
            pictures=pictures,
            overwrite=overwrite,
            report=_say_event,
            model=model,
            motion_scale=motion_scale,
            fidelity=fidelity,
            device=device,
            dtype=dtype,
            seed=seed,
        )
        if write_lr:
            print_line(f"wrote the inputs to `{write_lr}`")
        _write_tables(table, markdown, json_file)
        print_result(table.json() if as_json else table.markdown())


def _parse_compared(texts: Sequence[str]) -> dict[str, Path]:
    """Each `NAME=DIR`.

    Raises:
        ConfigError: one is not of this form, or its name is taken.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise ConfigError(
                f"`--compare {text}` is not NAME=DIR", hint="write it like `other=results/other`"
            )
        if name in found:
            raise ConfigError(f"`--compare`: the name `{name}` is taken", hint="choose another")
        found[name] = Path(path)
    return found


def _check_file(path: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, a file that could not be written at the end."""
    if path.exists() and not (overwrite and path.is_file()):
        raise OutputError(f"`{path}` exists", hint="use `--overwrite`, or choose another name")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"`{path.parent}` is not a folder that exists", hint="create it first")


def _write_tables(
    table: "Table | RepairTable", markdown: Path | None, json_file: Path | None
) -> None:
    for path, text in ((markdown, table.markdown()), (json_file, table.json() + "\n")):
        if path is None:
            continue
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"`{path}` cannot be written", why=error.strerror, hint="choose another name"
            ) from error


def _say_event(event: Event) -> None:
    if isinstance(event, Progress):
        print_line(f"{event.stage}: {event.frame} of {event.num_frames}, {event.seconds:.0f} s")
    elif isinstance(event, Note):
        print_line(f"note: {event.text} ({event.code})")
