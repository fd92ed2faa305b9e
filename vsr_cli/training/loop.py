"""One training loop for every stage: resume, EMA, schedule, log."""

import math
import random
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from vsr_cli.models.small.model import SmallConfig, SmallModel
from vsr_cli.models.weights import load_weights, save_weights
from vsr_cli.ops.precision import is_faster_in_bfloat16
from vsr_cli.training import distributed
from vsr_cli.training.adversary import DiscriminatorTrainer
from vsr_cli.training.curves import Log
from vsr_cli.training.dataset import Sample

SAVE_SECONDS = 120
STATE, WEIGHTS, DISCRIMINATOR = "state.pt", "weights.safetensors", "discriminator.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how fast to train."""

    run: Path  # folder of this stage: state, EMA weights, log
    init: Path | None = None  # weights of the stage before
    iterations: int = 20_000  # length of the whole stage; the learning rate follows it
    minutes: float = math.inf  # stop after this slice; the same command goes on from there
    learning_rate: float = 3e-4
    start: int = 0  # iteration to begin at, where only weights of an earlier machine are left
    warmup: int = 200  # iterations
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    # Of data and noise, which torch draws for each process by itself. Python's own `random` draws
    # what decides how long an iteration takes, alike in all, so that none waits for another.
    seed: int = 0
    log_every: int = 50  # iterations
    compile: bool = False  # torch.compile: pays on a GPU


class Recipe(Protocol):
    """What a stage is: which modules it trains and what it minimises."""

    @property
    def adversary(self) -> DiscriminatorTrainer | None:
        """Trained beside the model by the recipe itself."""
        ...

    def trained(self, model: SmallModel) -> list[nn.Module]:
        """The parts of the model that this stage moves."""
        ...

    def rates(self) -> list[float]:
        """Share of the learning rate that each of these parts has."""
        ...

    @property
    def observed(self) -> dict[str, Tensor]:
        """Named values of the last iteration that are logged and not minimised."""
        ...

    def losses(self, model: SmallModel, batch: Sample, progress: float) -> dict[str, Tensor]:
        """Named terms, already weighted; their sum is minimised. `progress` runs 0 to 1."""
        ...

    def watch(self, averaged: SmallModel) -> None:
        """Take the model of averaged weights, once, before training begins."""
        ...


def train(
    recipe: Recipe, batches: Iterator[Sample], config: TrainConfig, device: torch.device
) -> bool:
    """Train a stage, or the next slice of it; returns whether the stage is complete.

    The folder `config.run` holds the resumable state, the EMA weights and a CSV log with its
    curves; each file is replaced whole, so stopping at any time loses at most two minutes. What
    is drawn depends on seed and iteration alone: a run in slices is the run in one piece.
    """
    return Run(recipe, config, device).go(batches)


class _Objective(nn.Module):
    """The losses of a model as one module, which is what several processes can share."""

    def __init__(self, recipe: Recipe, model: SmallModel) -> None:
        super().__init__()
        self.model = model
        self._recipe = recipe

    def forward(self, batch: Sample, progress: float) -> dict[str, Tensor]:
        return self._recipe.losses(self.model, batch, progress)


def first_model(init: Path | None) -> SmallModel:
    """What a stage begins with: the weights of another, or random ones.

    Raises:
        WeightsError: as `load_weights`.
    """
    if init is None:
        return SmallModel(SmallConfig())
    model = load_weights(init)
    model.config = replace(model.config, activation_ranges={})  # they will not be true for long
    return model


