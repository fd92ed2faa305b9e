"""Interlaced sources: every frame whole, every time kept."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vsr_cli.config import Deinterlace, InputConfig
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.deinterlace import TimedFrame, deinterlace
from vsr_cli.media.reading.reader import open_video, probe

MakeClip = Callable[..., Path]
HEIGHT, WIDTH = 64, 96
# What x264 writes for a camera whose lines are read in two turns, the lower ones first.
FIELDS = {"x264-params": "bff=1", "crf": "1"}
IRREGULAR = [0, 3003, 4004, 9009, 9100, 15015]  # in 1/30000 s


def scene(time: float) -> NDArray[np.float64]:
    """A soft bar that moves 4 pixels to the right per unit of time, (H, W) in [0, 1]."""
    x = np.arange(WIDTH) - 20 - 4 * time
    return np.tile(np.exp(-((x / 6) ** 2)), (HEIGHT, 1))


def woven(index: int) -> VideoFrame:
    """A frame whose even lines were seen at `index` and whose odd lines half a frame later."""
    luma = scene(index)
    luma[1::2] = scene(index + 0.5)[1::2]
    planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    planes[:HEIGHT] = (16 + 219 * luma).round()
    return VideoFrame.from_ndarray(planes, format="yuv420p")


def error(picture: VideoFrame, time: float) -> float:
    """Mean difference in luma to the scene at `time`, in codes, but for the border."""
    luma = picture.to_ndarray()[:HEIGHT].astype(np.float64)
    difference = luma - (16 + 219 * scene(time))
    return float(np.abs(difference)[4:-4].mean())


def run(mode: Deinterlace, num_frames: int = 7) -> tuple[list[TimedFrame], list[str]]:
    events: list[Event] = []
    pictures = (TimedFrame(woven(n), 10 * n, 10) for n in range(num_frames))
    made = list(deinterlace(pictures, mode, events.append))
    return made, [event.code for event in events if isinstance(event, Note)]


@pytest.mark.parametrize("num_frames", [1, 2, 7])
def test_two_fields_become_a_frame_of_one_moment(num_frames: int) -> None:
    made, said = run("frame", num_frames)
    assert [(timed.pts, timed.duration) for timed in made] == [
        (10 * n, 10) for n in range(num_frames)
    ]
    assert said == ["W_DEINTERLACED"]
    errors = [error(timed.picture, n) for n, timed in enumerate(made)]
    combed = error(woven(3), 3)
    assert max(errors[1:-1], default=0) < combed / 4


@pytest.mark.parametrize("num_frames", [1, 2, 7])
def test_each_field_becomes_a_frame_of_its_own_moment(num_frames: int) -> None:
    made, _ = run("field", num_frames)
    assert [(timed.pts, timed.duration) for timed in made] == [
        (5 * n, 5) for n in range(2 * num_frames)
    ]
    errors = [error(timed.picture, n / 2) for n, timed in enumerate(made)]
    combed = error(woven(3), 3)
    assert max(errors[2:-2], default=0) < combed / 4


def test_pictures_that_are_whole_pass_as_they_are() -> None:
    made, said = run("auto")
    assert said == []
    for index, timed in enumerate(made):
        np.testing.assert_array_equal(timed.picture.to_ndarray(), woven(index).to_ndarray())


def read(path: Path, mode: Deinterlace) -> tuple[list[Frame], list[str]]:
    events: list[Event] = []
    with open_video(path, InputConfig(deinterlace=mode)) as video:
        frames = list(video.frames(report=events.append))
        assert video.info.num_frames in (None, len(frames))
    return frames, [event.code for event in events if isinstance(event, Note)]


def test_a_source_that_says_it_is_interlaced_is_made_whole(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    path = make_clip(tmp_path / "in.mp4", options=FIELDS, colorspace=6, color_range=1)
    info = probe(path)
    assert (info.interlaced, info.field_order) == (True, "bottom")
    kept, said = read(path, "off")
    assert said == []
    assert all(frame.interlaced for frame in kept)
    made, said = read(path, "auto")
    assert said == ["W_DEINTERLACED"]
    assert not any(frame.interlaced for frame in made)
    for frame, old in zip(made, kept, strict=True):
        assert (frame.pts, frame.duration, frame.color) == (old.pts, old.duration, old.color)
        np.testing.assert_array_equal(frame.planes[0][1::2], old.planes[0][1::2])
        assert (frame.planes[0][::2] != old.planes[0][::2]).any()


def test_uneven_times_survive_and_fields_lie_halfway(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(
        tmp_path / "in.mp4", options=FIELDS, pts=IRREGULAR, time_base=Fraction(1, 30000)
    )
    frames, _ = read(path, "auto")
    assert [frame.pts * frame.time_base * 30000 for frame in frames] == IRREGULAR
    fields, _ = read(path, "field")
    times = [frame.pts * frame.time_base * 30000 for frame in fields]
    assert times[::2] == IRREGULAR
    middles = [Fraction(a + b, 2) for a, b in pairwise(IRREGULAR)]
    assert times[1:-1:2] == middles
    assert probe(path, InputConfig(deinterlace="field")).rate == 2 * probe(path).rate


@pytest.mark.parametrize("pix_fmt", ["yuv422p10le", "yuv420p10le"])
def test_more_bits_stay_more_bits(tmp_path: Path, make_clip: MakeClip, pix_fmt: str) -> None:
    path = make_clip(tmp_path / "in.mkv", codec="libx264", options=FIELDS, pix_fmt=pix_fmt)
    with open_video(path) as video:
        frames = list(video.frames(report=ignore))
        assert video.info.interlaced
    assert {frame.layout for frame in frames} == {video.info.layout}
    assert frames[0].layout.depth == 10
