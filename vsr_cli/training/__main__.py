"""Train the shipped model: `python -m vsr_cli.training STAGE --data SHARDS --run DIR`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from torch.utils.data import DataLoader

from vsr_cli.errors import VsrError
from vsr_cli.models.weights import load_weights, save_weights
from vsr_cli.quality.cases import find_clips
from vsr_cli.quality.metrics import Lpips
from vsr_cli.training import distributed
from vsr_cli.training.adversary import DiscriminatorTrainer
from vsr_cli.training.bench import measure as measure_speed
from vsr_cli.training.calibration import find_ranges
from vsr_cli.training.dataset import ClipDataset, Sample, write_shards
from vsr_cli.training.decoder_recipes import DecoderRecipe, StudentRecipe
from vsr_cli.training.gates import head, line, read_gates
from vsr_cli.training.loop import Recipe, Run, TrainConfig, first_model, resume_iteration, train
from vsr_cli.training.losses import VggFeatures
from vsr_cli.training.probe import CROP, make_trials
from vsr_cli.training.recipes import AutoencoderRecipe, DenoiserRecipe

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


class StageName(StrEnum):
    """The stages, in their order."""

    AUTOENCODER = "autoencoder"  # A1
    FLOOR = "floor"  # A2
    DENOISER = "denoiser"  # B1
    CLIPS = "clips"  # B2
    STUDENT = "student"  # C
    DECODER = "decoder"  # D


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a stage is trained where the user says nothing: about a day of two CPU cores in all."""

    iterations: int
    batch: int
    crop: int
    frames: int
    rate: float
    ema_decay: float = 0.999


PLANS = {
    StageName.AUTOENCODER: Plan(iterations=30_000, batch=16, crop=128, frames=1, rate=5e-4),
    StageName.FLOOR: Plan(iterations=55_000, batch=16, crop=128, frames=1, rate=2e-4),
    StageName.DENOISER: Plan(
        iterations=25_000, batch=16, crop=128, frames=1, rate=4e-4, ema_decay=0.9995
    ),
    StageName.CLIPS: Plan(iterations=7_000, batch=4, crop=128, frames=4, rate=2e-4),
    StageName.STUDENT: Plan(iterations=5_000, batch=16, crop=128, frames=1, rate=1e-4),
    StageName.DECODER: Plan(iterations=12_000, batch=3, crop=128, frames=4, rate=1e-4),
}
LEAST_DETAIL = 4.0  # codes of 255, of crops that an adversary judges


@app.command()
def stage(
    name: Annotated[StageName, typer.Argument(metavar="STAGE", help=" ".join(StageName))],
    data: Annotated[Path, typer.Option(help="Folder made by `shards`.")],
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of this stage; the same one resumes.", show_default="runs/STAGE"),
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Weights of the stage before.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Length of the stage.")] = None,
    start: Annotated[
        int,
        typer.Option(min=0, help="Iteration to begin at, where only `--init` is left of a run."),
    ] = 0,
    minutes: Annotated[
        float, typer.Option(help="Stop after this slice; run again to go on.")
    ] = math.inf,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples in a batch.")] = None,
    crop: Annotated[int | None, typer.Option(help="Side of crops, a multiple of 16.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames in a sample.")] = None,
    rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Of the few-step chain; C and D.")] = 4,
    device: Annotated[str, typer.Option(help="cpu or cuda; torchrun numbers the GPUs.")] = "cpu",
    workers: Annotated[int, typer.Option(help="Processes that prepare samples.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of data and noise.")] = 0,
    vgg: Annotated[
        Path | None, typer.Option(help="VGG-19 features; none: no perceptual loss.")
    ] = None,
    discriminator: Annotated[
        Path | None, typer.Option(help="Of a stage before, to begin with.")
    ] = None,
    compile_networks: Annotated[
        bool, typer.Option("--compile", help="torch.compile: pays on a GPU.")
    ] = False,
    measure: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Train nothing: time N batches and N iterations."),
    ] = None,
) -> None:
    """Train one stage, or its next slice; batches are of each process."""
    plan = PLANS[name]
    config = TrainConfig(
        run=run or Path("runs") / name.value,
        init=init,
        iterations=iterations or plan.iterations,
        start=start,
        minutes=minutes,
        learning_rate=rate or plan.rate,
        seed=seed,
        ema_decay=plan.ema_decay,
        compile=compile_networks,
    )
    features = VggFeatures(vgg).to(device) if vgg else None
    torch.manual_seed(seed)  # a discriminator starts at random
    recipe = _recipe(
        name,
        vgg=features,
        steps=steps,
        rate=config.learning_rate,
        init=init,
        discriminator=discriminator,
    )
    with distributed.process_group(torch.device(device)) as own:
        batches = load_batches(
            data,
            seed=config.seed,
            start=resume_iteration(config),
            batch=batch or plan.batch,
            crop=crop or plan.crop,
            frames=frames or plan.frames,
            workers=workers,
            device=own,
            least_detail=LEAST_DETAIL if recipe.adversary else 0.0,
        )
        if measure:
            _measure(recipe, batches, config, own, measure)
            return
        complete = train(recipe, batches, config, own)
        if distributed.rank() == 0:
            text = "complete" if complete else "stopped; the same command goes on"
            typer.echo(text, err=True)


