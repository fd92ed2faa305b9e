"""What is masked is replaced by what other frames show, and nothing else changes."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import write_clip
from tests.pipeline.repair.scenes import frame_of, is_same, pan, psnr, reading
from vsr_cli.cancellation import Stopped, abandon_when
from vsr_cli.errors import UnseenError
from vsr_cli.events import Event, Note
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.masks import Mask, Masks
from vsr_cli.media.reading.reader import probe
from vsr_cli.models.rim import fill_from_rim
from vsr_cli.pipeline.repair import erase
from vsr_cli.pipeline.repair.erase import Erase, Masked
from vsr_cli.pipeline.repair.stage import Chain
from vsr_cli.pipeline.repair.windows import Rectangle
from vsr_cli.pixels import PixelLayout
from vsr_cli.repair_config import EraseConfig

Draw = Callable[[int], NDArray[np.bool_] | None]


class Drawn(Masks):
    """Masks that a test draws."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def at(self, index: int, frame: Frame) -> Mask | None:
        return self._draw(index)


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    return probe(write_clip(tmp_path_factory.mktemp("clip") / "in.mkv", size=(64, 96)))


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "_BLOCK", 6)


def box(top: int, left: int, bottom: int, right: int, size: tuple[int, int] = (64, 96)) -> Mask:
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def crossing(index: int) -> Mask:
    """A box that moves against the pan."""
    left = 16 + 4 * index
    return box(20, left, 36, left + 14)


def blotted(frames: Sequence[Frame], draw: Draw) -> list[Frame]:
    """Frames with something bright where the mask is."""
    found = []
    for index, frame in enumerate(frames):
        planes = [plane.copy() for plane in frame.planes]
        if (mask := draw(index)) is not None:
            planes[0][mask] = np.iinfo(planes[0].dtype).max >> (16 - frame.layout.depth) % 8
        found.append(replace(frame, planes=tuple(planes)))
    return found


def make(
    info: VideoInfo, draw: Draw, events: list[Event] | None = None, **options: object
) -> Chain:
    config = EraseConfig(mask=Path("drawn"), **{"reach": 6, **options})  # type: ignore[arg-type]
    report = (events if events is not None else []).append
    return Chain([Erase(config, info, Drawn(draw), report)])


def run(chain: Chain, frames: Sequence[Frame]) -> list[Frame]:
    return list(chain.run(reading(frames)))


def telea(frame: Frame, mask: Mask) -> Frame:
    luma = torch.from_numpy(frame.planes[0]).float()[None, None] / 255
    filled = fill_from_rim(luma, torch.from_numpy(mask).float()[None, None])
    return replace(frame, planes=((filled[0, 0].numpy() * 255).round(), *frame.planes[1:]))


def test_what_others_show_is_nearer_the_truth_than_a_fill_from_the_rim(info: VideoInfo) -> None:
    truth = pan(12)
    frames = blotted(truth, crossing)
    found = run(make(info, crossing, grow=0, feather=0), frames)
    gains = []
    for index, mask in enumerate(map(crossing, range(12))):
        yardstick = psnr(telea(frames[index], mask), truth[index], mask)
        gains.append(psnr(found[index], truth[index], mask) - yardstick)
    assert np.mean(gains) > 6
    assert min(gains) > 0


