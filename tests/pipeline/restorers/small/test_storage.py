"""Tensors in memory or in a file: the same to those who read and write parts of them."""

import mmap
from pathlib import Path

import pytest
import torch

from vsr_cli.ops.windows import Window
from vsr_cli.pipeline.restorers.small.storage import Shape, Storage

SIZE = (1, 16, 40, 300)
SHAPES = {"first": Shape(SIZE, torch.float16), "second": Shape((1, 3, 7, 5), torch.float32)}
AREA = (Window(10, 30), Window(100, 220))


class RecordedMap(mmap.mmap):
    """Notes what the system is told about pages."""

    told: list[tuple[int, ...]] = []  # noqa: RUF012

    def madvise(self, option: int, *where: int) -> None:
        self.told.append((option, *where))
        super().madvise(option, *where)


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_what_is_written_is_read_back_wherever_it_lies(tmp_path: Path, is_on_disk: bool) -> None:
    storage = Storage(SHAPES, tmp_path if is_on_disk else None)
    assert {name: tuple(x.shape) for name, x in storage.tensors.items()} == {
        name: shape.size for name, shape in SHAPES.items()
    }
    assert not any(bool(x.any()) for x in storage.tensors.values())
    whole = torch.randn(SIZE).half()
    rows, columns = AREA
    inside = columns.cut(rows.cut(whole, dim=-2), dim=-1)
    storage.room("first", AREA).copy_(inside)
    storage.release()
    assert torch.equal(storage.part("first", AREA), inside)
    assert storage.in_order()["first"].count_nonzero() == inside.count_nonzero()
    assert not storage.tensors["second"].any()
    assert storage.tensors["first"].stride()[-3] == 1  # channels last
    assert not list(tmp_path.iterdir())  # the file has no name


def test_a_part_is_read_row_by_row_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmap, "mmap", RecordedMap)
    RecordedMap.told.clear()
    storage = Storage(SHAPES, tmp_path)
    storage.part("first", AREA)
    order, *rows = RecordedMap.told
    assert order == (mmap.MADV_RANDOM,)
    assert len(rows) == AREA[0].size
    row_bytes = SIZE[1] * SIZE[3] * 2
    for row, (option, start, length) in zip(range(10, 30), rows, strict=True):
        begin = row * row_bytes + 100 * SIZE[1] * 2
        assert option == mmap.MADV_WILLNEED
        assert start == begin // mmap.PAGESIZE * mmap.PAGESIZE
        assert start + length == begin + 120 * SIZE[1] * 2
    RecordedMap.told.clear()
    storage.in_order()
    storage.room("second", (Window(0, 7), Window(0, 5)))
    assert RecordedMap.told == [(mmap.MADV_SEQUENTIAL,), (mmap.MADV_RANDOM,)]


def test_tensors_that_are_taken_are_in_their_own_order_and_no_longer_held() -> None:
    storage = Storage({str(k): Shape((3, 4, 8), torch.float16, False) for k in range(3)}, None)
    taken = storage.take()
    assert [x.is_contiguous() for x in taken] == [True] * 3
    assert storage.tensors == {}
