"""The conditional autoencoder: latents hold only what the source lacks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.models.small.blocks import ResBlocks
from vsr_cli.models.small.fused import cat_channels, conv_add


class LrTrunk(nn.Module):
    """Features of the source on the grid of a quarter of the target, shared by every other part.

    A source that is finer than that grid arrives with its pixels folded into channels, through a
    stem of its own: every pixel is seen, and everything behind the stem costs by the target.

    Shape: source (N, 3, H k, W k) in [-1, 1], k = 4 / scale -> (N, C, H, W).
    """

    def __init__(self, channels: int, num_blocks: int, folds: tuple[int, ...]) -> None:
        """Build one stem for each fold.

        Args:
            channels: C.
            num_blocks: residual blocks behind the stems.
            folds: the k above 1 that are served beside 1.
        """
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.folded_stems = nn.ModuleDict(
            {str(k): nn.Conv2d(3 * k * k, channels, 3, padding=1) for k in folds}
        )
        self.blocks = ResBlocks(channels, num_blocks)
        self.last = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, source: Tensor, fold: int) -> Tensor:
        if fold == 1:
            x = self.stem(source)
        else:
            folded = F.pixel_unshuffle(source, fold).contiguous(memory_format=torch.channels_last)
            x = self.folded_stems[str(fold)](folded)
        return conv_add(self.last, self.blocks(x), x, may_overwrite=True)


class LatentEncoder(nn.Module):
    """Truth minus enlarged source, seen beside the source's features -> latents.

    Only training needs it: at run time the sampler draws the latents.

    Shape: residual (N, 3, 4H, 4W), features (N, C, H, W), H and W even -> (N, L, H/2, W/2).
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * 16 + channels, channels, 3, padding=1)
        self.fine = ResBlocks(channels, 2)
        # Space to depth and a smooth 3x3: nothing is skipped, so small shifts do not alias.
        self.down = nn.Conv2d(4 * channels, 2 * channels, 3, padding=1)
        self.coarse = ResBlocks(2 * channels, 2)
        self.out = nn.Conv2d(2 * channels, out_channels, 3, padding=1)

    def forward(self, residual: Tensor, lr_features: Tensor) -> Tensor:
        x = self.stem(cat_channels(F.pixel_unshuffle(residual, 4), lr_features))
        x = self.down(F.pixel_unshuffle(self.fine(x), 2))
        return self.out(self.coarse(x))
