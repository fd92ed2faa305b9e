import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from tests.networks import write_tiny_weights
from tests.training.samples import batch
from vsr_cli.training import distributed
from vsr_cli.training.adversary import DiscriminatorTrainer
from vsr_cli.training.decoder_recipes import DecoderRecipe
from vsr_cli.training.loop import Run, TrainConfig

CPU = torch.device("cpu")

Result = tuple[Any, ...]


def together(work: Callable[[Path], Result], folder: Path) -> list[Result]:
    """What each of two processes returns."""
    port = 20_000 + os.getpid() % 20_000
    spawn(_join, args=(work, str(folder), port), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def _join(rank: int, work: Callable[[Path], Result], folder: str, port: int) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    with distributed.process_group(CPU):
        torch.save(work(Path(folder)), Path(folder) / f"{rank}.pt")


class Lopsided(nn.Module):
    """The first process uses both parameters, the other one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(2)), nn.Parameter(torch.randn(1))

    def forward(self, rank: int) -> Tensor:
        return self.weight.sum() * 3 if rank else self.weight.sum() + self.bias.sum()


def share_a_module(folder: Path) -> Result:
    torch.manual_seed(distributed.rank())
    module = Lopsided()
    shared = distributed.wrap_ddp(module)
    shared(distributed.rank()).backward()
    stop = distributed.any_rank(distributed.rank() == 1, CPU)
    return module.weight.detach(), module.weight.grad, module.bias.grad, stop


def train_twice(folder: Path) -> Result:
    torch.manual_seed(distributed.rank())  # discriminators differ until they are shared
    recipe = DecoderRecipe(None, steps=2, adversary=DiscriminatorTrainer(1e-3, warm_up=0))
    config = TrainConfig(run=folder / "run", init=folder / "init.safetensors", iterations=4)
    run = Run(recipe, config, CPU)
    run.iteration = 2  # the adversary has its say
    own = batch(2)._replace(hr=batch(2).hr * (0.5 + 0.5 * distributed.rank()))
    for _ in range(2):
        run.step(own)
    assert recipe.adversary is not None
    judge = recipe.adversary.discriminator
    return run.model.state_dict(), run.ema.state_dict(), dict(judge.named_parameters())


@pytest.mark.slow
def test_two_processes_share_weights_gradients_and_decisions(tmp_path: Path) -> None:
    first, second = together(share_a_module, tmp_path)
    assert torch.equal(first[0], second[0])
    assert first[1].tolist() == second[1].tolist() == [2.0, 2.0]
    assert first[2].tolist() == second[2].tolist() == [0.5]
    assert first[3]
    assert second[3]


@pytest.mark.slow
def test_two_processes_with_samples_of_their_own_train_one_model(tmp_path: Path) -> None:
    write_tiny_weights(tmp_path / "init.safetensors")
    first, second = together(train_twice, tmp_path)
    for mine, other in zip(first, second, strict=True):
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_alone_nothing_is_wrapped() -> None:
    module = Lopsided()
    assert distributed.wrap_ddp(module) is module
    assert not distributed.any_rank(False, CPU)
    assert (distributed.rank(), distributed.num_ranks()) == (0, 1)
