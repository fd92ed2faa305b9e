"""The networks of an imported model on clips: in batches of tiles, taking turns on the device."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.counting import counted
from vsr_cli.errors import DeviceError
from vsr_cli.events import Note, Report
from vsr_cli.models.mgld.model import MgldModel
from vsr_cli.ops.windows import Grid, gaussian_weights
from vsr_cli.pipeline.memory import is_out_of_memory, release_memory
from vsr_cli.pipeline.restorers.mgld.memory import MgldRunPlan


class Networks:
    """A model on its device; what runs out of memory is tried again with less.

    Between calls nothing but weights stays here.
    """

    def __init__(self, model: MgldModel, run_plan: MgldRunPlan, report: Report) -> None:
        self.model = model
        self.run_plan = run_plan
        self._batch = run_plan.tile_batch
        self._report = report

    def encode(self, frames: Tensor, noise: Tensor | None = None) -> Tensor:
        """Frames (T, 3, H, W) -> latents (1, T, 4, h, w): their mode, or a sample."""
        with self._turn(self.model.encoder):
            return self.model.encode(frames).latents(noise)[None]

    def decode(self, latents: Tensor, frames: Tensor, fidelity: float) -> Tensor:
        """Latents (1, T, 4, h, w) and the LR frames (T, 3, H, W) -> frames (T, 3, H, W)."""
        with self._turn(self.model.feature_encoder):
            features = self.model.features(frames) if fidelity else ()
            if self.run_plan.offload:
                features = tuple(level.cpu() for level in features)
        with self._turn(self.model.decoder):
            return self.model.decode(latents[0], features, fidelity)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Have the denoiser ready for many calls of `predict_noise`."""
        with self._turn(self.model.denoiser):
            yield

    def predict_noise(
        self, noisy_latents: Tensor, lr_latents: Tensor, t: int, *, is_released: bool = False
    ) -> Tensor:
        """Noise in (1, T, 4, h, w) at time `t`: predicted in tiles, blended by Gaussian weights.

        `is_released` weighs as the published program does, half a pixel off the middle downwards.
        """
        config = self.model.config
        height, width = noisy_latents.shape[-2:]
        stride = config.tile_size - config.tile_overlap
        grid = Grid.step((height, width), config.tile_size, stride)
        middle = (config.tile_size - 1) / 2
        weight = torch.outer(
            gaussian_weights(config.tile_size, config.tile_size / 2 if is_released else middle),
            gaussian_weights(config.tile_size, middle),
        )
        pieces: list[Tensor] = []
        noisy, lr = grid.cut(noisy_latents), grid.cut(lr_latents)
        while len(pieces) < len(noisy):
            some = slice(len(pieces), len(pieces) + self._batch)
            predicted = self._denoise(torch.cat(noisy[some]), torch.cat(lr[some]), t)
            if predicted is not None:
                pieces += predicted.split(1)
        return grid.blend(pieces, weight)

    def _denoise(self, noisy: Tensor, lr: Tensor, t: int) -> Tensor | None:
        """Predicted noise of a batch of tiles; None if fewer must be taken.

        Raises:
            DeviceError: not even one tile fits.
        """
        try:
            return self.model.denoise(noisy, lr, t)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if noisy.shape[0] == 1:
                raise _too_little(self.run_plan) from error
        release_memory()
        self._batch = max(1, noisy.shape[0] // 2)
        tiles = counted(self._batch, "tile")
        text = f"memory has run out; the denoiser goes on with {tiles} at a time"
        self._report(Note(code="W_MEMORY_BATCH", text=text))
        return None

    @contextmanager
    def _turn(self, part: nn.Module) -> Iterator[None]:
        """Have one network on the device, and the others elsewhere if they must wait.

        Raises:
            DeviceError: memory runs out.
        """
        if self.run_plan.offload:
            for other in self.model.children():
                other.to(self.run_plan.device if other is part else "cpu")
            gc.collect()
            torch.cuda.empty_cache()
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise _too_little(self.run_plan) from error


def enlarge(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames (T, 3, H, W) at another size, as the networks have seen them in training."""
    if tuple(frames.shape[-2:]) == size:
        return frames
    enlarged = F.interpolate(frames.float(), size=size, mode="bicubic", align_corners=False)
    return enlarged.clamp(-1, 1)


def _too_little(run_plan: MgldRunPlan) -> DeviceError:
    return DeviceError(
        f"`{run_plan.device}` has run out of memory",
        why="less was free than was planned with",
        hint="free memory, take a smaller `--scale` or `--tile 768`, or use another `--device`",
    )