@pytest.mark.parametrize(
    ("layout", "size"),
    [
        (PixelLayout(shift_x=1, shift_y=1), (63, 95)),
        (PixelLayout(shift_x=1, depth=10), (64, 97)),
        (PixelLayout(kind="gray", depth=16), (61, 96)),
        (PixelLayout(kind="rgb", has_alpha=True), (64, 96)),
    ],
)
def test_outside_of_the_grown_mask_every_sample_stays(
    info: VideoInfo, layout: PixelLayout, size: tuple[int, int]
) -> None:
    mask = box(20, 30, 33, 51, size)
    frames = blotted(pan(5, size=size, layout=layout), lambda k: mask)
    found = run(make(info, lambda k: mask, grow=2, feather=3), frames)
    touched = box(18, 28, 35, 53, size)
    for before, after in zip(frames, found, strict=True):
        for index, (old, new) in enumerate(zip(before.planes, after.planes, strict=True)):
            y, x = (-(-size[0] // old.shape[0]), -(-size[1] // old.shape[1]))
            padded = np.pad(touched, ((0, -size[0] % y), (0, -size[1] % x)))
            inside = padded.reshape(old.shape[0], y, old.shape[1], x).any((1, 3))
            is_alpha = layout.has_alpha and index == 3
            assert np.array_equal(old[~inside], new[~inside])
            assert np.array_equal(old, new) == is_alpha
        assert (after.pts, after.layout, after.color) == (before.pts, before.layout, before.color)


def test_where_nothing_is_masked_frames_pass_as_they_are(info: VideoInfo) -> None:
    frames = pan(15)
    assert all(a is b for a, b in zip(run(make(info, lambda k: None), frames), frames, strict=True))
    found = run(make(info, lambda k: crossing(2) if k == 8 else None), frames)
    assert [k for k in range(15) if found[k] is not frames[k]] == [8]


def test_nothing_crosses_a_cut(info: VideoInfo) -> None:
    first, second = pan(8, seed=1), [replace(f, pts=f.pts + 8) for f in pan(8, seed=2)]
    noise = np.random.default_rng(0)
    other = [
        frame_of(tuple(noise.integers(0, 256, p.shape).astype(np.uint8) for p in f.planes), f.pts)
        for f in second
    ]
    draw = crossing
    found = run(make(info, draw), [*first, *second])[:8]
    again = run(make(info, draw), [*first, *other])[:8]
    assert all(is_same(a, b) for a, b in zip(found, again, strict=True))
    alone = run(make(info, draw), first)
    assert all(is_same(a, b) for a, b in zip(found, alone, strict=True))


@pytest.mark.slow
def test_it_goes_on_anywhere_to_the_same_frames_and_says_the_same(info: VideoInfo) -> None:
    frames = [*pan(16, seed=1), *(replace(f, pts=f.pts + 16) for f in pan(11, seed=2))]
    draws: list[Draw] = [lambda k: box(20, 30, 40, 60), lambda k: crossing(k % 15)]
    for draw in draws:
        blots, whole = blotted(frames, draw), list[Event]()
        expected = run(make(info, draw, whole), blots)
        for first in (3, 6, 14, 17, 26):
            chain = make(info, draw)
            given = chain.run(reading(blots))
            for _ in range(first):
                next(given)
            given.close()  # type: ignore[attr-defined]
            events: list[Event] = []
            rest = make(info, draw, events).run(
                reading(blots), first=first, tensors=chain.tensors_at(first)
            )
            assert all(is_same(a, b) for a, b in zip(expected[first:], rest, strict=True))
            assert events == whole


def test_what_no_frame_shows_is_told_and_may_be_an_error(info: VideoInfo) -> None:
    scene = pan(1)[0]
    frames = [replace(scene, pts=k) for k in range(8)]
    mask = box(20, 30, 40, 60)
    events: list[Event] = []
    found = run(make(info, lambda k: mask, events), blotted(frames, lambda k: mask))
    (note,) = (event for event in events if isinstance(event, Note))
    assert (note.code, note.text[:4]) == ("W_UNSEEN", "100%")
    steady = [np.abs(a.planes[0].astype(int) - b.planes[0]).max() for a, b in pairwise(found)]
    assert max(steady) <= 1
    with pytest.raises(UnseenError, match=r"frame 0 has \d+ pixels of the mask that no"):
        run(make(info, lambda k: mask, unseen="stop"), blotted(frames, lambda k: mask))


def test_frames_are_taken_no_further_ahead_than_it_says(info: VideoInfo) -> None:
    num_taken = 0

    def counted(first: int) -> Iterator[Frame]:
        nonlocal num_taken
        for frame in pan(40)[first:]:
            num_taken += 1
            yield frame

    chain = make(info, lambda k: box(20, 30, 40, 60))
    for given, _ in enumerate(chain.run(counted)):
        assert num_taken <= given + 1 + 6 + 6  # a block and the reach


def test_work_that_nobody_waits_for_ends_at_once(info: VideoInfo) -> None:
    abandoned = threading.Event()

    def work() -> None:
        abandon_when(abandoned)
        given = make(info, lambda k: box(20, 30, 40, 60)).run(reading(pan(40)))
        next(given)
        abandoned.set()
        with pytest.raises(Stopped):
            list(given)

    copy_context().run(work)


def test_of_large_pictures_fewer_frames_are_held(
    info: VideoInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame_bytes = 64 * 96 * 3 // 2
    monkeypatch.setattr(erase, "_MOST_BYTES", 8 * frame_bytes)
    chain = make(info, crossing)
    (reason,) = chain.reasons
    assert reason.startswith("erase: looks 4 frames ahead, not 6, so that ")
    assert chain.num_bytes <= 9 * frame_bytes + 8 * frame_bytes
    assert len(run(chain, blotted(pan(20), crossing))) == 20


def test_large_parts_are_looked_at_in_fewer_frames(
    info: VideoInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks are shorter then; it goes on anywhere all the same, and is as good."""
    most = 6 * 26 * 64 * 96
    monkeypatch.setattr(erase, "_MOST_BYTES", most)
    looked_at: list[int] = []
    look = Erase._look

    def counted(
        stage: Erase, pool: Executor, parts: list[Rectangle], known: Mapping[int, Masked]
    ) -> None:
        looked_at.append(26 * sum(part.area for part in parts) * len(known))
        look(stage, pool, parts, known)

    monkeypatch.setattr(Erase, "_look", counted)
    frames, chain = blotted(pan(14), crossing), make(info, crossing)
    given = chain.run(reading(frames))
    whole = [next(given) for _ in range(9)]
    tensors = chain.tensors_at(9)
    whole += list(given)
    assert not chain.reasons
    assert len(looked_at) > 14 // 3
    assert max(looked_at) <= most
    again = list(make(info, crossing).run(reading(frames), first=9, tensors=tensors))
    assert all(is_same(a, b) for a, b in zip(whole[9:], again, strict=True))
    gains = []
    for found, blot, truth, mask in zip(
        whole, frames, pan(14), map(crossing, range(14)), strict=True
    ):
        gains.append(psnr(found, truth, mask) - psnr(telea(blot, mask), truth, mask))
    assert np.mean(gains) > 5
