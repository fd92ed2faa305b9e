"""What all families of models have in common."""

from typing import Protocol

import torch


class VideoModel(Protocol):
    """A model that `load_model` returns; its family decides which stages of the pipeline fit."""

    family: str

    @property
    def default_steps(self) -> int:
        """Denoising steps, where the user names none."""

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
