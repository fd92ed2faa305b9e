"""A whole evaluation: clips degraded, restored by a model and without one, and measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError, OutputError
from vsr_cli.evaluation.entries import build_evaluation, plan_entries, require_free
from vsr_cli.evaluation.variants import parse_latents
from vsr_cli.events import Note, Report
from vsr_cli.options import Options, make_config
from vsr_cli.quality.cases import Case, Results, plan_degraded, plan_given, write_inputs
from vsr_cli.quality.evaluate import evaluate as measure
from vsr_cli.quality.metrics import Lpips
from vsr_cli.quality.table import Table
from vsr_cli.quality.tasks import choose_inputs

Task = Literal["upscale", "restore"]
WholeScale = Literal[1, 2, 4]


def run_evaluation(
    folder: Path,
    options: Options,
    *,
    task: Task,
    scale: WholeScale | None,
    steps: Sequence[int],
    latents: str | None,
    level: Sequence[str],
    num_frames: int,
    lr: Path | None,
    write_lr: Path | None,
    compare: Mapping[str, Path],
    variant: Sequence[str],
    sharpen: bool,
    lpips_weights: Path | None,
    pictures: Path | None,
    overwrite: bool,
    report: Report,
) -> Table:
    """Evaluate; see `vsr_cli.api.evaluate` for the arguments and errors."""
    factor = _find_scale(task, scale)
    config = make_config(options | {"scale": factor})
    given = parse_latents(latents) if latents is not None else None
    entries = plan_entries(config, steps, given, variant)
    names = [name for name, _ in entries]
    for name in compare:
        require_free("--compare", name, names)
    if lr is not None and write_lr is not None:
        raise ConfigError(
            "`--lr` and `--write-lr` contradict each other",
            why="one takes the inputs from a folder, the other writes them",
            hint="give one of them",
        )
    cases: list[Case]
    if lr is None:
        cases = plan_degraded(folder, choose_inputs(task, level), num_frames, scale=factor)
    else:
        cases = plan_given(folder, lr, num_frames, scale=factor, only=level, report=report)
    for made in filter(None, (pictures, write_lr)):
        _make_folder(made)
    results = {name: Results(path, cases) for name, path in compare.items()}
    lpips = Lpips(lpips_weights) if lpips_weights else None
    if sharpen and lpips is None:
        text = "`sharpen` is left out: give `--lpips-weights`, its amount is chosen by LPIPS"
        report(Note(code="W_SHARPEN_LEFT_OUT", text=text))
    if write_lr:
        write_inputs(cases, write_lr, config.sampler.seed, overwrite=overwrite)
    evaluation = build_evaluation(entries, task, results, sharpen=sharpen and lpips is not None)
    return measure(
        cases,
        evaluation,
        lpips=lpips,
        seed=config.sampler.seed,
        pictures=pictures,
        report=report,
    )


def _find_scale(task: Task, scale: WholeScale | None) -> int:
    """How much larger the truth is than its inputs.

    Raises:
        ConfigError: the task has another.
    """
    if task == "upscale":
        return scale or int(UpscaleConfig.scale)
    if scale not in (None, 1):
        raise ConfigError(
            f"`--task restore` and `--scale {scale}` contradict each other",
            why="what is restored keeps its size",
            hint="leave out one of them",
        )
    return 1


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder `{path}`", why=error.strerror, hint="choose another name"
        ) from error
