"""Covering an axis with overlapping windows and merging them again: one axis at a time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """Positions `start` to `stop`, half-open, of one axis."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"expected 0 <= start < stop, got {self.start} and {self.stop}")

    @property
    def size(self) -> int:
        """Number of positions."""
        return self.stop - self.start

    def cut(self, x: Tensor, *, dim: int) -> Tensor:
        """This window of `x` along `dim`; a view."""
        return x.narrow(dim, self.start, self.size)


def plan_windows(length: int, size: int, overlap: int) -> list[Window]:
    """Cover 0 to `length` with the fewest windows of `size` that share at least `overlap`.

    All windows are equally long, so that a network sees one shape; they are spread evenly, so that
    the last is no sliver. An axis no longer than `size` is one window.

    Args:
        length: positions on the axis, at least 1.
        size: positions in a window, at least 1.
        overlap: positions neighbours share, 0 to `size` - 1.
    """
    if length < 1 or not 0 <= overlap < size:
        raise ValueError(
            f"expected length >= 1 and 0 <= overlap < size, got {length}, {overlap} and {size}"
        )
    if length <= size:
        return [Window(0, length)]
    count = math.ceil((length - overlap) / (size - overlap))
    # Floors of an even spread: a step is never longer than size - overlap.
    starts = [(length - size) * index // (count - 1) for index in range(count)]
    return [Window(start, start + size) for start in starts]


def step_windows(length: int, size: int, stride: int) -> list[Window]:
    """Cover 0 to `length` with windows of `size` that begin every `stride`, the last one flush.

    Unlike those of `plan_windows` all but the last lie where they would lie on any longer axis.
    An axis no longer than `size` is one window.
    """
    if length < 1 or not 1 <= stride <= size:
        raise ValueError(
            f"expected length >= 1 and 1 <= stride <= size, got {length}, {stride} and {size}"
        )
    if length <= size:
        return [Window(0, length)]
    starts = [*range(0, length - size, stride), length - size]
    return [Window(start, start + size) for start in starts]


def gaussian_weights(size: int, center: float) -> Tensor:
    """The bell that published tiles are merged with along one axis, (size,) float64.

    exp(-(u - center)^2 / (2 v size^2)) / sqrt(2 pi v) with v = 0.01: a tenth of a tile.
    """
    variance = 0.01
    distance = torch.arange(size, dtype=torch.float64) - center
    bell = torch.exp(-(distance**2) / (2 * variance * size**2))
    return bell / math.sqrt(2 * math.pi * variance)


def fade_weights(windows: Sequence[Window]) -> list[Tensor]:
    """A trapezoid for each window; at every position of the axis they sum to one.

    Ramps run over what neighbours share; the axis' own ends keep full weight. Where more than two
    windows meet, the sum is divided out.

    Returns:
        One float32 (size,) per window, all above 0.
    """
    length = max(window.stop for window in windows)
    total = torch.zeros(length, dtype=torch.float64)
    trapezoids = []
    for index, window in enumerate(windows):
        weight = torch.ones(window.size, dtype=torch.float64)
        if index and (shared := windows[index - 1].stop - window.start) > 0:
            weight[:shared] *= _ramp(shared)
        if index + 1 < len(windows) and (shared := window.stop - windows[index + 1].start) > 0:
            weight[-shared:] *= _ramp(shared).flip(0)
        total[window.start : window.stop] += weight
        trapezoids.append(weight)
    return [
        (weight / total[window.start : window.stop]).float()
        for weight, window in zip(trapezoids, windows, strict=True)
    ]


@dataclass(frozen=True)
class Grid:
    """Tiles of a plane: every window of the rows with every window of the columns."""

    rows: tuple[Window, ...]
    columns: tuple[Window, ...]

    @classmethod
    def plan(cls, size: tuple[int, int], tile_size: int | None, overlap: int) -> "Grid":
        """Cover (height, width) with square tiles; None makes the whole plane one tile."""
        rows, columns = (
            plan_windows(side, tile_size or side, overlap if tile_size else 0) for side in size
        )
        return cls(tuple(rows), tuple(columns))

    @classmethod
    def step(cls, size: tuple[int, int], tile_size: int, stride: int) -> "Grid":
        """Cover (height, width) with square tiles that begin every `stride`."""
        rows, columns = (step_windows(side, tile_size, stride) for side in size)
        return cls(tuple(rows), tuple(columns))

    @property
    def tiles(self) -> list[tuple[Window, Window]]:
        """(rows, columns) of each tile, row by row."""
        return [(rows, columns) for rows in self.rows for columns in self.columns]

    def scaled(self, factor: int, *, within: tuple[int, int] | None = None) -> "Grid":
        """The same tiles on a grid that is `factor` times finer, and ends at (height, width)."""

        def finer(windows: tuple[Window, ...], end: int | None) -> tuple[Window, ...]:
            stops = (factor * w.stop if end is None else min(factor * w.stop, end) for w in windows)
            return tuple(
                Window(factor * w.start, stop) for w, stop in zip(windows, stops, strict=True)
            )

        height, width = within or (None, None)
        return Grid(finer(self.rows, height), finer(self.columns, width))

    def cut(self, x: Tensor) -> list[Tensor]:
        """The tiles of `x` (..., h, w) in order; views."""
        return [columns.cut(rows.cut(x, dim=-2), dim=-1) for rows, columns in self.tiles]

    def merge(self, pieces: Iterable[Tensor]) -> Tensor:
        """Tiles (..., h, w) in order -> the plane, cross-faded where they share.

        Pieces are taken one by one, so a generator holds one at a time.
        """
        plane, dtype = TileSum(self), torch.float32
        for piece in pieces:
            plane.add(piece)
            dtype = piece.dtype
        return plane.whole().to(dtype)

    def blend(self, pieces: Iterable[Tensor], weight: Tensor) -> Tensor:
        """Tiles (..., h, w) in order -> the plane: their mean by `weight`, (h, w) of every tile.

        Pieces are taken one by one and are added in float32.
        """
        size = (max(w.stop for w in self.rows), max(w.stop for w in self.columns))
        total: Tensor | None = None
        for (rows, columns), piece in zip(self.tiles, pieces, strict=True):
            if total is None:
                total = torch.zeros((*piece.shape[:-2], *size), device=piece.device)
                weight = weight.to(total)
                weights = torch.zeros(size, device=piece.device)
            columns.cut(rows.cut(total, dim=-2), dim=-1).add_(piece.float() * weight)
            columns.cut(rows.cut(weights, dim=-2), dim=-1).add_(weight)
        if total is None:
            raise ValueError("expected at least one tile")
        return total.div_(weights)


class TileSum:
    """A plane that tiles are added to one by one, cross-faded where they share.

    It holds the plane alone, whatever the number of tiles.
    """

    def __init__(
        self, grid: Grid, dtype: torch.dtype = torch.float32, *, plane: Tensor | None = None
    ) -> None:
        """Begin with nothing.

        Args:
            grid: of the tiles.
            dtype: of the sums; half precision is enough for pictures of 10 bits.
            plane: zeros to add to, (..., h, w) of that type; None: it is made for the first tile.
        """
        rows, columns = fade_weights(grid.rows), fade_weights(grid.columns)
        self._tiles = grid.tiles
        self._weights = [(row, column) for row in rows for column in columns]
        self._size = (max(w.stop for w in grid.rows), max(w.stop for w in grid.columns))
        self._count = 0
        self._total = plane
        self._dtype = dtype

    def add(self, piece: Tensor) -> None:
        """Add the next tile (..., h, w), in the order of `Grid.tiles`."""
        (rows, columns), (row, column) = self._tiles[self._count], self._weights[self._count]
        if tuple(piece.shape[-2:]) != (rows.size, columns.size):
            expected = (rows.size, columns.size)
            raise ValueError(f"expected a tile of {expected}, got {tuple(piece.shape)}")
        self._count += 1
        if len(self._tiles) == 1 and self._total is None:
            self._total = piece.to(self._dtype)
            return
        if self._total is None:
            shape = (*piece.shape[:-2], *self._size)
            self._total = torch.zeros(shape, device=piece.device, dtype=self._dtype)
        weight = torch.outer(row, column).to(piece.device)
        columns.cut(rows.cut(self._total, dim=-2), dim=-1).add_(
            (piece.float() * weight).to(self._dtype)
        )

    def whole(self) -> Tensor:
        """The plane, once all tiles are there."""
        if self._total is None or self._count < len(self._tiles):
            raise ValueError(f"expected {len(self._tiles)} tiles, got {self._count}")
        return self._total


def _ramp(length: int) -> Tensor:
    """From just above 0 to just below 1; with its mirror image it sums to one."""
    return (torch.arange(length, dtype=torch.float64) + 0.5) / length
