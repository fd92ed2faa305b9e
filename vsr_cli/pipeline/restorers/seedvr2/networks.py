"""The networks of SeedVR2 on clips: on the device, or waiting for their turn; whole or in tiles."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from vsr_cli.models.seedvr2.autoencoder import Stream
from vsr_cli.models.seedvr2.config import LATENT_STRIDE, SIZE_MULTIPLE
from vsr_cli.models.seedvr2.model import SeedVr2Model
from vsr_cli.ops.resize import pad_by_reflection, resize
from vsr_cli.ops.windows import Grid, TileSum
from vsr_cli.pipeline.restorers.seedvr2.memory import TILE_OVERLAP, SeedVr2RunPlan


class Networks:
    """A model on its device; between calls nothing but weights stays here."""

    def __init__(self, model: SeedVr2Model, run_plan: SeedVr2RunPlan) -> None:
        """Move the model to its device, all but what has to wait."""
        self.model, self.run_plan = model, run_plan
        device, dtype = run_plan.device, run_plan.dtype
        if not run_plan.offload:
            model.to(device, dtype)
            return
        denoiser = model.denoiser
        denoiser.blocks.to("cpu")
        for part in (model.autoencoder, *denoiser.children()):
            if part is not denoiser.blocks:
                part.to(device, dtype)
        model.text = model.text.to(device, dtype)

    @property
    def is_tiled(self) -> bool:
        """Whether the autoencoder works in tiles, if frames are larger."""
        return self.run_plan.tile_size is not None

    def encode(self, frames: Sequence[Tensor], size: tuple[int, int], noise: Tensor) -> Tensor:
        """LR frames (3, h, w), 4n+1 of them -> a sample of the latents (T', 16, H/8, W/8).

        Args:
            frames: of the source.
            size: (height, width) of the target, to which they are enlarged first.
            noise: of the result's shape.
        """
        grid = self._grid(noise)
        pixels = grid.scaled(LATENT_STRIDE)
        pieces = (
            self.model.encode(
                (
                    columns.cut(rows.cut(self._enlarged(frame, size), dim=-2), dim=-1)
                    for frame in frames
                ),
                of_noise,
            )
            for (rows, columns), of_noise in zip(pixels.tiles, grid.cut(noise), strict=True)
        )
        return grid.merge(pieces)

    def denoise(self, noisy_latents: Tensor, lr_latents: Tensor, t: float) -> Tensor:
        """Predict noise minus clean latents (T', 16, h, w) at time `t`."""
        turn = self._lent if self.run_plan.offload else nullcontext
        return self.model.denoise(noisy_latents, lr_latents, t, turn=turn)

    def decode(self, latents: Tensor, stream: Stream, skip: int) -> Iterator[Tensor]:
        """Frames (3, H, W) of latents (T', 16, h, w), without the first `skip`.

        `stream` is what they go on with; in tiles it has to be empty, and stays so.
        """
        grid = self._grid(latents)
        if len(grid.tiles) == 1:
            yield from self.model.decode(latents, stream, skip=skip)
            return
        pixels, wholes = grid.scaled(LATENT_STRIDE), list[TileSum]()
        for piece in grid.cut(latents):
            for index, frame in enumerate(self.model.decode(piece, Stream(), skip=skip)):
                if index == len(wholes):
                    wholes.append(TileSum(pixels, torch.float16))
                wholes[index].add(frame.cpu())
        while wholes:
            yield wholes.pop(0).whole().float()

    def _grid(self, latents: Tensor) -> Grid:
        size = (latents.shape[-2], latents.shape[-1])
        return Grid.plan(size, self.run_plan.tile_size, TILE_OVERLAP)

    def _enlarged(self, frame: Tensor, size: tuple[int, int]) -> Tensor:
        """A frame as the networks have seen them in training, (3, H, W), padded."""
        enlarged = resize(frame.to(self.run_plan.device).float(), size).clamp(-1, 1)
        return pad_by_reflection(enlarged, SIZE_MULTIPLE)

    @contextmanager
    def _lent(self, block: nn.Module) -> Iterator[None]:
        """Have a block on the device, in the dtype that is computed in, for its turn."""
        waiting = [(tensor, tensor.data) for tensor in block.parameters()]
        # What is made in inference mode could not be put into a parameter.
        with torch.inference_mode(False), torch.no_grad():
            for tensor, data in waiting:
                tensor.data = data.to(self.run_plan.device, self.run_plan.dtype)
        try:
            yield
        finally:
            for tensor, data in waiting:
                tensor.data = data
