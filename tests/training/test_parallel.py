import os
from pathlib import Path

import torch
from torch import nn
from torch.multiprocessing.spawn import spawn

from vsr_cli.training import parallel


def _work(rank: int, folder: str, port: int) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    with parallel.joined(torch.device("cpu")) as device:
        torch.manual_seed(rank)
        layer = nn.Linear(2, 1)
        parallel.copy_from_first(layer)
        if rank == 0:  # the other never uses its bias
            layer(torch.ones(1, 2)).sum().backward()
        else:
            (layer.weight.sum() * 3).backward()
        parallel.average_gradients(layer.parameters())
        stop = parallel.decide_together(rank == 1, device)
        result = (layer.weight.detach(), layer.weight.grad, layer.bias.grad, stop)
        torch.save(result, Path(folder) / f"{rank}.pt")


def test_two_processes_share_weights_gradients_and_decisions(tmp_path: Path) -> None:
    port = 20_000 + os.getpid() % 20_000
    spawn(_work, args=(str(tmp_path), port), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert torch.equal(first[0], second[0])
    assert first[1].tolist() == second[1].tolist() == [[2.0, 2.0]]
    assert first[2].tolist() == second[2].tolist() == [0.5]
    assert first[3]
    assert second[3]


def test_alone_nothing_changes() -> None:
    layer = nn.Linear(2, 1)
    parallel.average_gradients(layer.parameters())
    assert layer.weight.grad is None
    assert not parallel.decide_together(False, torch.device("cpu"))
    assert (parallel.rank(), parallel.num_ranks()) == (0, 1)
