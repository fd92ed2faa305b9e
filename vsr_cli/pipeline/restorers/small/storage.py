"""Tensors that need not all be in memory at once."""

import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.media.writing.destination import output_errors
from vsr_cli.pipeline.restorers.small.regions import Area, cut

ALIGNMENT = 64  # bytes, of each tensor in a file


@dataclass(frozen=True)
class Shape:
    """Of a tensor, (..., C, H, W).

    is_channels_last: in memory. What a region has of it is then one piece for each row, instead of
        one for each row and channel, and on disk it touches few pages besides its own.
    """

    size: tuple[int, ...]
    dtype: torch.dtype
    is_channels_last: bool = True

    @classmethod
    def of(cls, x: Tensor) -> "Shape":
        """That of `x`, channels last."""
        return cls(tuple(x.shape), x.dtype)

    @property
    def num_bytes(self) -> int:
        """All of it."""
        return torch.Size(self.size).numel() * self.dtype.itemsize

    def laid_out(self, flat: Tensor) -> Tensor:
        """One-dimensional `flat` as a tensor of this shape; a view."""
        if not self.is_channels_last:
            return flat.view(self.size)
        *front, channels, height, width = self.size
        return flat.view((*front, height, width, channels)).movedim(-1, -3)


class Storage:
    """Tensors of known shapes: in memory, or in one file that vanishes with the process.

    tensors: by name, zero to begin with.
    """

    def __init__(self, shapes: Mapping[str, Shape], folder: Path | None) -> None:
        """Make room.

        Args:
            shapes: by name.
            folder: for the file; None: they lie in memory.

        Raises:
            OutputError: the disk is full.
        """
        self._map: mmap.mmap | None = None
        self._order = mmap.MADV_NORMAL
        if folder is None:
            self.tensors = {
                name: shape.laid_out(torch.zeros(torch.Size(shape.size).numel(), dtype=shape.dtype))
                for name, shape in shapes.items()
            }
            return
        starts, total = {}, 0
        for name, shape in shapes.items():
            starts[name] = total
            total += -(-shape.num_bytes // ALIGNMENT) * ALIGNMENT
        with (
            output_errors(f"`{folder}` has no room for what does not fit into memory"),
            tempfile.TemporaryFile(dir=folder) as file,
        ):
            os.posix_fallocate(file.fileno(), 0, total)  # a page that has no room would be fatal
            self._map = mmap.mmap(file.fileno(), total)
        whole = torch.frombuffer(self._map, dtype=torch.uint8)
        self._address = whole.data_ptr()
        self.tensors = {
            name: shape.laid_out(
                whole[starts[name] : starts[name] + shape.num_bytes].view(shape.dtype)
            )
            for name, shape in shapes.items()
        }

    def part(self, name: str, area: Area) -> Tensor:
        """Rows and columns of a tensor to be read; a view, whose pages are on their way."""
        x = self.room(name, area)
        if self._map is not None:
            self._read_rows(self._map, x)
        return x

    def room(self, name: str, area: Area) -> Tensor:
        """Rows and columns of a tensor to be written over; a view."""
        # What lies beside a region's rows is another's: read along, it would push out what is
        # wanted where memory is short, and be read many times over.
        self._expect(mmap.MADV_RANDOM)
        return cut(self.tensors[name], area)

    def in_order(self) -> dict[str, Tensor]:
        """All tensors, to be read one after the other."""
        self._expect(mmap.MADV_SEQUENTIAL)
        return dict(self.tensors)

    def take(self) -> list[Tensor]:
        """All tensors in their order, for others to hold: each goes when they let go of it."""
        taken = list(self.tensors.values())
        self.tensors.clear()
        return taken

    def _expect(self, order: int) -> None:
        """Tell the system in what order pages will be asked for."""
        if self._map is not None and order != self._order:
            self._map.madvise(order)
            self._order = order

    def _read_rows(self, pages: mmap.mmap, x: Tensor) -> None:
        """Have the system read the rows of `x` (..., C, h, w), channels last, side by side."""
        first = x.data_ptr() - self._address
        num_bytes = x.shape[-3] * x.shape[-1] * x.itemsize
        for row in range(x.shape[-2]):
            begin = first + row * x.stride(-2) * x.itemsize
            page = begin // mmap.PAGESIZE * mmap.PAGESIZE
            pages.madvise(mmap.MADV_WILLNEED, page, begin + num_bytes - page)

    def release(self) -> None:
        """Leave what lies in a file to the system, which may write it out whenever it has to."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)
