"""Networks that go on with less when memory runs out."""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TypeVar

import torch
from torch import Tensor

from vsr_cli.errors import MemoryExhaustedError
from vsr_cli.events import Note, Report
from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.models.small.denoiser import Past
from vsr_cli.models.small.model import LATENT_STRIDE, Condition, SmallModel
from vsr_cli.models.small.tiles import Tiles
from vsr_cli.ops.windows import TileSum, Window
from vsr_cli.pipeline.memory import is_out_of_memory, release_memory
from vsr_cli.pipeline.restorers.small.memory import SMALLEST_TILE, tile_overlap

R = TypeVar("R")


class AdaptiveNetworks:
    """A model whose calls are cut into smaller ones when memory runs out.

    A call that fails is made once more after caches were emptied, then with half the frames at a
    time, down to one, and then in tiles, down to the smallest. How many frames a call sees does not
    change what it computes, since everything along time looks back and is handed on. Tiles change
    it a little near their edges, where they are faded into each other. What was found to fit is
    kept for the rest of the job, and everything handed on is of whole frames, so that it may change
    at any call.
    """

    def __init__(
        self,
        model: SmallModel,
        scale: int,
        *,
        tile_size: int | None,
        may_tile: bool,
        report: Report,
    ) -> None:
        """Wrap a model.

        Args:
            model: on its device, in its dtype.
            scale: by how much it enlarges, one of its own.
            tile_size: latent pixels to begin with; None: whole frames.
            may_tile: whether tiles may be taken where nothing else fits.
            report: hears `W_MEMORY_RETRIED`, `W_MEMORY_FRAMES` and `W_MEMORY_TILES`.
        """
        self.model = model
        self.scale = scale
        self._most_frames: int | None = None
        self._tile_size = tile_size
        self._may_tile = may_tile
        self._report = report

    def condition(self, lr_frames: Tensor) -> Condition:
        """As `SmallModel.condition`."""

        def call() -> Condition:
            # A CPU is busy with one frame; many at once would only take memory.
            most = 1 if lr_frames.device.type == "cpu" else None
            cut = self._cut(count, most)
            parts = [self._condition(frames.cut(lr_frames, dim=1)) for frames in cut]
            return parts[0] if len(parts) == 1 else _join(parts)

        count = lr_frames.shape[1]
        return self._within_memory(call, count, self._latent_size(lr_frames))

    def denoise(
        self, x: Tensor, log_snr: Tensor, condition: Condition, past: Past | None
    ) -> tuple[Tensor, Past]:
        """As `SmallModel.denoise`."""

        def call() -> tuple[Tensor, Past]:
            pieces, state = [], past
            for frames in self._cut(x.shape[1]):
                part = condition.sliced(frames)
                v, state = self._denoise(frames.cut(x, dim=1), log_snr, part, state)
                pieces.append(v)
            return _joined(pieces), state or []

        return self._within_memory(call, x.shape[1], (x.shape[-2], x.shape[-1]))

    def decode(
        self,
        latents: Tensor,
        lr_frames: Tensor,
        lr_features: Tensor,
        *,
        fidelity: float,
        memory_features: Tensor | None,
        warps: Sequence[MemoryWarp | None],
    ) -> tuple[Tensor, Tensor]:
        """As `SmallModel.decode`, which works frame by frame whatever the number of frames."""
        size = self._latent_size(lr_frames)

        def decode(
            latents: Tensor,
            lr_frames: Tensor,
            lr_features: Tensor,
            memory_features: Tensor | None,
            warps: Sequence[MemoryWarp | None],
        ) -> tuple[Tensor, Tensor]:
            return self.model.decode(
                latents,
                lr_frames,
                lr_features,
                fidelity=fidelity,
                memory_features=memory_features,
                warps=warps,
            )

        def call() -> tuple[Tensor, Tensor]:
            if self._is_whole(size):
                return decode(latents, lr_frames, lr_features, memory_features, warps)
            tiles = self._tiles(size)
            cut = tiles.body_grid.cut
            decoded = map(
                decode,
                tiles.levels[0].cut(latents),
                tiles.source_grid.cut(lr_frames),
                cut(lr_features),
                repeat(None) if memory_features is None else cut(memory_features),
                tiles.cut_warps(warps),
            )
            frames, memories = TileSum(tiles.output_grid), TileSum(tiles.body_grid)
            for frame, memory in decoded:
                frames.add(frame)
                memories.add(memory)
            return frames.whole(), memories.whole()

        return self._within_memory(call, 1, size)

    def _condition(self, lr_frames: Tensor) -> Condition:
        size = self._latent_size(lr_frames)
        if self._is_whole(size):
            return self.model.condition(lr_frames, self.scale)
        tiles = self._tiles(size)
        cut = tiles.source_grid.cut(lr_frames)
        return tiles.merge_conditions([self.model.condition(tile, self.scale) for tile in cut])

    def _denoise(
        self, x: Tensor, log_snr: Tensor, condition: Condition, past: Past | None
    ) -> tuple[Tensor, Past]:
        size = (x.shape[-2], x.shape[-1])
        if self._is_whole(size):
            return self.model.denoise(x, log_snr, condition, past)
        tiles = self._tiles(size)
        grid = tiles.levels[0]
        found = [
            self.model.denoise(tile, log_snr, of_condition, of_past)
            for tile, of_condition, of_past in zip(
                grid.cut(x), tiles.cut_condition(condition), tiles.cut_past(past), strict=True
            )
        ]
        pieces, pasts = zip(*found, strict=True)
        return grid.merge(pieces), tiles.merge_pasts(pasts)

    def _within_memory(self, call: Callable[[], R], num_frames: int, size: tuple[int, int]) -> R:
        """Make a call, with less at a time after each failure.

        Raises:
            MemoryExhaustedError: not even the least fits.
        """
        has_retried = False
        while True:
            try:
                return call()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out here the failed call's tensors are no longer held by its traceback.
            release_memory()
            if has_retried:
                self._take_less(num_frames, size)
            else:
                has_retried = True
                text = "memory has run out; what was only cached was given back, and it goes on"
                self._report(Note(code="W_MEMORY_RETRIED", text=text))

    def _take_less(self, num_frames: int, size: tuple[int, int]) -> None:
        frames = min(num_frames, self._most_frames or num_frames)
        side = min(self._tile_size or max(size), max(size))
        if frames > 1:
            self._most_frames = -(-frames // 2)
            text = f"memory has run out; networks now see {self._most_frames} frames at a time"
            self._report(Note(code="W_MEMORY_FRAMES", text=text))
        elif self._may_tile and side // 2 >= SMALLEST_TILE:
            self._tile_size = side // 2
            side = LATENT_STRIDE * self._tile_size
            text = (
                f"memory has run out; networks now see tiles of {side} pixels, "
                "which differ a little from whole frames near their edges"
            )
            self._report(Note(code="W_MEMORY_TILES", text=text))
        else:
            raise MemoryExhaustedError(
                "memory has run out",
                why="a single frame, in the smallest tiles there may be, needs more than is free",
                hint="free memory, allow tiles with `--tile auto`, or use another `--device`",
            )

    def _cut(self, num_frames: int, most: int | None = None) -> list[Window]:
        """The frames of a clip, as many at a time as are known to fit, and no more than `most`."""
        size = min(num_frames, self._most_frames or num_frames, most or num_frames)
        starts = range(0, num_frames, size)
        return [Window(start, min(start + size, num_frames)) for start in starts]

    def _is_whole(self, size: tuple[int, int]) -> bool:
        return self._tile_size is None or self._tile_size >= max(size)

    def _tiles(self, size: tuple[int, int]) -> Tiles:
        side = self._tile_size or max(size)
        return Tiles(size, side, tile_overlap(side), self.scale)

    def _latent_size(self, lr_frames: Tensor) -> tuple[int, int]:
        height, width = lr_frames.shape[-2:]
        return height * self.scale // LATENT_STRIDE, width * self.scale // LATENT_STRIDE


def _join(parts: Sequence[Condition]) -> Condition:
    """The condition of consecutive frames."""
    features = torch.cat([part.lr_features for part in parts], dim=1)
    by_level = zip(*(part.levels for part in parts), strict=True)
    batch = features.shape[0]
    return Condition(
        features,
        [
            torch.cat([x.unflatten(0, (batch, -1)) for x in level], dim=1).flatten(0, 1)
            for level in by_level
        ],
    )


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat([*pieces], dim=1)