@app.command()
def shards(
    sources: Annotated[list[Path], typer.Argument(help="Videos, images, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the arrays.")],
) -> None:
    """Decode videos and images once, to arrays that training maps into memory."""
    typer.echo(f"{len(write_shards(sources, out))} arrays in {out}", err=True)


@app.command()
def blend(
    first: Annotated[Path, typer.Argument(help="Weights of one stage.")],
    second: Annotated[Path, typer.Argument(help="Weights of a later stage, trained from them.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the second, 0 to 1.")] = 0.5,
    wrapping: Annotated[
        float, typer.Option(min=0, max=1, help="What `--fidelity 1` shall be from now on.")
    ] = 1.0,
    noise_scale: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Of the sampler's noise, what each step adds from now on.",
            show_default="that of the first",
        ),
    ] = None,
    time_power: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="How much denser times are where noise is low, in chains of more than "
            "`default_steps`.",
            show_default="that of the first",
        ),
    ] = None,
    damping: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Latents of such chains are multiplied by (default_steps / steps) to this power.",
            show_default="that of the first",
        ),
    ] = None,
    offer: Annotated[
        list[int] | None,
        typer.Option(
            help="A scale that is good enough to be offered from now on; once for each.",
            show_default="those of the first",
        ),
    ] = None,
) -> None:
    """Mix two sets of weights linearly: less of what the later stage gained, and lost.

    Feature wrapping is linear in `--fidelity`, so a value that was found better than 1 can become
    the new 1. The ranges of 8-bit integers are left out: `calibrate` finds new ones.
    """
    model, later = load_weights(first), load_weights(second).state_dict()
    mixed = {name: torch.lerp(old, later[name], share) for name, old in model.state_dict().items()}
    for name in mixed:
        if name.startswith("decoder.wrap_") and ".affine." in name:
            mixed[name] *= wrapping
    known = model.config
    config = replace(
        known,
        activation_ranges={},
        noise_scale=known.noise_scale if noise_scale is None else noise_scale,
        time_power=known.time_power if time_power is None else time_power,
        damping=known.damping if damping is None else damping,
    )
    if offer:
        if not set(offer) <= set(config.scales):
            trained = ", ".join(map(str, config.scales))
            raise typer.BadParameter(f"the model was trained for {trained}", param_hint="--offer")
        config = replace(config, offered_scales=tuple(sorted(set(offer), reverse=True)))
    save_weights(out, mixed, config)


