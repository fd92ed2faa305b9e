"""Specks of one frame go; all that moves, flickers or stays is left alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import write_clip
from tests.pipeline.repair.scenes import is_same, pan, psnr, reading
from vsr_cli.events import Event, Note
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.reading.reader import probe
from vsr_cli.pipeline.repair.dirt import Dirt
from vsr_cli.pipeline.repair.stage import Chain
from vsr_cli.repair_config import DirtConfig

SPECK = (slice(20, 26), slice(40, 45))


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    return probe(write_clip(tmp_path_factory.mktemp("clip") / "in.mkv", size=(64, 96)))


def speckled(frame: Frame, level: int = 250, shift: int = 0) -> Frame:
    luma = frame.planes[0].copy()
    luma[SPECK[0], SPECK[1].start + shift : SPECK[1].stop + shift] = level
    return replace(frame, planes=(luma, *frame.planes[1:]))


def clean(
    frames: Sequence[Frame], info: VideoInfo, config: DirtConfig | None = None
) -> tuple[list[Frame], list[str]]:
    events: list[Event] = []
    chain = Chain([Dirt(config or DirtConfig(), info, events.append)])
    found = list(chain.run(reading(frames)))
    return found, [event.code for event in events if isinstance(event, Note)]


@pytest.mark.parametrize("level", [0, 255])
def test_a_speck_of_one_frame_is_replaced_by_what_is_behind_it(info: VideoInfo, level: int) -> None:
    truth = pan(7)
    frames = [speckled(f, level) if f.pts == 3 else f for f in truth]
    found, codes = clean(frames, info)
    where = np.zeros((64, 96), bool)
    where[SPECK] = True
    assert psnr(found[3], truth[3], where) > 28
    assert codes == ["W_DIRT"]
    for index in (0, 1, 2, 4, 5, 6):
        assert is_same(found[index], frames[index])
    far = np.ones((64, 96), bool)
    far[14:32, 34:51] = False
    assert np.array_equal(found[3].planes[0][far], frames[3].planes[0][far])


def test_what_is_there_for_two_frames_is_no_dirt(info: VideoInfo) -> None:
    truth = pan(8)  # by two pixels a frame, and the thing with it
    frames = [speckled(f, shift=-2 * f.pts) if f.pts in (3, 4) else f for f in truth]
    found, codes = clean(frames, info)
    assert all(is_same(a, b) for a, b in zip(found, frames, strict=True))
    assert codes == []


def test_a_flash_is_left_alone_and_said(info: VideoInfo) -> None:
    frames = pan(6)
    bright = np.minimum(frames[3].planes[0].astype(int) + 40, 255).astype(np.uint8)
    frames[3] = replace(frames[3], planes=(bright, *frames[3].planes[1:]))
    found, codes = clean(frames, info)
    assert all(is_same(a, b) for a, b in zip(found, frames, strict=True))
    assert codes == ["W_DIRT_LEFT"]


def test_nothing_is_compared_across_a_cut(info: VideoInfo) -> None:
    frames = [*pan(4, seed=1), *(replace(f, pts=f.pts + 4) for f in pan(4, seed=2))]
    frames[3], frames[4] = speckled(frames[3]), speckled(frames[4])
    found, codes = clean(frames, info)
    assert all(is_same(a, b) for a, b in zip(found, frames, strict=True))
    assert codes == []


@pytest.mark.slow
def test_it_goes_on_anywhere_to_the_same_frames(info: VideoInfo) -> None:
    frames = [speckled(f) if f.pts % 5 == 3 else f for f in pan(20)]
    whole, codes = clean(frames, info)
    assert codes == ["W_DIRT"]
    for first in (1, 3, 4, 17):
        chain = Chain([Dirt(DirtConfig(), info, lambda event: None)])
        given = chain.run(reading(frames))
        for _ in range(first):
            next(given)
        given.close()  # type: ignore[attr-defined]
        rest = Chain([Dirt(DirtConfig(), info, lambda event: None)])
        found = rest.run(reading(frames), first=first, tensors=chain.tensors_at(first))
        assert all(is_same(a, b) for a, b in zip(whole[first:], found, strict=True))
