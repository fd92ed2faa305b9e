"""Which parts of a picture have to be looked at to repair others."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CELL = 32  # pixels of a side; parts begin at whole cells, so that halved chroma fits


class Rectangle(NamedTuple):
    """A part of a picture, half-open, in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    def overlaps(self, other: "Rectangle") -> bool:
        """Whether they share a pixel."""
        rows = self.top < other.bottom and other.top < self.bottom
        return rows and self.left < other.right and other.left < self.right

    def joined(self, other: "Rectangle") -> "Rectangle":
        """The least that holds both."""
        return Rectangle(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


def rectangles_around(mask: NDArray[np.bool_], margin: int) -> list[Rectangle]:
    """Parts that hold everything in a mask (H, W) with a margin around it, and do not overlap."""
    height, width = mask.shape
    rows, columns = -(-height // CELL), -(-width // CELL)
    padded = np.zeros((rows * CELL, columns * CELL), bool)
    padded[:height, :width] = mask
    cells = padded.reshape(rows, CELL, columns, CELL).any((1, 3))
    reach = -(-margin // CELL)
    found: list[Rectangle] = []
    for row, column in np.argwhere(cells):
        new = Rectangle(
            max(0, int(row) - reach) * CELL,
            max(0, int(column) - reach) * CELL,
            min(height, (int(row) + reach + 1) * CELL),
            min(width, (int(column) + reach + 1) * CELL),
        )
        while (other := next((old for old in found if old.overlaps(new)), None)) is not None:
            found.remove(other)
            new = new.joined(other)
        found.append(new)
    return sorted(found)
