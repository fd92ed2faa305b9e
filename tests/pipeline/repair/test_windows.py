import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vsr_cli.pipeline.repair.windows import CELL, rectangles_around


@given(
    points=st.lists(st.tuples(st.integers(0, 299), st.integers(0, 399)), max_size=6),
    margin=st.integers(0, 96),
)
def test_parts_hold_the_mask_with_its_margin_and_do_not_overlap(
    points: list[tuple[int, int]], margin: int
) -> None:
    mask = np.zeros((300, 400), bool)
    for y, x in points:
        mask[y, x] = True
    parts = rectangles_around(mask, margin)
    assert all(part.top % CELL == part.left % CELL == 0 for part in parts)
    for y, x in points:
        (part,) = (p for p in parts if p.top <= y < p.bottom and p.left <= x < p.right)
        assert part.top <= max(0, y - margin)
        assert part.left <= max(0, x - margin)
        assert part.bottom >= min(300, y + margin + 1)
        assert part.right >= min(400, x + margin + 1)
    assert not any(a.overlaps(b) for k, a in enumerate(parts) for b in parts[k + 1 :])


def test_marks_far_from_each_other_are_apart() -> None:
    mask = np.zeros((720, 1280), bool)
    mask[20:80, 1100:1250] = mask[640:700, 40:200] = True
    parts = rectangles_around(mask, 96)
    assert len(parts) == 2
    assert sum(part.area for part in parts) < 0.25 * 720 * 1280
