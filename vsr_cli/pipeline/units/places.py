"""Where the workers of a job compute: one GPU each, or a share of the cores."""

import heapq
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError, DeviceError
from vsr_cli.pipeline.memory import CPU, free_memory


@dataclass(frozen=True)
class Place:
    """Where a worker computes.

    device: `cpu` or `cuda:N`.
    threads: of the CPU; None: as many as it likes.
    """

    device: str
    threads: int | None = None


def count_workers(config: UpscaleConfig) -> int:
    """How many workers were asked for; `auto` is one for each GPU, and one without."""
    if config.job.workers is not None:
        return config.job.workers
    num_gpus = torch.cuda.device_count() if config.device in ("auto", "cuda") else 0
    return max(1, num_gpus)


def find_places(config: UpscaleConfig, device: torch.device, count: int) -> list[Place]:
    """Give each of `count` workers its place.

    Args:
        config: the user's choices.
        device: what `config.device` comes to.
        count: of workers.

    Raises:
        ConfigError: several are to share one GPU.
        DeviceError: there are fewer GPUs.
    """
    if device.type == "cpu":
        return [Place("cpu", threads_of_each(count))] * count
    if count > 1 and device.index is not None and config.device != "cuda":
        raise ConfigError(
            f"`--workers {count}` and `--device {config.device}` contradict each other",
            why="each worker has a GPU of its own",
            hint="use `--device cuda`, and `CUDA_VISIBLE_DEVICES` to choose among them",
        )
    if count > (found := torch.cuda.device_count()):
        raise DeviceError(
            f"`--workers {count}` needs as many GPUs",
            why=f"{found} found",
            hint="use `--workers auto`",
        )
    return [Place(f"cuda:{index}") for index in range(count)]


def threads_of_each(count: int) -> int:
    """Threads of the CPU for each of `count` workers on it."""
    return max(1, len(cores()) // count)


def bytes_of_others(count: int, device: torch.device) -> int:
    """Memory of the machine that all workers but one may take."""
    if device.type != "cpu" or count == 1:
        return 0
    return free_memory(CPU) * (count - 1) // count


def longest_share(lengths: Iterable[int], count: int) -> int:
    """Frames of the worker that has most, where each takes the next unit when it is free.

    Args:
        lengths: frames that each unit lacks.
        count: of workers.
    """
    loads = [0] * count
    for length in lengths:
        heapq.heapreplace(loads, loads[0] + length)
    return max(loads)


def cores() -> Sequence[int]:
    """Those of the CPU that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)
