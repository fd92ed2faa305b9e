"""A frame in regions that are restored one after the other, on every grid the networks use."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from vsr_cli.models.small.denoiser import LEVEL_OF_MIXER
from vsr_cli.models.small.model import BODY_STRIDE, LATENT_STRIDE
from vsr_cli.ops.windows import Grid, Window

NUM_LEVELS = max(LEVEL_OF_MIXER) + 1
ALIGNMENT = 2 ** (NUM_LEVELS - 1)  # latent pixels: regions begin where every level has a pixel

Area = tuple[Window, Window]  # rows and columns


@dataclass(frozen=True)
class Region:
    """A rectangle of the frame, as rows and columns of each grid.

    levels: of the denoiser's levels, the first that of the latents.
    body: of features; `source` of the source's frames, `output` of decoded ones.
    core_levels, core_body: the part that belongs to no other region, of the same grids.
    """

    levels: tuple[Area, ...]
    body: Area
    source: Area
    output: Area
    core_levels: tuple[Area, ...]
    core_body: Area

    @property
    def latents(self) -> Area:
        """Rows and columns of the latents."""
        return self.levels[0]


@dataclass(frozen=True)
class Regions:
    """All regions of a frame; one if that is the whole.

    level_sizes: (height, width) of the denoiser's levels; `body_size` of the features.
    output_grid: of decoded frames, on which regions are cross-faded.
    """

    all: tuple[Region, ...]
    level_sizes: tuple[tuple[int, int], ...]
    body_size: tuple[int, int]
    output_grid: Grid

    @property
    def is_whole(self) -> bool:
        """Whether the frame is restored as a whole."""
        return len(self.all) == 1


def plan_regions(size: tuple[int, int], side: int | None, overlap: int, scale: int) -> Regions:
    """Cover latents of (height, width) with square regions.

    Args:
        size: of the latents.
        side: of a region in latent pixels, rounded down to a multiple of `ALIGNMENT`; None: one
            region, the whole frame.
        overlap: latent pixels that neighbours share at least, rounded likewise.
        scale: of the target against the source, per side.
    """
    height, width = size
    level_sizes = tuple((-(-height // 2**n), -(-width // 2**n)) for n in range(NUM_LEVELS))
    factor = LATENT_STRIDE // BODY_STRIDE
    body_size = (factor * height, factor * width)
    coarsest = Grid.plan(level_sizes[-1], side // ALIGNMENT if side else None, overlap // ALIGNMENT)
    cores = Grid(_cores(coarsest.rows), _cores(coarsest.columns))
    by_level, core_by_level = (
        [grid.scaled(ALIGNMENT // 2**n, within=level) for n, level in enumerate(level_sizes)]
        for grid in (coarsest, cores)
    )
    body, core_body = (
        grid.scaled(factor * ALIGNMENT, within=body_size) for grid in (coarsest, cores)
    )
    source, output = body.scaled(BODY_STRIDE // scale), body.scaled(BODY_STRIDE)
    regions = tuple(
        Region(
            levels=tuple(grid.tiles[index] for grid in by_level),
            body=body.tiles[index],
            source=source.tiles[index],
            output=output.tiles[index],
            core_levels=tuple(grid.tiles[index] for grid in core_by_level),
            core_body=core_body.tiles[index],
        )
        for index in range(len(coarsest.tiles))
    )
    return Regions(regions, level_sizes, body_size, output)


def cut(x: Tensor, area: Area) -> Tensor:
    """The rows and columns of `x` (..., h, w); a view."""
    rows, columns = area
    return columns.cut(rows.cut(x, dim=-2), dim=-1)


def within(area: Area, outer: Area) -> Area:
    """The same rows and columns, counted from where `outer` begins."""
    rows, columns = (
        Window(own.start - of.start, own.stop - of.start)
        for own, of in zip(area, outer, strict=True)
    )
    return rows, columns


def _cores(windows: Sequence[Window]) -> tuple[Window, ...]:
    """Split the axis between the windows, in the middle of what neighbours share."""
    borders = [(before.stop + after.start) // 2 for before, after in pairwise(windows)]
    edges = [windows[0].start, *borders, windows[-1].stop]
    return tuple(Window(start, stop) for start, stop in pairwise(edges))
