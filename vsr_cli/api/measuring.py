"""What a model makes of clips whose truth is known, and what it costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vsr_cli.config import DtypeChoice
from vsr_cli.errors import ConfigError
from vsr_cli.events import BenchResult, Done, Report, ignore
from vsr_cli.option_types import as_list
from vsr_cli.options import Options, PathLike, make_config
from vsr_cli.values import parse_size

if TYPE_CHECKING:
    from vsr_cli.quality.repair_table import RepairTable
    from vsr_cli.quality.table import Table


def evaluate(
    folder: PathLike,
    *,
    task: Literal["upscale", "restore", "erase", "fill"] = "upscale",
    scale: Literal[1, 2, 4] | None = None,
    steps: int | Sequence[int] = (),
    latents: str | None = None,
    level: str | Sequence[str] = (),
    num_frames: int = 12,
    lr: PathLike | None = None,
    write_lr: PathLike | None = None,
    compare: Mapping[str, PathLike] | None = None,
    variant: str | Sequence[str] = (),
    sharpen: bool = False,
    lpips_weights: PathLike | None = None,
    pictures: PathLike | None = None,
    overwrite: bool = False,
    report: Report = ignore,
    model: PathLike | None = None,
    fidelity: float | None = None,
    motion_scale: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    dtype: DtypeChoice | None = None,
) -> "Table | RepairTable":
    """Degrade clips that count as the truth, restore them, and measure.

    Args:
        folder: of the clips.
        task: `restore` gives each input one known defect, at the truth's own size; `erase` and
            `fill`, which know no model, take out parts of frames and whole frames.
        scale: by how much inputs are smaller, per side; None: 4, or 1 to restore.
        steps: one row of the table for each; empty: the model's own number.
        latents: `zero`, `true` or `noisy:S` in the place of sampled ones.
        level: of degradation; empty: all.
        num_frames: taken from each clip.
        lr: inputs that are given, instead of degrading the truth.
        write_lr: where to write the inputs first.
        compare: other tools' results, by name.
        variant: the model with other settings, `NAME:KEY=VALUE,...`.
        sharpen: whether to add a sharpening filter of the model's LPIPS.
        lpips_weights: for the perceptual columns.
        pictures: where to put sheets.
        overwrite: whether inputs that exist are replaced.
        report: receives progress and notes.
        model: a file of weights, or a name of `vsr weights list`.
        fidelity: as of `upscale`, like the rest.
        motion_scale: pull along the motion.
        seed: of degradation and noise.
        device: where the model computes.
        dtype: in what numbers.

    Raises:
        ConfigError: these contradict each other.
        InputError: a clip cannot be read.
        OutputError: a folder cannot be made or written to.
        WeightsError: the model cannot be loaded.
    """
    steps, level, variant = as_list(steps), as_list(level), as_list(variant)
    if task == "erase" or task == "fill":  # each by itself, for the type checker
        others = (scale, latents, lr, write_lr, compare, variant, steps, pictures, model)
        if sharpen or any(other not in (None, (), {}) and other != [] for other in others):
            raise ConfigError(
                f"`--task {task}` takes `--level`, `--frames`, `--seed` and `--lpips-weights` only",
                why="it has no model, and makes its own inputs",
                hint="leave the other options out",
            )
        from vsr_cli.evaluation.repairs import evaluate_repairs

        return evaluate_repairs(
            Path(folder),
            task,
            level=level,
            num_frames=num_frames,
            seed=seed or 0,
            lpips_weights=None if lpips_weights is None else Path(lpips_weights),
            report=report,
        )
    from vsr_cli.evaluation.evaluate import run_evaluation

    options: Options = {
        "model": model,
        "fidelity": fidelity,
        "motion_scale": motion_scale,
        "seed": seed,
        "device": device,
        "dtype": dtype,
    }
    return run_evaluation(
        Path(folder),
        options,
        task=task,
        scale=scale,
        steps=steps,
        latents=latents,
        level=level,
        num_frames=num_frames,
        lr=None if lr is None else Path(lr),
        write_lr=None if write_lr is None else Path(write_lr),
        compare={name: Path(path) for name, path in (compare or {}).items()},
        variant=variant,
        sharpen=sharpen,
        lpips_weights=None if lpips_weights is None else Path(lpips_weights),
        pictures=None if pictures is None else Path(pictures),
        overwrite=overwrite,
        report=report,
    )


def degrade(
    source: PathLike,
    target: PathLike,
    *,
    level: Literal["clean", "mild", "heavy", "mixed"] = "mild",
    scale: Literal[1, 2, 4] = 4,
    seed: int = 0,
    num_frames: int = 100,
    overwrite: bool = False,
    report: Report = ignore,
) -> Done:
    """Make the kind of small clip that users bring of a good one, losslessly, without sound.

    Args:
        source: a video.
        target: an `.mkv` to write.
        level: `clean` only shrinks; `mild` and `heavy` blur, add noise and compress; `mixed` draws.
        scale: by how much it becomes smaller, per side.
        seed: of all that is drawn by chance.
        num_frames: taken from the start, at most.
        overwrite: whether a target that exists is replaced.
        report: receives what was drawn (`DegradationDrawn`), progress and notes.

    Raises:
        InputError: the source cannot be read, or is too small.
        OutputError: the target exists or cannot be written.
        DeviceError: so many frames do not fit into memory.
    """
    from vsr_cli.evaluation.degrade_clip import degrade_clip

    return degrade_clip(
        Path(source),
        Path(target),
        level=level,
        scale=scale,
        seed=seed,
        num_frames=num_frames,
        overwrite=overwrite,
        report=report,
    )


def bench(
    *,
    size: str | Sequence[str] = ("320x180",),
    scale: float | str | Sequence[float | str] = (4,),
    steps: int | Sequence[int] = (1, 4, 15, 50),
    num_frames: int = 8,
    report: Report = ignore,
    model: PathLike | None = None,
    device: str | None = None,
    dtype: DtypeChoice | None = None,
) -> list[BenchResult]:
    """Measure what a frame costs on this machine, reading and coding of files not included.

    Args:
        size: of sources, `WxH`, at least 8 pixels a side.
        scale: of the target against the source, per side.
        steps: of denoising.
        num_frames: of each clip, at least 2.
        report: receives every result (`BenchResult`) when it is known, and progress.
        model: a file of weights, or a name of `list_weights`.
        device: where the model computes.
        dtype: in what numbers.

    Raises:
        ConfigError: a size or a number is out of range.
        WeightsError: the model cannot be loaded.
        DeviceError: the device is absent, or too small.
    """
    from vsr_cli.pipeline.bench import measure

    config = make_config({"model": model, "device": device, "dtype": dtype})
    sizes = [_lr_size(text) for text in as_list(size)]
    scales = [make_config({"scale": one}).scale for one in as_list(scale)]
    return measure(config, sizes, scales, as_list(steps), num_frames, report)


def _lr_size(text: str) -> tuple[int, int]:
    """`WxH`, of at least 8 pixels -> (height, width)."""
    size = parse_size("--size", text)
    if size is None or min(size) < 8:
        raise ConfigError(f"`--size {text}` is too small", hint="use WxH, such as 320x180")
    return size
