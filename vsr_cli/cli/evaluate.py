"""`vsr evaluate`: restorers measured against the truth, in one table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vsr_cli.cli.console import print_line
from vsr_cli.cli.evaluation import build_evaluation, plan_entries, require_free
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.options import (
    Device,
    Dtype,
    Fidelity,
    Model,
    MotionScale,
    ResultAsJson,
    SeveralSteps,
    WholeScale,
)
from vsr_cli.cli.variants import parse_latents
from vsr_cli.config import SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError, OutputError
from vsr_cli.events import Event, Note, Progress
from vsr_cli.options import make_config

if TYPE_CHECKING:
    from vsr_cli.quality.cases import Case
    from vsr_cli.quality.table import Table

Task = Literal["upscale", "restore"]  # the same as in `quality.tasks`


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Clips that count as the truth.")],
    *,
    task: Annotated[
        Task,
        typer.Option(help="restore: clips with one known defect each, at the truth's own size."),
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
            "blur9, mix or clean; or a KIND of `--lr`; may be repeated.",
            show_default="all",
        ),
    ] = None,
    num_frames: Annotated[
        int, typer.Option("--frames", min=2, metavar="N", help="Taken from each clip.")
    ] = 12,
    lr: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Inputs CLIP_KIND.mkv, used instead of degrading the truth."
        ),
    ] = None,
    write_lr: Annotated[
        Path | None,
        typer.Option(
            *("--write-lr", "--lr-dir"),
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
            "fidelity, color, memory (warped, still, off), flow_weights, latents; may be repeated.",
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
        typer.Option(metavar="FILE", help="SqueezeNet LPIPS, for the perceptual columns."),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to put side-by-side sheets.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown, too.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table as JSON, too.")
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
        factor = _find_scale(task, scale)
        config = make_config(
            {
                "scale": factor,
                "model": model,
                "fidelity": fidelity,
                "motion_scale": motion_scale,
                "seed": seed,
                "device": device,
                "dtype": dtype,
            }
        )
        given = parse_latents(latents) if latents is not None else None
        entries = plan_entries(config, steps, given, variant or [])
        others = _parse_compared(compare or [], taken=[name for name, _ in entries])
        if lr is not None and write_lr is not None:
            raise ConfigError(
                "`--lr` and `--write-lr` contradict each other",
                why="one takes the inputs from a folder, the other writes them",
                hint="give one of them",
            )
        if lr is None:
            cases = _plan_degraded(folder, task, level or (), num_frames, factor)
        else:
            cases = _plan_given(folder, lr, level or (), num_frames, factor)
        for path in filter(None, (markdown, json_file)):
            _check_file(path, overwrite=overwrite)
        for made in filter(None, (pictures, write_lr)):
            _make_folder(made)

        from vsr_cli.pipeline.memory import reuse_memory
        from vsr_cli.quality.cases import Results, write_inputs
        from vsr_cli.quality.evaluate import evaluate as measure
        from vsr_cli.quality.metrics import Lpips

        reuse_memory()
        results = {name: Results(path, cases) for name, path in others}
        lpips = Lpips(lpips_weights) if lpips_weights else None
        if sharpen and lpips is None:
            text = "`sharpen` is left out: give `--lpips-weights`, its amount is chosen by LPIPS"
            _say_event(Note(code="W_SHARPEN_LEFT_OUT", text=text))
        if write_lr:
            write_inputs(cases, write_lr, seed, overwrite=overwrite)
            print_line(f"wrote {len(cases)} inputs to `{write_lr}`")
        evaluation = build_evaluation(entries, task, results, sharpen=sharpen and lpips is not None)
        table = measure(
            cases,
            evaluation,
            lpips=lpips,
            seed=seed,
            pictures=pictures,
            report=_say_event,
        )
        _write_tables(table, markdown, json_file)
        typer.echo(table.json() if as_json else table.markdown())


def _parse_compared(texts: Sequence[str], *, taken: list[str]) -> list[tuple[str, Path]]:
    """Each `NAME=DIR`.

    Raises:
        ConfigError: one is not of this form, or its name is taken.
    """
    found: list[tuple[str, Path]] = []
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise ConfigError(
                f"`--compare {text}` is not NAME=DIR", hint="write it like `other=results/other`"
            )
        require_free("--compare", name, [*taken, *(name for name, _ in found)])
        found.append((name, Path(path)))
    return found


def _find_scale(task: Task, scale: WholeScale | None) -> int:
    """How much larger the truth is than its inputs.

    Raises:
        ConfigError: the task has another.
    """
    if task == "upscale":
        return int(scale or UpscaleConfig.scale)
    if scale not in (None, "1"):
        raise ConfigError(
            f"`--task restore` and `--scale {scale}` contradict each other",
            why="what is restored keeps its size",
            hint="leave out one of them",
        )
    return 1


def _plan_degraded(
    folder: Path, task: Task, levels: Sequence[str], num_frames: int, scale: int
) -> "list[Case]":
    from vsr_cli.quality.cases import plan_degraded
    from vsr_cli.quality.tasks import choose_inputs

    return plan_degraded(folder, choose_inputs(task, levels), num_frames, scale=scale)


def _plan_given(
    folder: Path, lr: Path, kinds: Sequence[str], num_frames: int, scale: int
) -> "list[Case]":
    from vsr_cli.quality.cases import plan_given

    return plan_given(folder, lr, num_frames, scale=scale, only=kinds, report=_say_event)


def _check_file(path: Path, *, overwrite: bool) -> None:
    """Refuse, before any work, a file that could not be written at the end."""
    if path.exists() and not (overwrite and path.is_file()):
        raise OutputError(f"`{path}` exists", hint="use `--overwrite`, or choose another name")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"`{path.parent}` is not a folder that exists", hint="create it first")


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder `{path}`", why=error.strerror, hint="choose another name"
        ) from error


def _write_tables(table: "Table", markdown: Path | None, json_file: Path | None) -> None:
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
