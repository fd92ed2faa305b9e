"""What all families of models have in common."""

from typing import ClassVar

import torch
from torch import nn


class VideoModel(nn.Module):
    """A model of any family, which decides what stages of the pipeline fit."""

    family: ClassVar[str]

    @property
    def default_steps(self) -> int:
        """Denoising steps, where the user names none."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        raise NotImplementedError
