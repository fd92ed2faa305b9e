"""Several processes training one model, started by `torchrun`; alone, all of this does nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the group that `torchrun` set up, and leave it at the end; gives this rank's device."""
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0; 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def num_ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wrap_ddp(module: nn.Module, *, is_whole: bool = False) -> nn.Module:
    """Give every process the weights of rank 0, and average the gradients of every backward pass.

    Call what is returned, and keep it, instead of the module, which stays the one to be saved;
    alone it is the module itself.

    Args:
        module: on its device, with gradients on where it is trained.
        is_whole: every call uses every parameter. Where some may be left out they must be found.
    """
    if num_ranks() == 1:
        return module
    return DistributedDataParallel(module, find_unused_parameters=not is_whole)


def any_rank(stop: bool, device: torch.device) -> bool:
    """True on every process as soon as it is on one: clocks differ."""
    if num_ranks() == 1:
        return stop
    votes = torch.tensor(float(stop), device=device)
    dist.all_reduce(votes)
    return bool(votes > 0)
