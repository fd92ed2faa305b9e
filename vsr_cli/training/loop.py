"""One training loop for every stage: resume, EMA, schedule, log."""

import csv
import math
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from vsr_cli.models.small.model import SmallConfig, SmallModel
from vsr_cli.models.weights import load_weights, save_weights
from vsr_cli.training.dataset import Sample

EMA_DECAY = 0.999
SAVE_SECONDS = 120
STATE, WEIGHTS, LOG = "state.pt", "weights.safetensors", "log.csv"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how fast to train."""

    run: Path  # folder of this stage: state, EMA weights, log
    init: Path | None = None  # weights of the stage before
    iterations: int = 20_000  # length of the whole stage; the learning rate follows it
    minutes: float = math.inf  # stop after this slice; the same command goes on from there
    learning_rate: float = 3e-4
    warmup: int = 200  # iterations
    clip_norm: float = 1.0
    device: str = "cpu"
    seed: int = 0
    log_every: int = 50  # iterations


class Recipe(Protocol):
    """What a stage is: which modules it trains and what it minimises."""

    @property
    def extra(self) -> nn.Module:
        """Trained beside the model by the recipe itself (a discriminator), or empty."""
        ...

    def trained(self, model: SmallModel) -> list[nn.Module]:
        """The parts of the model that this stage moves."""
        ...

    def losses(self, model: SmallModel, batch: Sample, progress: float) -> dict[str, Tensor]:
        """Named terms, already weighted; their sum is minimised. `progress` runs 0 to 1."""
        ...

    def finish(self, model: SmallModel, batches: Iterator[Sample]) -> None:
        """Called once on the EMA model when the stage is complete."""
        ...


def train(recipe: Recipe, batches: Iterator[Sample], config: TrainConfig) -> bool:
    """Train a stage, or the next slice of it; returns whether the stage is complete.

    The folder `config.run` holds the resumable state, the EMA weights and a CSV log; each file
    is replaced whole, so stopping at any time loses at most two minutes.
    """
    torch.manual_seed(config.seed)
    device = torch.device(config.device)
    config.run.mkdir(parents=True, exist_ok=True)
    model = load_weights(config.init) if config.init else SmallModel(SmallConfig())
    model.to(device).to(memory_format=torch.channels_last).train().requires_grad_(False)
    recipe.extra.to(device)
    parts = recipe.trained(model)
    for part in parts:
        part.requires_grad_(True)
    parameters: list[Tensor] = [p for part in parts for p in part.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
    )
    ema = deepcopy(model).eval().requires_grad_(False)
    averaged: list[Tensor] = [p for part in recipe.trained(ema) for p in part.parameters()]

    first = 0
    state_path = config.run / STATE
    if state_path.exists():
        state = torch.load(state_path, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        recipe.extra.load_state_dict(state["extra"])
        first = state["iteration"]

    def save(iteration: int) -> None:
        state = {
            "model": model.state_dict(),
            "ema": ema.state_dict(),
            "optimizer": optimizer.state_dict(),
            "extra": recipe.extra.state_dict(),
            "iteration": iteration,
        }
        torch.save(state, state_path.with_suffix(".part"))
        state_path.with_suffix(".part").replace(state_path)
        part = config.run / (WEIGHTS + ".part")
        save_weights(part, ema.state_dict(), model.config)
        part.replace(config.run / WEIGHTS)

    started = saved = time.monotonic()
    sums: dict[str, float] = {}
    iteration = first
    while iteration < config.iterations and time.monotonic() - started < config.minutes * 60:
        progress = iteration / config.iterations
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(iteration, config)
        batch = Sample(*(value.to(device) for value in next(batches)))
        with torch.autocast(device.type, torch.bfloat16):
            terms = recipe.losses(model, batch, progress)
        total = torch.stack([term.float() for term in terms.values()]).sum()
        optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        if torch.isfinite(norm):  # a rare bad batch must not poison weights and EMA
            optimizer.step()
        decay = min(EMA_DECAY, (1 + iteration) / (10 + iteration))
        with torch.no_grad():
            torch._foreach_lerp_(averaged, parameters, 1 - decay)
        iteration += 1
        for name, term in {**terms, "norm": norm}.items():
            sums[name] = sums.get(name, 0.0) + float(term.detach()) / config.log_every
        if iteration % config.log_every == 0:
            _log(config.run / LOG, iteration, time.monotonic() - started, sums)
            sums = {}
        if time.monotonic() - saved > SAVE_SECONDS:
            save(iteration)
            saved = time.monotonic()

    complete = iteration >= config.iterations
    if complete:
        recipe.finish(ema, batches)
    save(iteration)
    return complete


def resume_iteration(config: TrainConfig) -> int:
    """Where the stage stands: 0, or what its last slice reached."""
    path = config.run / STATE
    if not path.exists():
        return 0
    return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["iteration"])


def _schedule(iteration: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine down to 2 %."""
    if iteration < config.warmup:
        return (iteration + 1) / config.warmup
    angle = math.pi * (iteration - config.warmup) / max(1, config.iterations - config.warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(angle))


def _log(path: Path, iteration: int, seconds: float, values: dict[str, float]) -> None:
    """Append a line: iteration, seconds of this slice, then name=value pairs."""
    with path.open("a", newline="") as file:
        row = [f"{name}={value:.5f}" for name, value in values.items()]
        csv.writer(file).writerow([iteration, f"{seconds:.0f}", *row])
