import math
from copy import deepcopy

import pytest
import torch

from vsr_cli.training.adversary import Adversary, PatchDiscriminator, relativistic_loss


def test_discriminator_scores_patches() -> None:
    scores = PatchDiscriminator(8)(torch.rand(2, 3, 32, 64))
    assert scores.shape == (2, 1, 4, 8)


def test_relativistic_loss_counts_only_the_lead() -> None:
    even = relativistic_loss(torch.tensor([3.0]), torch.tensor([3.0]))
    ahead = relativistic_loss(torch.tensor([5.0]), torch.tensor([3.0]))
    assert even.item() == pytest.approx(math.log(2))
    assert ahead.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_the_discriminator_learns_to_tell_flat_from_striped() -> None:
    torch.manual_seed(0)
    adversary = Adversary(2e-4)
    striped = (torch.arange(32) % 4 < 2).float().expand(1, 2, 3, 32, 32) * 2 - 1
    flat = torch.zeros(1, 2, 3, 32, 32, requires_grad=True)
    first = adversary.loss(flat, striped)
    for _ in range(30):
        last = adversary.loss(flat, striped)
    assert last > first + 0.2  # the generator's loss: it is found out
    (gradient,) = torch.autograd.grad(last, flat)
    assert gradient.abs().sum() > 0
    assert all(p.grad is None or not p.requires_grad for p in adversary.discriminator.parameters())


def test_state_brings_back_discriminator_and_optimiser() -> None:
    torch.manual_seed(0)
    fake, real = torch.rand(1, 1, 3, 32, 32), torch.rand(1, 1, 3, 32, 32)
    one, other = Adversary(1e-3), Adversary(1e-3)
    one.loss(fake, real)
    other.load_state_dict(deepcopy(one.state_dict()))
    losses = []
    for adversary in (one, other):
        torch.manual_seed(1)
        adversary.loss(fake, real)
        losses.append(adversary.loss(fake, real).item())
    assert losses[0] == losses[1]
