"""A small batch of noise, for tests of recipes and loop."""

import torch

from vsr_cli.training.dataset import Sample


def batch(num_frames: int, *, scale: int = 4) -> Sample:
    """Two samples of 64x64; the first knows its motion (none)."""
    generator = torch.Generator().manual_seed(0)
    hr = torch.rand(2, num_frames, 3, 64, 64, generator=generator) * 2 - 1
    lr = torch.nn.functional.avg_pool2d(hr.flatten(0, 1), scale).unflatten(0, (2, num_frames))
    flow = torch.zeros(2, num_frames - 1, 2, 16, 16)
    visible = torch.ones(2, num_frames - 1, 1, 16, 16)
    return Sample(hr, lr, flow, flow, visible, visible, torch.tensor([True, False]))
