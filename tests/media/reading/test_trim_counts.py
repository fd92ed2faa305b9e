"""How many frames a part of a source is said to have: as many as are read of it."""

from fractions import Fraction
from pathlib import Path

import pytest

from tests.conftest import MakeClip
from vsr_cli.config import InputConfig
from vsr_cli.events import ignore
from vsr_cli.media.reading.reader import probe, read_frames

PARTS = [
    (InputConfig(stop=Fraction(1, 10)), 3),  # 0, 0.04 and 0.08 s
    (InputConfig(stop=Fraction(3, 25)), 3),
    (InputConfig(stop=Fraction(121, 1000)), 4),
    (InputConfig(start=Fraction(1, 10), stop=Fraction(3, 10)), 5),  # 0.12 to 0.28 s
    (InputConfig(start=Fraction(3, 25), duration=Fraction(1, 25)), 1),
    (InputConfig(start=Fraction(3, 10), duration=Fraction(10)), 2),  # the source ends before
    (InputConfig(frames=(2, 7)), 5),
    (InputConfig(frames=(8, 99)), 2),
]


@pytest.mark.parametrize(("config", "num_frames"), PARTS)
def test_a_part_has_as_many_frames_as_it_is_said_to_have(
    tmp_path: Path, make_clip: MakeClip, config: InputConfig, num_frames: int
) -> None:
    path = make_clip(tmp_path / "in.mp4", num_frames=10)
    assert probe(path, config).num_frames == num_frames
    assert len(list(read_frames(path, config, report=ignore))) == num_frames
