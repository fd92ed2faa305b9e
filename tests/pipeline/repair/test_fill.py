"""Missing frames are made of their neighbours, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest

from tests.pipeline.repair.scenes import black, is_same, pan, psnr, reading, showing
from vsr_cli.events import Event, Note
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.reading.reader import probe
from vsr_cli.pipeline.repair.fill import Fill
from vsr_cli.pipeline.repair.stage import Chain
from vsr_cli.pixels import PixelLayout
from vsr_cli.repair_config import FillConfig


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    from tests.conftest import write_clip

    return probe(write_clip(tmp_path_factory.mktemp("clip") / "in.mkv", size=(64, 96)))


def fill(
    frames: list[Frame],
    info: VideoInfo,
    config: FillConfig | None = None,
    events: list[Event] | None = None,
) -> list[Frame]:
    report = (events if events is not None else []).append
    return list(Chain([Fill(config or FillConfig(), info, report)]).run(reading(frames)))


def codes(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Note)]


@pytest.mark.parametrize(
    "layout",
    [
        PixelLayout(shift_x=1, shift_y=1),
        PixelLayout(depth=10),
        PixelLayout(kind="gray"),
        PixelLayout(kind="rgb", has_alpha=True),
    ],
)
def test_a_frame_that_is_made_is_nearer_the_truth_than_a_blend(
    info: VideoInfo, layout: PixelLayout
) -> None:
    truth = pan(5, layout=layout)
    frames = [replace(f, is_damaged=f.pts == 2) for f in truth]
    frames[2] = showing(frames[2], frames[1])
    found = fill(frames, info)
    blend = (truth[1].planes[0].astype(float) + truth[3].planes[0]) / 2
    blended = replace(truth[2], planes=(blend.astype(truth[2].planes[0].dtype),))
    assert psnr(found[2], truth[2]) > psnr(blended, truth[2]) + 6
    assert found[2].layout == layout
    for index in (0, 1, 3, 4):
        assert is_same(found[index], frames[index])
    assert [f.pts for f in found] == [f.pts for f in frames]


def test_several_frames_in_a_row_are_made_at_their_own_times(info: VideoInfo) -> None:
    truth = pan(8, speed=1)
    times = [0, 2, 4, 6, 7, 10, 12, 14]  # the one in the middle of the gap comes late
    frames = [replace(f, pts=time) for f, time in zip(truth, times, strict=True)]
    for index in (3, 4, 5):
        frames[index] = replace(black(frames[index]), is_damaged=True)
    wide = pan(16, speed=1)
    moved = [wide[k] for k in (0, 2, 4, 6, 7, 10, 12, 14)]  # where the pan is at these times
    for index in (2, 6):
        frames[index] = showing(frames[index], moved[index])
    found = fill(frames, info, FillConfig(find=("damaged",)))
    for index in (3, 4, 5):
        assert psnr(found[index], moved[index]) > 30


def test_where_nothing_has_to_be_made_that_is_said(info: VideoInfo) -> None:
    events: list[Event] = []
    frames = pan(5)
    found = fill(frames, info, events=events)
    assert all(is_same(a, b) for a, b in zip(found, frames, strict=True))
    assert codes(events) == ["W_FILL_IDLE"]


def test_nothing_is_made_across_a_cut(info: VideoInfo) -> None:
    events: list[Event] = []
    frames = [*pan(4, seed=1), *(replace(f, pts=f.pts + 4) for f in pan(4, seed=2))]
    frames[4] = replace(black(frames[4]), is_damaged=True)
    found = fill(frames, info, FillConfig(find=("damaged",)), events)
    assert all(is_same(a, b) for a, b in zip(found, frames, strict=True))
    assert codes(events) == ["W_FILL_FAR"]


def test_where_motion_explains_nothing_the_nearest_frame_is_shown_and_said(
    info: VideoInfo,
) -> None:
    generator = np.random.default_rng(0)
    frames = pan(4)
    for index in (0, 1, 3):  # the same light everywhere, so that it is no cut
        noise = generator.integers(80, 160, frames[0].planes[0].shape).astype(np.uint8)
        frames[index] = replace(frames[index], planes=(noise, *frames[0].planes[1:]))
    events: list[Event] = []
    found = fill(frames, info, FillConfig(find=(), frames=((2, 2),)), events)
    assert np.array_equal(found[2].planes[0], frames[1].planes[0])
    assert codes(events) == ["W_FILL_FAR"]


def test_a_gap_at_either_end_is_left_as_it_is_and_said(info: VideoInfo) -> None:
    events: list[Event] = []
    frames = [replace(f, is_damaged=f.pts in (0, 7)) for f in pan(8)]
    assert all(is_same(a, b) for a, b in zip(fill(frames, info, None, events), frames, strict=True))
    assert codes(events) == ["W_FILL_FAR"]


@pytest.mark.slow
def test_it_goes_on_anywhere_to_the_same_frames_and_counts(info: VideoInfo) -> None:
    frames = pan(100, size=(32, 48))
    for index in (5, 40, 41, 70, 90):
        frames[index] = showing(frames[index], frames[index - 1])
    whole: list[Event] = []
    expected = fill(frames, info, None, whole)
    assert codes(whole) == ["W_FILLED"]
    for first in (1, 33, 41, 42, 71, 99):
        chain = Chain([Fill(FillConfig(), info, lambda event: None)])
        given = chain.run(reading(frames))
        for _ in range(first):
            next(given)
        events: list[Event] = []
        rest = Chain([Fill(FillConfig(), info, events.append)])
        tensors = chain.tensors_at(first)
        found = list(rest.run(reading(frames), first=first, tensors=tensors))
        assert all(is_same(a, b) for a, b in zip(expected[first:], found, strict=True))
        assert events == whole
