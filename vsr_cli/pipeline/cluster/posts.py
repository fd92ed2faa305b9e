"""Where in a cluster workers are wanted: one GPU each, or some cores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from vsr_cli.config import UpscaleConfig
from vsr_cli.counting import counted
from vsr_cli.errors import DeviceError

MOST_CORES = 8  # of one worker, which hardly gets faster with more


@dataclass(frozen=True)
class Post:
    """What one worker takes of the cluster.

    device: its kind.
    cores: of the CPU.
    beside: how many such workers a machine has, who share its memory; 1 where each has a GPU.
    """

    device: Literal["cpu", "cuda"]
    cores: int
    beside: int = 1

    @property
    def resources(self) -> dict[str, float]:
        """The same in the words of Ray."""
        return {"num_cpus": self.cores, "num_gpus": 1 if self.device == "cuda" else 0}

    @property
    def threads(self) -> int:
        """Of the CPU; one also where a machine has more GPUs than cores to share."""
        return max(1, self.cores)


def find_posts(nodes: Sequence[Mapping[str, Any]], config: UpscaleConfig) -> list[Post]:
    """Find where workers are wanted.

    Args:
        nodes: machines, as Ray lists them.
        config: the user's choices.

    Raises:
        DeviceError: there is no such place.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    asked = config.device.partition(":")[0]
    with_gpu = [machine for machine in machines if machine.get("GPU", 0) >= 1]
    posts = _gpu_posts(with_gpu) if asked in ("auto", "cuda") else []
    if asked == "cpu" or (asked == "auto" and (not posts or config.job.mixed)):
        plain = [machine for machine in machines if machine not in with_gpu or asked == "cpu"]
        posts += _cpu_posts(plain)
    if not posts:
        raise DeviceError(
            f"the cluster has no place for a worker with `--device {config.device}`",
            why=f"{counted(len(machines), 'machine')}, {len(with_gpu)} of them with a GPU",
            hint="see `ray status`, or use `--device auto`",
        )
    return list(islice(posts, config.job.workers))


def _gpu_posts(machines: Sequence[Mapping[str, float]]) -> list[Post]:
    shares = [machine.get("CPU", 0) // machine["GPU"] for machine in machines]
    cores = int(min([MOST_CORES, *shares]))
    return [Post("cuda", cores)] * sum(int(machine["GPU"]) for machine in machines)


def _cpu_posts(machines: Sequence[Mapping[str, float]]) -> list[Post]:
    counts = [int(machine["CPU"]) for machine in machines if machine.get("CPU", 0) >= 1]
    cores = min([MOST_CORES, *counts])
    beside = max((count // cores for count in counts), default=1)
    return [Post("cpu", cores, beside)] * sum(count // cores for count in counts)