@app.command()
def calibrate(
    weights: Annotated[Path, typer.Argument(help="What is to be shipped.")],
    data: Annotated[Path, typer.Option(help="Folder made by `shards`.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    batches: Annotated[int, typer.Option(min=1, help="Of two clips of four frames.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of data and noise.")] = 0,
) -> None:
    """Find the ranges that `--dtype int8` rounds within, and write weights that say them.

    Tensors stay as they are. What was blended or trained on needs ranges of its own.
    """
    model = load_weights(weights)
    plan = PLANS[StageName.DECODER]
    torch.manual_seed(seed)
    samples = load_batches(
        data,
        seed=seed,
        batch=2,
        crop=plan.crop,
        frames=plan.frames,
        workers=1,
        device=torch.device("cpu"),
    )
    ranges = find_ranges(model, islice(samples, batches))
    save_weights(out, model.state_dict(), replace(model.config, activation_ranges=ranges))


@app.command()
def probe(
    weights: Annotated[Path, typer.Argument(help="A checkpoint, or what is shipped.")],
    data: Annotated[Path, typer.Option(help="Folder of true clips, never trained on.")],
    lpips_weights: Annotated[Path, typer.Option(help="SqueezeNet LPIPS.")],
    frames: Annotated[int, typer.Option(min=2, help="Taken from each clip.")] = 2,
    clips: Annotated[int, typer.Option(min=1, help="How many, in the order of their names.")] = 6,
    floor: Annotated[
        bool, typer.Option("--floor", help="Only the autoencoder has been trained: stages A.")
    ] = False,
) -> None:
    """Print all gates of a checkpoint as one table, with what was measured and what is wanted."""
    model = load_weights(weights)
    trials = make_trials(
        model, data, Lpips(lpips_weights), num_frames=frames, num_clips=clips, is_floor=floor
    )
    height, width = CROP
    names = ", ".join(path.stem for path in find_clips(data)[:clips])
    typer.echo(f"`{weights}`: {frames} frames, the middle {width}x{height}, of {names}\n")
    typer.echo(head())
    for reading in read_gates(model, trials, is_floor=floor):
        typer.echo(line(reading))


def _measure(
    recipe: Recipe, batches: Iterator[Sample], config: TrainConfig, device: torch.device, count: int
) -> None:
    with TemporaryDirectory() as folder:
        run = Run(recipe, replace(config, run=Path(folder), compile=False), device)
        speed = measure_speed(run, batches, count, compile_networks=config.compile)
    typer.echo(
        f"{speed.batches:.2f} batches/s made, {speed.iterations:.2f} iterations/s computed, "
        f"{speed.tflop:.3f} TFLOP each: {speed.tflops:.3f} TFLOP/s"
    )


def _recipe(
    name: StageName,
    *,
    vgg: VggFeatures | None,
    steps: int,
    rate: float,
    init: Path | None,
    discriminator: Path | None,
) -> Recipe:
    if name is StageName.AUTOENCODER:
        return AutoencoderRecipe(vgg)
    if name is StageName.STUDENT:
        return StudentRecipe(first_model(init), steps)
    if name in (StageName.DENOISER, StageName.CLIPS):
        return DenoiserRecipe()
    adversary = DiscriminatorTrainer(rate)
    if discriminator is not None:
        adversary.read(discriminator)
    if name is StageName.FLOOR:
        return AutoencoderRecipe(vgg, adversary)
    return DecoderRecipe(vgg, steps, adversary)


def load_batches(
    data: Path,
    *,
    seed: int,
    start: int = 0,
    batch: int,
    crop: int,
    frames: int,
    workers: int,
    device: torch.device,
    least_detail: float = 0.0,
) -> Iterator[Sample]:
    """Batches on a device, from iteration `start` on.

    A resumed run sees new samples, and each process its own.
    """
    dataset = ClipDataset(
        data,
        num_frames=frames,
        crop_size=crop,
        seed=seed,
        start=start * batch * distributed.num_ranks(),
        batch=batch,
        rank=distributed.rank(),
        num_ranks=distributed.num_ranks(),
        least_detail=least_detail,
    )
    loader = DataLoader(
        dataset,
        batch_size=None,  # the dataset makes batches itself
        num_workers=workers,
        worker_init_fn=_one_thread,
        pin_memory=device.type == "cuda",
    )
    yield from dataset.complete(loader, device)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def main() -> None:
    """Run a command; what the user can mend is one line with a hint, as in `vsr`."""
    try:
        app()
    except VsrError as error:
        parts = (f"vsr: {error}", error.why, f"hint: {error.hint}" if error.hint else None)
        typer.echo("; ".join(part for part in parts if part), err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
