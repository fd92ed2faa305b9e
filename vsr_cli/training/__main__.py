"""Train the shipped model: `python -m vsr_cli.training STAGE --data SHARDS --run DIR`."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch.utils.data import DataLoader

from vsr_cli.models.weights import load_weights, save_weights
from vsr_cli.training.dataset import ClipDataset, Sample
from vsr_cli.training.loop import TrainConfig, resume_iteration, train
from vsr_cli.training.losses import VggFeatures
from vsr_cli.training.recipes import AutoencoderRecipe, DecoderRecipe, DenoiserRecipe

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Data = Annotated[Path, typer.Option(help="Folder made by `python -m vsr_cli.training.dataset`.")]
Run = Annotated[Path, typer.Option(help="Folder of this stage; the same one resumes.")]
Init = Annotated[Path | None, typer.Option(help="Weights of the stage before.")]
Iterations = Annotated[int, typer.Option(help="Length of the whole stage.")]
Minutes = Annotated[float, typer.Option(help="Stop after this slice; run again to go on.")]
Batch = Annotated[int, typer.Option(help="Samples in a batch.")]
Crop = Annotated[int, typer.Option(help="Side of HR crops, a multiple of 16.")]
Frames = Annotated[int, typer.Option(help="Frames in a sample; above 1 trains along time.")]
Rate = Annotated[float, typer.Option(help="Highest learning rate.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:0.")]
Workers = Annotated[int, typer.Option(help="Processes that prepare samples.")]
Seed = Annotated[int, typer.Option(help="Of data and noise.")]
Vgg = Annotated[Path | None, typer.Option(help="VGG-19 features; none: no perceptual loss.")]


@app.command()
def autoencoder(
    data: Data,
    run: Run = Path("runs/autoencoder"),
    init: Init = None,
    iterations: Iterations = 20_000,
    minutes: Minutes = math.inf,
    batch: Batch = 16,
    crop: Crop = 128,
    rate: Rate = 4e-4,
    device: Device = "cpu",
    workers: Workers = 1,
    seed: Seed = 0,
    vgg: Vgg = None,
) -> None:
    """Stage A: trunk, encoder and decoder on single frames."""
    config = TrainConfig(
        run=run,
        init=init,
        iterations=iterations,
        minutes=minutes,
        learning_rate=rate,
        device=device,
        seed=seed,
    )
    recipe = AutoencoderRecipe(VggFeatures(vgg).to(device) if vgg else None)
    train(recipe, load_batches(data, config, batch, crop, 1, workers), config)


@app.command()
def denoiser(
    data: Data,
    init: Init,
    run: Run = Path("runs/denoiser"),
    iterations: Iterations = 40_000,
    minutes: Minutes = math.inf,
    batch: Batch = 16,
    crop: Crop = 128,
    frames: Frames = 1,
    rate: Rate = 3e-4,
    device: Device = "cpu",
    workers: Workers = 1,
    seed: Seed = 0,
) -> None:
    """Stages B1 (`--frames 1`) and B2 (`--frames 5`): condition encoder and U-Net."""
    config = TrainConfig(
        run=run,
        init=init,
        iterations=iterations,
        minutes=minutes,
        learning_rate=rate,
        device=device,
        seed=seed,
    )
    train(DenoiserRecipe(), load_batches(data, config, batch, crop, frames, workers), config)


@app.command()
def decoder(
    data: Data,
    init: Init,
    run: Run = Path("runs/decoder"),
    iterations: Iterations = 10_000,
    minutes: Minutes = math.inf,
    batch: Batch = 4,
    crop: Crop = 128,
    frames: Frames = 5,
    steps: Annotated[int, typer.Option(help="Of the sampler that draws the latents.")] = 4,
    rate: Rate = 2e-4,
    device: Device = "cpu",
    workers: Workers = 1,
    seed: Seed = 0,
    vgg: Vgg = None,
) -> None:
    """Stage D: the sequence decoder on sampled latents."""
    config = TrainConfig(
        run=run,
        init=init,
        iterations=iterations,
        minutes=minutes,
        learning_rate=rate,
        device=device,
        seed=seed,
    )
    recipe = DecoderRecipe(VggFeatures(vgg).to(device) if vgg else None, steps, rate)
    train(recipe, load_batches(data, config, batch, crop, frames, workers), config)


@app.command()
def blend(
    first: Annotated[Path, typer.Argument(help="Weights of one stage.")],
    second: Annotated[Path, typer.Argument(help="Weights of a later stage, trained from them.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the second, 0 to 1.")] = 0.3,
) -> None:
    """Mix two sets of weights linearly: less of what the later stage gained, and lost."""
    model, later = load_weights(first), load_weights(second).state_dict()
    mixed = {name: torch.lerp(old, later[name], share) for name, old in model.state_dict().items()}
    save_weights(out, mixed, model.config)


def load_batches(
    data: Path, config: TrainConfig, batch: int, crop: int, frames: int, workers: int
) -> Iterator[Sample]:
    """Batches from where the stage stands, so that a resumed run sees new samples."""
    dataset = ClipDataset(
        data,
        num_frames=frames,
        crop_size=crop,
        seed=config.seed,
        start=resume_iteration(config) * batch,
    )
    loader = DataLoader(dataset, batch_size=batch, num_workers=workers, worker_init_fn=_one_thread)
    yield from loader


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


if __name__ == "__main__":
    app()
