"""A frame in tiles, on every grid that the networks of the small family use."""

from collections.abc import Sequence

from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.models.small.denoiser import LEVEL_OF_MIXER, Past
from vsr_cli.models.small.model import BODY_STRIDE, LATENT_STRIDE, Condition
from vsr_cli.ops.windows import Grid

NUM_LEVELS = max(LEVEL_OF_MIXER) + 1
ALIGNMENT = 2 ** (NUM_LEVELS - 1)  # latent pixels: tiles begin where every level has a pixel


class Tiles:
    """Cuts tensors of whole frames into tiles, and merges what was computed of each.

    levels: grids of the denoiser's levels, the first that of the latents.
    body_grid: of features; `source_grid` of the source's frames, `output_grid` of decoded ones.
    """

    def __init__(self, size: tuple[int, int], tile_size: int, overlap: int, scale: int) -> None:
        """Cover latents of (height, width) with square tiles.

        Args:
            size: of the latents.
            tile_size: latent pixels, rounded down to a multiple of `ALIGNMENT`.
            overlap: latent pixels that neighbours share at least, rounded likewise.
            scale: of the target against the source, per side.
        """
        height, width = size
        sizes = [(-(-height // 2**n), -(-width // 2**n)) for n in range(NUM_LEVELS)]
        coarsest = Grid.plan(sizes[-1], tile_size // ALIGNMENT, overlap // ALIGNMENT)
        self.levels = [
            coarsest.scaled(ALIGNMENT // 2**n, within=level) for n, level in enumerate(sizes)
        ]
        factor = LATENT_STRIDE // BODY_STRIDE
        self.body_grid = coarsest.scaled(
            factor * ALIGNMENT, within=(factor * height, factor * width)
        )
        self.source_grid = self.body_grid.scaled(BODY_STRIDE // scale)
        self.output_grid = self.body_grid.scaled(BODY_STRIDE)

    def cut_condition(self, condition: Condition) -> list[Condition]:
        """The condition of each tile."""
        levels = [grid.cut(x) for grid, x in zip(self.levels, condition.levels, strict=True)]
        features = self.body_grid.cut(condition.lr_features)
        return [Condition(x, list(of)) for x, *of in zip(features, *levels, strict=True)]

    def merge_conditions(self, pieces: Sequence[Condition]) -> Condition:
        """The condition of the whole frame."""
        levels = [
            grid.merge([piece.levels[n] for piece in pieces]) for n, grid in enumerate(self.levels)
        ]
        return Condition(self.body_grid.merge([piece.lr_features for piece in pieces]), levels)

    def cut_past(self, past: Past | None) -> list[Past | None]:
        """The denoiser's past in each tile."""
        if past is None:
            return [None] * len(self.body_grid.tiles)
        cut = [self.levels[n].cut(x) for n, x in zip(LEVEL_OF_MIXER, past, strict=True)]
        return [list(of_tile) for of_tile in zip(*cut, strict=True)]

    def merge_pasts(self, pieces: Sequence[Past]) -> Past:
        """The denoiser's past of the whole frame."""
        return [
            self.levels[n].merge([piece[index] for piece in pieces])
            for index, n in enumerate(LEVEL_OF_MIXER)
        ]

    def cut_warps(self, warps: Sequence[MemoryWarp | None]) -> list[list[MemoryWarp | None]]:
        """For each tile, what the decoder may remember for each frame."""
        whole = [
            None if warp is None else list(zip(*map(self.body_grid.cut, warp.maps), strict=True))
            for warp in warps
        ]
        return [
            [None if maps is None else MemoryWarp(*maps[index]) for maps in whole]
            for index in range(len(self.body_grid.tiles))
        ]
