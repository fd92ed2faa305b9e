"""A live source is kept up with: every frame is given, and none much later than it came."""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

import vsr_cli as vsr
from tests.networks import write_tiny_weights
from vsr_cli.config import MAX_DELAY
from vsr_cli.events import Event, Live, Note
from vsr_cli.media.frame import Frame
from vsr_cli.ops.shots import is_cut
from vsr_cli.pipeline.clips import Clip, ClipState, RestoredClip, RgbFrame, split_clips
from vsr_cli.pipeline.live import LiveRestorer
from vsr_cli.pipeline.progress import WorkMeter
from vsr_cli.pipeline.restorers.base import Restorer
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, Range

RATE = 10  # frames a second
SIZE = (16, 16)  # of the target


class Clock:
    """Time that goes on only where a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class SlowRestorer(Restorer):
    """Takes its time for each clip, and makes all frames white."""

    clip_length, clip_overlap, splits_shots = 2, 1, False

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.meter = WorkMeter(1)
        self.clips: list[Clip] = []

    def restore(self, clips: Iterator[Clip], state: ClipState | None) -> Iterator[RestoredClip]:
        for clip in clips:
            self.clips.append(clip)
            yield RestoredClip(clip.fresh.start, self._frames(clip), clip.headers, lambda: None)

    def _frames(self, clip: Clip) -> Iterator[Tensor]:
        for _ in clip.fresh:
            self.clock.now += self.seconds
            yield torch.ones(3, *SIZE)

    def read_state(self, tensors: Mapping[str, Tensor]) -> ClipState:
        raise NotImplementedError


def header(index: int) -> Frame:
    plane = np.zeros((4, 4), np.uint8)
    layout = PixelLayout(kind="gray")
    color = ColorTags(matrix=Matrix.BT709, range=Range.LIMITED)
    return Frame(
        planes=(plane,),
        layout=layout,
        color=color,
        pts=index,
        duration=1,
        time_base=Fraction(1, RATE),
    )


def run(
    seconds: float, num_frames: int = 200, guess: float = 0.1
) -> tuple[list[float], list[Event], SlowRestorer]:
    """Frames that come in time, a model that takes `seconds` a frame.

    Returns:
        How late each frame was, what was reported, and the model.
    """
    clock, events = Clock(), list[Event]()
    begun = clock.now

    def source() -> Iterator[RgbFrame]:
        for index in range(num_frames):
            clock.now = max(clock.now, begun + index / RATE)
            yield RgbFrame(torch.zeros(3, 4, 4), header(index))

    model = SlowRestorer(clock, seconds)
    live = LiveRestorer(model, SIZE, MAX_DELAY, guess, events.append, clock=clock)
    clips = split_clips(source(), live.clip_length, live.clip_overlap, is_cut)
    late: list[float] = []
    times: list[int] = []
    for clip in live.restore(clips, None):
        assert clip.start == len(late)
        for frame, coded in zip(clip.frames, clip.headers, strict=True):
            assert tuple(frame.shape) == (3, *SIZE)
            late.append(clock.now - begun - coded.pts / RATE)
            times.append(coded.pts)
    assert times == list(range(num_frames))
    return late, events, model


def test_a_model_that_is_fast_enough_restores_every_frame() -> None:
    late, events, model = run(0.09)
    assert sum(len(clip.fresh) for clip in model.clips) == len(late) == 200
    assert max(late) < 0.3
    assert not [event for event in events if isinstance(event, Note)]
    lives = [event for event in events if isinstance(event, Live)]
    assert [event.share_plain for event in lives] == [0.0]  # 20 seconds, the first ten of which
    assert lives[0].fps == pytest.approx(RATE, rel=0.05)


@pytest.mark.parametrize("seconds", [0.15, 0.4, 1.5])
def test_what_there_is_no_time_for_is_enlarged_without_the_model(seconds: float) -> None:
    late, events, model = run(seconds)
    assert max(late) <= MAX_DELAY + 2 * seconds  # the first clips are tried
    assert max(late[100:]) <= MAX_DELAY + 0.1
    num_restored = sum(len(clip.fresh) for clip in model.clips)
    assert (0.25 * 20 / seconds if seconds < 1 else 0) < num_restored < 200  # it is not left idle
    assert [event.code for event in events if isinstance(event, Note)] == ["W_LIVE_BEHIND"]
    assert any(0 < event.share_plain < 1 for event in events if isinstance(event, Live))


def test_what_follows_frames_without_the_model_begins_a_shot() -> None:
    _, _, model = run(0.4)
    before = None
    for clip in model.clips:
        is_next = before is not None and clip.fresh.start == before.fresh.stop
        assert (clip.num_shared == 0) == (not is_next)
        before = clip


def test_a_model_that_is_far_too_slow_is_not_tried() -> None:
    late, _, model = run(30.0, guess=25.0)
    assert not model.clips
    assert max(late) < 0.3


def test_a_model_that_turns_out_to_be_far_too_slow_is_left_once_that_is_known() -> None:
    late, _, model = run(30.0, num_frames=1000)
    assert len(model.clips) == 1
    assert max(late[700:]) < MAX_DELAY


def test_a_file_is_no_live_source(tmp_path: Path) -> None:
    (tmp_path / "in.mkv").touch()
    with pytest.raises(vsr.VsrError, match="comes as it happens"):
        vsr.upscale(tmp_path / "in.mkv", tmp_path / "out.mkv", live=True)


@pytest.mark.slow
def test_a_pipe_that_goes_on_is_kept_up_with_frame_by_frame(tmp_path: Path) -> None:
    pipe, target = tmp_path / "in.y4m", tmp_path / "out.mkv"
    os.mkfifo(pipe)
    num_frames = 16

    def feed() -> None:
        picture = np.full((48, 64), 90, np.uint8).tobytes()
        with pipe.open("wb", buffering=0) as out:
            out.write(b"YUV4MPEG2 W64 H48 F8:1 C420jpeg\n")
            for _ in range(num_frames):
                out.write(b"FRAME\n" + picture + picture[: 48 * 64 // 2])
                time.sleep(1 / 8)

    feeder = threading.Thread(target=feed)
    feeder.start()
    started = time.monotonic()
    done = vsr.upscale(
        pipe, target, live=True, model=write_tiny_weights(tmp_path / "tiny.safetensors"), scale=2
    )
    feeder.join()
    assert done.frames_out == num_frames
    assert time.monotonic() - started < num_frames / 8 + 20
    with av.open(str(target)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([index / 8 for index in range(num_frames)], abs=1e-3)
