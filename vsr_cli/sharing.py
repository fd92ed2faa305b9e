"""How a job is shared between processes, as users ask for it."""

import re

from vsr_cli.errors import ConfigError

MAX_WORKERS = 256
LEAST_SPLIT, MOST_SPLIT = 24, 100_000  # frames: 16 more are computed for each part


def check_sharing(
    workers: int | None,
    shard: tuple[int, int] | None,
    split: int,
    *,
    fresh: bool,
    ray: str | None = None,
    mixed: bool = False,
) -> None:
    """Refuse what makes no sense, alone or together.

    Args:
        workers: processes on this machine, or of the cluster; None: as many as it has room for.
        shard: which part is computed here, from 1, of how many; None: all.
        split: frames after which a shot goes on in another unit; 0: never.
        fresh: whether an earlier job is dropped.
        ray: address of the cluster that computes; None: this machine does.
        mixed: whether its workers may have devices of several kinds.

    Raises:
        ConfigError: it does not.
    """
    _check_cluster(ray, shard, mixed=mixed)
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise ConfigError(
            f"`--workers {workers}` is out of range", hint=f"use auto, or 1 to {MAX_WORKERS}"
        )
    if split and not LEAST_SPLIT <= split <= MOST_SPLIT:
        raise ConfigError(
            f"`--split {split}` is out of range", hint=f"use {LEAST_SPLIT} to {MOST_SPLIT} frames"
        )
    if shard is None:
        return
    if not 1 <= shard[0] <= shard[1]:
        raise ConfigError(
            f"`--shard {shard[0]}/{shard[1]}` is no part",
            hint="give it as I/N, with I from 1 to N",
        )
    if ray is None and workers != 1:
        raise ConfigError(
            "`--shard` and `--workers` contradict each other",
            why="a shard is computed by one process",
            hint="give each process a shard of its own, or all of the video to workers",
        )
    if fresh:
        raise ConfigError(
            "`--shard` and `--fresh` contradict each other",
            why="what other shards have done would be lost",
            hint="remove the job with `vsr jobs clean` before the first shard starts",
        )


def _check_cluster(ray: str | None, shard: tuple[int, int] | None, *, mixed: bool) -> None:
    """Refuse an address that is none, and what a cluster has no use for.

    Raises:
        ConfigError: it is so.
    """
    if ray is None:
        if mixed:
            raise ConfigError("`--mixed` is about workers of a cluster", hint="add `--ray auto`")
        return
    if ray != "auto" and not re.fullmatch(r"[^/\s]+:\d{1,5}", ray):
        raise ConfigError(
            f"`--ray {ray}` is no address of a cluster",
            hint="use auto, or HOST:PORT as `ray start --head` tells it",
        )
    if shard is not None:
        raise ConfigError(
            "`--shard` and `--ray` contradict each other",
            why="the cluster computes all of the video",
            hint="give one of them",
        )


def parse_workers(value: int | str | None, *, ray: str | None = None) -> int | None:
    """Read a number of workers; `auto` is one for each GPU, and what a cluster has otherwise.

    Raises:
        ConfigError: it is neither.
    """
    default = "1" if ray is None else "auto"
    text = default if value is None else str(value)
    if text == "auto":
        return None
    if not text.isdecimal():
        raise ConfigError(f"`--workers {text}` is no number", hint="use auto, or such as 2")
    return int(text)


def parse_shard(value: str | tuple[int, int] | None) -> tuple[int, int] | None:
    """Read a part of a job, `3/20`, counted from 1.

    Raises:
        ConfigError: it is none.
    """
    if value is None or isinstance(value, tuple):
        return value
    if (found := re.fullmatch(r"(\d+)/(\d+)", value)) is None:
        raise ConfigError(f"`--shard {value}` is no part", hint="give it as I/N, such as 3/20")
    return int(found[1]), int(found[2])