class Run:
    """A stage while it is trained."""

    def __init__(self, recipe: Recipe, config: TrainConfig, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.recipe, self.config, self.device = recipe, config, device
        self.in_bfloat16 = device.type != "cpu" or is_faster_in_bfloat16()
        model = first_model(config.init)
        model.to(device).to(memory_format=torch.channels_last).train().requires_grad_(False)
        if recipe.adversary:
            recipe.adversary.to(device)
        for part in recipe.trained(model):
            part.requires_grad_(True)
        self.model = model
        self.objective = distributed.wrap_ddp(_Objective(recipe, model))
        groups = [list(part.parameters()) for part in recipe.trained(model)]
        self.parameters: list[Tensor] = [p for group in groups for p in group]
        self.optimizer = torch.optim.AdamW(
            [{"params": group} for group in groups],
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=1e-4,
            fused=True,
        )
        self.ema = deepcopy(model).eval()
        self.averaged: list[Tensor] = [
            p for part in recipe.trained(self.ema) for p in part.parameters()
        ]
        self.ema.requires_grad_(False)
        recipe.watch(self.ema)
        self.iteration = config.start
        self.log = Log(config.run)
        if (config.run / STATE).exists():
            self.load()
        else:
            self.log.clear()
        if config.compile:
            self.compile()

    def compile(self) -> None:
        """Have torch compile the networks, each by itself."""
        for part in self.model.children():
            part.compile()

    def go(self, batches: Iterator[Sample]) -> bool:
        config = self.config
        started = saved = time.monotonic()
        done = self.iteration >= config.iterations
        late = False
        while not done and not late:
            self.step(next(batches))
            done = self.iteration >= config.iterations
            now = time.monotonic()
            if self.iteration % config.log_every == 0:
                self.log.write(self.iteration, now - started)
            late = distributed.any_rank(now - started > config.minutes * 60, self.device)
            if now - saved > SAVE_SECONDS:
                self.save()
                saved = now
        self.log.write(self.iteration, time.monotonic() - started)
        self.save()
        return done

    def step(self, batch: Sample) -> None:
        """One iteration."""
        config = self.config
        torch.manual_seed(_iteration_seed(config.seed, self.iteration))
        random.seed(f"{config.seed}/{self.iteration}")
        progress = self.iteration / config.iterations
        rate = config.learning_rate * _schedule(self.iteration, config)
        for group, share in zip(self.optimizer.param_groups, self.recipe.rates(), strict=True):
            group["lr"] = share * rate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            terms = self.objective(batch, progress)
        total = torch.stack([term.float() for term in terms.values()]).sum()
        self.optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, config.clip_norm)
        if torch.isfinite(norm):  # a rare bad batch must not poison weights and EMA
            self.optimizer.step()
        decay = min(config.ema_decay, (1 + self.iteration) / (10 + self.iteration))
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.parameters, 1 - decay)
            self.ema.latent_std.copy_(self.model.latent_std)
        self.iteration += 1
        self.log.add({**terms, **self.recipe.observed, "norm": norm})

    def load(self) -> None:
        state = torch.load(self.config.run / STATE, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.recipe.adversary:
            self.recipe.adversary.load_state_dict(state["adversary"])
        self.iteration = state["iteration"]

    def save(self) -> None:
        """Replace state and weights, and draw the curves; only the first process does."""
        if distributed.rank() > 0:
            return
        adversary = self.recipe.adversary
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": adversary.state_dict() if adversary else {},
            "iteration": self.iteration,
        }
        run = self.config.run
        torch.save(state, run / (STATE + ".part"))
        (run / (STATE + ".part")).replace(run / STATE)
        save_weights(run / (WEIGHTS + ".part"), self.ema.state_dict(), self.model.config)
        (run / (WEIGHTS + ".part")).replace(run / WEIGHTS)
        if adversary:
            adversary.write(run / (DISCRIMINATOR + ".part"))
            (run / (DISCRIMINATOR + ".part")).replace(run / DISCRIMINATOR)
        self.log.draw()


def resume_iteration(config: TrainConfig) -> int:
    """Where the stage stands: at its start, or where its last slice ended."""
    path = config.run / STATE
    if not path.exists():
        return config.start
    return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["iteration"])


def _schedule(iteration: int, config: TrainConfig) -> float:
    """A cosine down to 2 % over the whole stage, with a linear warm-up wherever it begins."""
    angle = math.pi * (iteration - config.warmup) / max(1, config.iterations - config.warmup)
    share = 0.02 + 0.98 * 0.5 * (1 + math.cos(max(angle, 0)))
    return share * min((iteration - config.start + 1) / config.warmup, 1)


def _iteration_seed(seed: int, iteration: int) -> int:
    """Every process draws its own noise, the same whenever this iteration is run."""
    return (seed << 40) + (distributed.rank() << 32) + iteration
