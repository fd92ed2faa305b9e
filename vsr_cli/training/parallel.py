"""Several processes training one model, started by `torchrun`; alone, all of this does nothing."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
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


def copy_from_first(module: nn.Module) -> None:
    """Give every process the weights of rank 0."""
    if num_ranks() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Make every gradient the mean over the processes.

    `DistributedDataParallel` wants one forward call of one module; the recipes call several parts
    of the model, some not at every iteration. For ten million parameters one flat sum after the
    backward pass costs as little.
    """
    if num_ranks() == 1:
        return
    trained = [p for p in parameters if p.requires_grad]
    for p in trained:
        if p.grad is None:  # another process may have one
            p.grad = torch.zeros_like(p)
    gradients = [p.grad for p in trained if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    pieces = (flat / num_ranks()).split([g.numel() for g in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


def decide_together(stop: bool, device: torch.device) -> bool:
    """True on every process as soon as it is on one: clocks differ."""
    if num_ranks() == 1:
        return stop
    votes = torch.tensor(float(stop), device=device)
    dist.all_reduce(votes)
    return bool(votes > 0)
