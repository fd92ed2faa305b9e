"""What training costs here: samples that can be made, and iterations that can be computed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch.utils.flop_counter import FlopCounterMode

from vsr_cli.training.dataset import Sample
from vsr_cli.training.loop import Run

_WARM_UP = 3  # iterations; a compiled network is compiled in the first
_WARM_UP_SAMPLES = 24  # until then workers start, and the pictures on scenes are drawn


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Measured on one machine with nothing else to do."""

    batches: float  # a second, made but not trained on
    iterations: float  # a second, of one batch that is there already
    tflop: float  # of one iteration: torch's count of networks and losses

    @property
    def tflops(self) -> float:
        """TFLOP a second, while computing."""
        return self.tflop * self.iterations


def measure(run: Run, batches: Iterator[Sample], count: int, *, compile_networks: bool) -> Speed:
    """Time `count` batches and, apart from them, `count` iterations.

    Training runs at the lower of the two rates, or below it where both want the same cores.
    """
    run.iteration = run.config.iterations // 2  # by then every loss counts
    batch = next(batches)
    for last in islice(batches, _WARM_UP_SAMPLES // len(batch.hr)):
        batch = last
    started = time.perf_counter()
    for last in islice(batches, count):
        batch = last
    _wait(run.device)
    made = count / (time.perf_counter() - started)
    with FlopCounterMode(display=False) as counter:
        run.step(batch)
    if compile_networks:
        run.compile()
    for _ in range(_WARM_UP):
        run.step(batch)
    _wait(run.device)
    started = time.perf_counter()
    for _ in range(count):
        run.step(batch)
    _wait(run.device)
    computed = count / (time.perf_counter() - started)
    return Speed(batches=made, iterations=computed, tflop=counter.get_total_flops() / 1e12)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
