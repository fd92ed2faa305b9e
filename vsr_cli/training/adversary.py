"""The discriminator's side of adversarial training, shared by the stages that decode frames."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.diffusion.motion import Motion
from vsr_cli.ops.warp import backward_warp
from vsr_cli.training import distributed

R1_WEIGHT = 0.01
R1_EVERY = 4  # steps; its weight is raised by as much
INPUT_NOISE = 0.05  # of the range [-1, 1]
CHANGE_GAIN = 2.0  # what changes along the motion is small beside the frame itself
CHANGE_SHARE = 0.5  # of the steps; flicker is found so easily that nothing else would be learnt
WARM_UP = 500  # steps in which the discriminator learns alone: a fresh one has nothing to say


class UNetDiscriminator(nn.Module):
    """Scores every second pixel of a frame and of its change, with spectral norm.

    A U-Net (arXiv 2002.12655, as arXiv 2107.10833 uses it) from half to an eighth of the size and
    back, with one skip at half: what it says of a pixel rests on its surroundings and on itself.

    Shape: (N, 6, H, W), made by `frames_and_change`, H and W multiples of 8 -> (N, 1, H/2, W/2).
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        c = channels

        def conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Module:
            layer = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=1)
            return nn.utils.parametrizations.spectral_norm(layer)

        self.enter = nn.ModuleList([conv(6 * 4, c), conv(c, c)])
        self.down = nn.ModuleList(
            [conv(c, 2 * c, 4, 2), conv(2 * c, 2 * c), conv(2 * c, 4 * c, 4, 2), conv(4 * c, 4 * c)]
        )
        self.up = nn.ModuleList([conv(4 * c, 2 * c), conv(2 * c, c), conv(c, c)])
        self.score = nn.Conv2d(c, 1, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        x = F.pixel_unshuffle(frames, 2).contiguous(memory_format=torch.channels_last)
        for layer in self.enter:
            x = F.leaky_relu(layer(x), 0.2, inplace=True)
        skip = x
        for layer in self.down:
            x = F.leaky_relu(layer(x), 0.2, inplace=True)
        x = _double(F.leaky_relu(self.up[0](x), 0.2, inplace=True))
        x = _double(F.leaky_relu(self.up[1](x), 0.2, inplace=True)) + skip
        x = F.leaky_relu(self.up[2](x), 0.2, inplace=True)
        return self.score(x)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class DiscriminatorTrainer:
    """A discriminator and its optimiser; both go on where they were when training resumes."""

    def __init__(self, learning_rate: float, *, warm_up: int = WARM_UP) -> None:
        self.discriminator = UNetDiscriminator().to(memory_format=torch.channels_last)
        self.warm_up = warm_up
        self.num_steps = 0
        self._shared: nn.Module = self.discriminator
        self.optimizer = torch.optim.AdamW(
            self.discriminator.parameters(), lr=learning_rate, betas=(0.5, 0.99), fused=True
        )

    def to(self, device: torch.device) -> None:
        """Move the discriminator and share it with other processes, before the first step."""
        self.discriminator.to(device)
        self._shared = distributed.wrap_ddp(self.discriminator, is_whole=True)

    def state_dict(self) -> dict[str, object]:
        """All that a resumed run needs."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "num_steps": self.num_steps,
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """The opposite of `state_dict`."""
        self.discriminator.load_state_dict(state["discriminator"])  # type: ignore[arg-type]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        self.num_steps = int(state["num_steps"])  # type: ignore[call-overload]

    def write(self, path: Path) -> None:
        """Write the discriminator in half precision, for another machine or a later stage."""
        tensors = self.discriminator.state_dict().items()
        save_file({name: x.detach().cpu().half().contiguous() for name, x in tensors}, path)

    def read(self, path: Path) -> None:
        """Begin with a discriminator that `write` wrote; it has no need to learn alone first."""
        tensors = {name: x.float() for name, x in load_file(path).items()}
        self.discriminator.load_state_dict(tensors)
        self.warm_up = 0

    def loss(self, fake: Tensor, real: Tensor, motion: Motion | None) -> Tensor:
        """Train the discriminator one step, then return the generator's loss.

        Relativistic pairing (arXiv 1807.00734): each score counts against that of the other
        kind. R1 keeps the discriminator smooth, in its form without second derivatives
        (arXiv 2501.08316, section 3.3): scores must not change when noise is added. Both inputs
        carry a little noise, so that traces too faint to see cannot decide.

        Args:
            fake: (B, T, 3, H, W) with a graph.
            real: (B, T, 3, H, W), the truth of the same frames.
            motion: of the truth, on its own grid; None for single frames. In some steps it is
                not looked at.

        Returns:
            a scalar; without a graph while the discriminator learns alone.
        """
        if torch.rand(()) > CHANGE_SHARE:
            motion = None
        fake, real = frames_and_change(fake, motion), frames_and_change(real, motion)
        fake = fake + INPUT_NOISE * torch.randn_like(fake)
        noisy = real + INPUT_NOISE * torch.randn_like(real)
        on_real = self._learn(noisy, fake.detach().to(real.dtype))
        if self.num_steps <= self.warm_up:
            return fake.new_zeros(())
        return relativistic_loss(self.discriminator(fake).float(), on_real)

    def _learn(self, real: Tensor, fake: Tensor) -> Tensor:
        """One step of the discriminator; returns its scores of `real`, without a graph."""
        self.discriminator.requires_grad_(True)
        inputs = [real, fake]
        is_smoothed = self.num_steps % R1_EVERY == 0
        if is_smoothed:
            inputs.append(real + INPUT_NOISE * torch.randn_like(real))
        on_real, on_fake, *on_noisy = self._shared(torch.cat(inputs)).float().chunk(len(inputs))
        loss = relativistic_loss(on_real, on_fake)
        if is_smoothed:
            penalty = (on_noisy[0] - on_real).square().mean() / INPUT_NOISE**2
            loss = loss + R1_EVERY * R1_WEIGHT * penalty
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.discriminator.requires_grad_(False)
        self.num_steps += 1
        return on_real.detach()


def frames_and_change(frames: Tensor, motion: Motion | None) -> Tensor:
    """Each frame beside what changed since the one before it, along the motion and where visible.

    A discriminator that sees frames alone cannot tell flicker from detail. The truth's own change
    is shown to it too (noise, light, errors of the flow), so that stillness is not the aim.

    Shape: (B, T, 3, H, W) -> (B T, 6, H, W); the change of a clip's first frame is zero.
    """
    change = torch.zeros_like(frames)
    if motion is not None:
        earlier = backward_warp(frames[:, :-1].flatten(0, 1), motion.flow_backward.flatten(0, 1))
        step = frames[:, 1:] - earlier.unflatten(0, (frames.shape[0], -1))
        step = CHANGE_GAIN * motion.visible_backward.to(frames.dtype) * step
        change = torch.cat([change[:, :1], step], dim=1)
    return torch.cat([frames, change], dim=2).flatten(0, 1)


def relativistic_loss(winner: Tensor, loser: Tensor) -> Tensor:
    """Mean of softplus(loser - winner): small once the first is scored above the second."""
    return F.softplus(loser - winner).mean()
