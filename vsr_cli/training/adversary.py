"""The discriminator's side of adversarial training, shared by the stages that decode frames."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.diffusion.motion import Motion
from vsr_cli.ops.warp import backward_warp
from vsr_cli.training import parallel

R1_WEIGHT = 0.01
R1_NOISE = 0.05  # of the range [-1, 1]
CHANGE_GAIN = 2.0  # what changes along the motion is small beside the frame itself
CHANGE_SHARE = 0.5  # of the steps; flicker is found so easily that nothing else would be learnt


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches of a frame and of its change (PatchGAN), with spectral norm.

    Shape: (N, 6, H, W), made by `frames_and_change` -> (N, 1, H/8, W/8).
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        widths = [6 * 4, channels, 2 * channels, 4 * channels]
        for index, (c_in, c_out) in enumerate(pairwise(widths)):
            if index == 0:
                first = nn.Conv2d(c_in, c_out, 3, padding=1)
            else:
                first = nn.Conv2d(c_in, c_out, 4, stride=2, padding=1)
            for conv in (first, nn.Conv2d(c_out, c_out, 3, padding=1)):
                layers += [nn.utils.parametrizations.spectral_norm(conv), nn.LeakyReLU(0.2)]
        layers.append(nn.Conv2d(widths[-1], 1, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames)


class Adversary:
    """A discriminator and its optimiser; both go on where they were when training resumes."""

    def __init__(self, learning_rate: float) -> None:
        self.discriminator = PatchDiscriminator()
        self._shared: nn.Module = self.discriminator
        self.optimizer = torch.optim.AdamW(
            self.discriminator.parameters(), lr=learning_rate, betas=(0.5, 0.99)
        )

    def to(self, device: torch.device) -> None:
        """Move the discriminator and share it with other processes, before the first step."""
        self.discriminator.to(device)
        self._shared = parallel.share(self.discriminator, is_whole=True)

    def state_dict(self) -> dict[str, dict[str, object]]:
        """All that a resumed run needs."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, dict[str, object]]) -> None:
        """The opposite of `state_dict`."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])

    def loss(self, fake: Tensor, real: Tensor, motion: Motion | None) -> Tensor:
        """Train the discriminator one step, then return the generator's loss.

        Relativistic pairing (arXiv 1807.00734): each score counts against that of the other
        kind. R1 keeps the discriminator smooth, in its form without second derivatives
        (arXiv 2501.08316, section 3.3): scores must not change when noise is added.

        Args:
            fake: (B, T, 3, H, W) with a graph.
            real: (B, T, 3, H, W), the truth of the same frames.
            motion: of the truth, on its own grid; None for single frames. In some steps it is
                not looked at.
        """
        if torch.rand(()) > CHANGE_SHARE:
            motion = None
        fake, real = frames_and_change(fake, motion), frames_and_change(real, motion)
        self.discriminator.requires_grad_(True)
        noisy = real + R1_NOISE * torch.randn_like(real)
        scores = self._shared(torch.cat([real, fake.detach().to(real.dtype), noisy])).float()
        on_real, on_fake, on_noisy = scores.chunk(3)
        penalty = (on_noisy - on_real).square().mean() / R1_NOISE**2
        loss = relativistic_loss(on_real, on_fake) + R1_WEIGHT * penalty
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            on_real = self.discriminator(real).float()
        return relativistic_loss(self.discriminator(fake).float(), on_real)


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
