import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from vsr_cli.diffusion.motion import Motion
from vsr_cli.training import adversary as adversary_module
from vsr_cli.training.adversary import (
    CHANGE_GAIN,
    DiscriminatorTrainer,
    UNetDiscriminator,
    frames_and_change,
    relativistic_loss,
)


def test_discriminator_scores_every_second_pixel() -> None:
    scores = UNetDiscriminator(8)(torch.rand(2, 6, 32, 64))
    assert scores.shape == (2, 1, 16, 32)


def test_the_discriminator_learns_alone_at_first() -> None:
    torch.manual_seed(0)
    fake, real = torch.rand(2, 1, 1, 3, 32, 32)
    fake.requires_grad_(True)
    adversary = DiscriminatorTrainer(1e-3, warm_up=2)
    before = deepcopy(adversary.discriminator.state_dict())
    losses = [adversary.loss(fake, real, None) for _ in range(3)]
    assert [loss.requires_grad for loss in losses] == [False, False, True]
    after = adversary.discriminator.state_dict()
    assert any(not torch.equal(after[name], x) for name, x in before.items())


def test_a_discriminator_goes_on_elsewhere(tmp_path: Path) -> None:
    torch.manual_seed(0)
    frames = torch.rand(1, 6, 32, 32)
    one, other = DiscriminatorTrainer(1e-3), DiscriminatorTrainer(1e-3)
    one.write(tmp_path / "discriminator.safetensors")
    other.read(tmp_path / "discriminator.safetensors")
    one.discriminator.eval()
    other.discriminator.eval()
    with torch.no_grad():
        found, wanted = other.discriminator(frames), one.discriminator(frames)
    torch.testing.assert_close(found, wanted, atol=2e-3, rtol=2e-3)
    assert other.loss(frames[:, None, :3], frames[:, None, 3:], None) > 0


def test_relativistic_loss_counts_only_the_lead() -> None:
    even = relativistic_loss(torch.tensor([3.0]), torch.tensor([3.0]))
    ahead = relativistic_loss(torch.tensor([5.0]), torch.tensor([3.0]))
    assert even.item() == pytest.approx(math.log(2))
    assert ahead.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_the_discriminator_learns_to_tell_flat_from_striped() -> None:
    torch.manual_seed(0)
    adversary = DiscriminatorTrainer(2e-4, warm_up=0)
    striped = (torch.arange(32) % 4 < 2).float().expand(1, 2, 3, 32, 32) * 2 - 1
    flat = torch.zeros(1, 2, 3, 32, 32, requires_grad=True)
    first = adversary.loss(flat, striped, None)
    for _ in range(30):
        last = adversary.loss(flat, striped, None)
    assert last > first + 0.2  # the generator's loss: it is found out
    (gradient,) = torch.autograd.grad(last, flat)
    assert gradient.abs().sum() > 0
    assert all(p.grad is None or not p.requires_grad for p in adversary.discriminator.parameters())


def test_what_moves_along_with_the_motion_does_not_change() -> None:
    picture = torch.rand(1, 1, 3, 16, 16)
    clip = torch.cat([picture, picture.roll(2, dims=-1)], dim=1)
    flow = torch.zeros(1, 1, 2, 16, 16)
    flow[:, :, 0] = 2.0
    visible = torch.ones(1, 1, 1, 16, 16)
    visible[..., :2] = 0  # what came in at the left was not there before
    seen = frames_and_change(clip, Motion(flow, -flow, visible, visible))
    torch.testing.assert_close(seen[:, :3], clip[0])
    assert seen[:, 3:].abs().max() < 1e-5


def test_a_flash_is_a_change_of_its_height_but_not_in_the_first_frame_or_where_hidden() -> None:
    clip = torch.tensor([0.1, 0.3]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 8, 8)
    still, visible = torch.zeros(1, 1, 2, 8, 8), torch.ones(1, 1, 1, 8, 8)
    visible[..., 4:] = 0
    seen = frames_and_change(clip, Motion(still, still, visible, visible))
    assert seen[0, 3:].abs().max() == 0
    assert seen[1, 3:, :, 4:].abs().max() == 0
    wanted = torch.full((3, 8, 4), CHANGE_GAIN * 0.2)
    torch.testing.assert_close(seen[1, 3:, :, :4], wanted)


@pytest.mark.slow
def test_the_discriminator_learns_to_tell_flicker_from_still_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adversary_module, "CHANGE_SHARE", 1.0)
    torch.manual_seed(0)
    adversary = DiscriminatorTrainer(2e-4, warm_up=0)
    # Every frame by itself could be either's: only the change tells them apart.
    one, other = torch.rand(2, 3, 32, 32) * 2 - 1
    still = torch.stack([one, one, other, other]).unflatten(0, (2, 2))
    flicker = torch.stack([one, other, other, one]).unflatten(0, (2, 2))
    flow, visible = torch.zeros(2, 1, 2, 32, 32), torch.ones(2, 1, 1, 32, 32)
    motion = Motion(flow, flow, visible, visible)
    first = adversary.loss(flicker, still, motion)
    for _ in range(60):
        last = adversary.loss(flicker, still, motion)
    assert last > first + 0.2


def test_without_its_share_the_change_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, real = torch.rand(2, 1, 2, 3, 32, 32)
    flow, visible = torch.zeros(1, 1, 2, 32, 32), torch.ones(1, 1, 1, 32, 32)
    losses = []
    for share, motion in (
        (0.0, Motion(flow, flow, visible, visible)),
        (0.0, None),
        (1.0, Motion(flow, flow, visible, visible)),
    ):
        monkeypatch.setattr(adversary_module, "CHANGE_SHARE", share)
        torch.manual_seed(0)
        losses.append(DiscriminatorTrainer(1e-3, warm_up=0).loss(fake, real, motion).item())
    assert losses[0] == losses[1] != losses[2]


def test_state_brings_back_discriminator_and_optimiser() -> None:
    torch.manual_seed(0)
    fake, real = torch.rand(1, 1, 3, 32, 32), torch.rand(1, 1, 3, 32, 32)
    one, other = DiscriminatorTrainer(1e-3, warm_up=0), DiscriminatorTrainer(1e-3, warm_up=0)
    one.loss(fake, real, None)
    other.load_state_dict(deepcopy(one.state_dict()))
    losses = []
    for adversary in (one, other):
        torch.manual_seed(1)
        adversary.loss(fake, real, None)
        losses.append(adversary.loss(fake, real, None).item())
    assert losses[0] == losses[1]
