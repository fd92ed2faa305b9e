"""Which frames are taken for damaged, black or frozen."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.pipeline.repair.scenes import black, pan, showing
from vsr_cli.media.frame import Frame
from vsr_cli.pipeline.repair.gaps import Gap, GapFinder
from vsr_cli.repair_config import FillConfig


def gaps(frames: Sequence[Frame], config: FillConfig | None = None) -> list[Gap]:
    finder = GapFinder(config or FillConfig())
    return [found for found in finder.split(iter(frames), 0) if isinstance(found, Gap)]


def indices(frames: Sequence[Frame], config: FillConfig | None = None) -> list[int]:
    return [gap.first + k for gap in gaps(frames, config) for k in range(len(gap.frames))]


def frozen(num_frames: int, *runs: range, speed: int = 2) -> list[Frame]:
    """A pan that stands still for some frames, each run showing what came before it."""
    frames = pan(num_frames, speed=speed)
    for run in runs:
        for index in run:
            frames[index] = showing(frames[index], frames[run.start - 1])
    return frames


def test_a_steady_pan_has_no_gap() -> None:
    assert gaps(pan(30)) == []


def test_frames_that_stand_still_while_all_else_moves_are_found() -> None:
    (gap,) = gaps(frozen(30, range(10, 13)))
    assert (gap.first, len(gap.frames), gap.reasons) == (10, 3, ("frozen",) * 3)
    assert gap.before is not None
    assert gap.after is not None
    assert (gap.before.pts, gap.after.pts) == (9, 13)


def test_a_still_scene_is_left_alone() -> None:
    scene = pan(1)[0]
    assert gaps([replace(scene, pts=k) for k in range(30)]) == []


def test_a_scene_that_comes_to_rest_is_left_alone() -> None:
    assert gaps(frozen(30, range(12, 30))) == []
    assert gaps(frozen(40, range(12, 24))) == []  # longer than a fault lasts


@pytest.mark.parametrize("period", [2, 3, 4, 5, 6])
def test_repeats_in_a_pattern_are_left_alone_and_counted(period: int) -> None:
    frames = frozen(42, *(range(k, k + 1) for k in range(period, 42, period)))
    finder = GapFinder(FillConfig())
    found = [part for part in finder.split(iter(frames), 0) if isinstance(part, Gap)]
    assert found == []
    assert finder.num_kept["pattern"] > 3


def test_black_frames_between_lit_ones_are_found_but_not_an_end_in_black() -> None:
    frames = pan(30)
    for index in (8, 9, 27, 28, 29):
        frames[index] = black(frames[index])
    assert indices(frames) == [8, 9]
    assert indices(frames, FillConfig(find=("damaged",))) == []


def test_a_pause_in_black_is_longer_than_a_fault() -> None:
    frames = [black(f) if 8 <= f.pts < 21 else f for f in pan(30)]
    assert indices(frames) == []
    assert indices(frames, FillConfig(most=13)) == list(range(8, 21))


def test_damaged_and_listed_frames_are_found_by_name() -> None:
    frames = [replace(f, is_damaged=f.pts in (3, 4)) for f in pan(12)]
    assert indices(frames, FillConfig(find=("damaged",))) == [3, 4]
    assert indices(frames, FillConfig(find=(), frames=((7, 8), (11, 20)))) == [7, 8, 11]


def test_too_long_a_row_is_kept_and_counted() -> None:
    frames = [replace(f, is_damaged=3 <= f.pts < 9) for f in pan(12)]
    finder = GapFinder(FillConfig(find=("damaged",), most=5))
    assert len(list(finder.split(iter(frames), 0))) == 12
    assert finder.num_kept["long"] == 6


def test_what_is_decided_does_not_depend_on_where_one_begins() -> None:
    frames = frozen(80, range(30, 33), range(50, 51), range(60, 68))
    frames[40] = black(frames[40])
    whole = indices(frames)
    assert whole == [30, 31, 32, 40, 50, *range(60, 68)]
    for first in range(0, 60, 7):
        finder = GapFinder(FillConfig())
        found = [
            part.first + k
            for part in finder.split(iter(frames[first:]), first)
            if isinstance(part, Gap)
            for k in range(len(part.frames))
        ]
        later = first + finder.reach_back
        assert [k for k in found if k >= later] == [k for k in whole if k >= later]
