import pytest
import torch
from torch import Tensor

from vsr_cli.config import ClipConfig
from vsr_cli.errors import ConfigError
from vsr_cli.pipeline.clips import Clip, RgbFrame, num_shared_at, split_clips


def numbered(count: int) -> list[RgbFrame]:
    """Frames whose pixels are their own index."""
    return [RgbFrame(torch.full((3, 2, 2), float(index))) for index in range(count)]


def no_cut(previous: Tensor, current: Tensor) -> bool:
    return False


def split_clips_at(cuts: set[int], count: int, length: int, overlap: int) -> list[Clip]:
    def is_cut(previous: Tensor, current: Tensor) -> bool:
        return int(current[0, 0, 0]) in cuts

    return list(split_clips(numbered(count), length, overlap, is_cut))


@pytest.mark.parametrize("overlap", [1, 2, 4])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 15, 30])
def test_cutting_then_joining_gives_back_every_frame_once(count: int, overlap: int) -> None:
    clips = split_clips(numbered(count), 8, overlap, no_cut)
    joined = [int(frame[0, 0, 0]) for clip in clips for frame in clip.frames[clip.num_shared :]]
    assert joined == list(range(count))


@pytest.mark.parametrize("length", [2, 3, 5, 8])
@pytest.mark.parametrize("cuts", [{1}, {4}, {5}, {3, 4}, {1, 7, 11}, {12}])
def test_no_clip_spans_a_cut_and_the_first_of_a_shot_shares_nothing(
    cuts: set[int], length: int
) -> None:
    clips = split_clips_at(cuts, 13, length, 1)
    for clip in clips:
        held = [int(frame[0, 0, 0]) for frame in clip.frames]
        assert held[0] == clip.start
        assert not any(index in cuts for index in held[1:])
        assert (clip.num_shared == 0) == (clip.fresh.start in cuts | {0})
    assert [index for clip in clips for index in clip.fresh] == list(range(13))


@pytest.mark.parametrize("overlap", [1, 2, 4])
@pytest.mark.parametrize("length", [8, 9])
@pytest.mark.parametrize("cuts", [set[int](), {8}, {9}, {7, 8, 15}, {14, 21}])
def test_every_clip_has_a_frame_that_no_earlier_clip_had(
    cuts: set[int], length: int, overlap: int
) -> None:
    for count in range(1, 30):
        clips = split_clips_at(cuts, count, length, overlap)
        assert all(clip.fresh for clip in clips)
        assert [index for clip in clips for index in clip.fresh] == list(range(count))


@pytest.mark.parametrize("first", range(1, 14))
def test_going_on_at_a_frame_gives_the_rest_and_shares_what_came_before(first: int) -> None:
    num_shared = num_shared_at(first, 3)
    assert num_shared == min(first, 3)
    frames = numbered(20)[first - num_shared :]
    clips = list(split_clips(frames, 8, 3, no_cut, first=first))
    assert [index for clip in clips for index in clip.fresh] == list(range(first, 20))
    for clip in clips:
        held = [int(frame[0, 0, 0]) for frame in clip.frames]
        assert held == list(range(clip.start, clip.start + len(held)))
    assert clips[0].num_shared == num_shared


def test_a_clip_never_holds_more_frames_than_asked() -> None:
    assert max(len(clip.frames) for clip in split_clips_at(set(), 50, 6, 2)) == 6


def test_an_overlap_that_leaves_nothing_new_is_refused() -> None:
    with pytest.raises(ConfigError, match="overlap of 5 does not fit"):
        ClipConfig(length=8, overlap=5)
