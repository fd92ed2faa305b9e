"""`vsr evaluate`: restorers measured against the truth, in one table."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vsr_cli.cli.console import print_line
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.options import (
    Device,
    Dtype,
    Fidelity,
    Model,
    MotionScale,
    ResultAsJson,
    SeveralSteps,
    find_model,
)
from vsr_cli.cli.variants import parse_variant
from vsr_cli.config import SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError, OutputError
from vsr_cli.events import Event, Note, Progress

if TYPE_CHECKING:
    from vsr_cli.quality.cases import Case
    from vsr_cli.quality.evaluate import Contest
    from vsr_cli.quality.table import Table

Level = Literal["clean", "mild", "heavy"]
LEVELS: tuple[Level, ...] = ("clean", "mild", "heavy")
BASELINES = ("bicubic", "lanczos", "sharpen", "truth")  # names that are taken


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Clips that count as the truth.")],
    *,
    steps: SeveralSteps = None,
    level: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="clean, mild or heavy, or a KIND of `--lr`; may be repeated.",
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
            "fidelity, color, memory (warped, still, off), flow_weights; may be repeated.",
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
    """Degrade the clips of DIR, restore them, and measure against bicubic and Lanczos."""
    with report_failures(as_json=as_json):
        config = UpscaleConfig(
            model=find_model(model),
            fidelity=fidelity,
            device=device,
            dtype=dtype,
            sampler=SamplerConfig(seed=seed, motion_scale=motion_scale),
        )
        configs = _plan_jobs(config, steps, variant or [])
        others = _parse_compared(compare or [], taken=[name for name, _ in configs])
        if lr is not None and write_lr is not None:
            raise ConfigError(
                "`--lr` and `--write-lr` contradict each other",
                why="one takes the inputs from a folder, the other writes them",
                hint="give one of them",
            )
        cases = _plan_cases(folder, lr, level, num_frames)
        for path in filter(None, (markdown, json_file)):
            _check_file(path, overwrite=overwrite)
        for made in filter(None, (pictures, write_lr)):
            _make_folder(made)

        from vsr_cli.quality.cases import Results, write_inputs
        from vsr_cli.quality.evaluate import evaluate as measure
        from vsr_cli.quality.metrics import Lpips

        results = {name: Results(path, cases) for name, path in others}
        lpips = Lpips(lpips_weights) if lpips_weights else None
        if sharpen and lpips is None:
            text = "`sharpen` is left out: give `--lpips-weights`, its amount is chosen by LPIPS"
            _say_event(Note(code="W_SHARPEN_LEFT_OUT", text=text))
        if write_lr:
            write_inputs(cases, write_lr, seed, overwrite=overwrite)
            print_line(f"wrote {len(cases)} inputs to `{write_lr}`")
        contest = _enter(configs, sharpen=sharpen and lpips is not None)
        table = measure(
            cases,
            replace(contest, results=results),
            lpips=lpips,
            seed=seed,
            pictures=pictures,
            report=_say_event,
        )
        _write_tables(table, markdown, json_file)
        typer.echo(table.json() if as_json else table.markdown())


def _plan_jobs(
    base: UpscaleConfig, steps: Sequence[int] | None, variants: Sequence[str]
) -> list[tuple[str, UpscaleConfig]]:
    """The model's rows: one for each number of steps, then the variants of the first of them.

    The name of the first is not known before the model is, unless `--steps` is given: it is "".
    """
    counts: Sequence[int | None] = steps or [None]
    jobs = [
        (
            f"small@{count}" if count else "",
            replace(base, sampler=replace(base.sampler, steps=count)),
        )
        for count in dict.fromkeys(counts)
    ]
    for text in variants:
        name, config = parse_variant(text, jobs[0][1])
        _require_free("--variant", name, [name for name, _ in jobs])
        jobs.append((name, config))
    return jobs


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
        _require_free("--compare", name, [*taken, *(name for name, _ in found)])
        found.append((name, Path(path)))
    return found


def _require_free(option: str, name: str, taken: Sequence[str]) -> None:
    if name in BASELINES or name in taken or name.startswith(("small@", "mgld@")):
        raise ConfigError(f"`{option}`: the name `{name}` is taken", hint="choose another")


def _plan_cases(
    folder: Path, lr: Path | None, levels: Sequence[str] | None, num_frames: int
) -> "list[Case]":
    """What is evaluated, from inputs that are given or will be made."""
    from vsr_cli.quality.cases import plan_degraded, plan_given

    if lr is None:
        return plan_degraded(folder, [_parse_level(n) for n in levels or LEVELS], num_frames)
    return plan_given(folder, lr, num_frames, only=levels or (), report=_say_event)


def _enter(configs: Sequence[tuple[str, UpscaleConfig]], *, sharpen: bool) -> "Contest":
    """Load the model and have it take part, beside what every table has."""
    from vsr_cli.models.files import sha256, shipped_weights
    from vsr_cli.models.weights import load_model
    from vsr_cli.pipeline.families import flow_name, guidance_name, look_at, make_flow
    from vsr_cli.pipeline.frames import frame_upscaler
    from vsr_cli.pipeline.runtime import choose_device, choose_dtype
    from vsr_cli.quality.baselines import bicubic, lanczos
    from vsr_cli.quality.evaluate import Contest, Restorer
    from vsr_cli.quality.table import Settings

    base = configs[0][1]
    path = base.model or shipped_weights()
    network, known, digest = load_model(path), look_at(path), sha256(path)
    device, _ = choose_device(base.device)
    dtype, _ = choose_dtype(base.dtype, device)
    jobs: dict[str, Restorer] = {}
    settings: dict[str, Settings] = {}
    for given_name, config in configs:
        steps = config.sampler.steps or network.default_steps
        name = given_name or f"{network.family}@{steps}"
        make_flow(config, device)  # refused now rather than later
        jobs[name] = frame_upscaler(network, path, config)
        settings[name] = Settings(
            steps=steps,
            motion_scale=config.sampler.motion_scale,
            guidance=guidance_name(known, config),
            fidelity=config.fidelity,
            color=config.color,
            memory=config.memory,
            flow=flow_name(known, config),
            model=path.name,
            model_sha256=digest,
            device=str(device),
            dtype=str(dtype).removeprefix("torch."),
        )
    return Contest(
        restorers={"bicubic": bicubic, "lanczos": lanczos, **jobs},
        settings=settings,
        sharpen_like=next(iter(jobs)) if sharpen else None,
    )


def _parse_level(name: str) -> Level:
    """A degradation, by its name."""
    for known in LEVELS:
        if name == known:
            return known
    raise ConfigError(f"`--level {name}` is no degradation", hint="use " + ", ".join(LEVELS))


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
