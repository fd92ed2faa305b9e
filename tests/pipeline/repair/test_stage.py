"""A row of stages begins again anywhere, as if it had never stopped."""

from collections.abc import Iterator

import pytest
import torch

from tests.pipeline.repair.scenes import is_same, pan, reading
from vsr_cli.media.frame import Frame
from vsr_cli.pipeline.repair.stage import Chain, Entry, Stage


class Summing(Stage):
    """Gives each frame with a time that is the sum of all so far; begins again every few frames."""

    def __init__(self, name: str, every: int) -> None:
        super().__init__()
        self.name, self._every = name, every  # type: ignore[misc]
        self.num_read = 0

    def run(self, frames: Iterator[Frame], entry: Entry) -> Iterator[Frame]:
        total = int(entry.tensors["total"]) if entry.tensors else 0
        for index, frame in enumerate(frames, entry.given):
            if index % self._every == 0:
                self._keep(Entry(index, index, {"total": torch.tensor(total)}))
            self.num_read += 1
            total += frame.pts
            yield frame.with_planes((frame.planes[0] + total % 100,), frame.layout, frame.color)


class Doubling(Stage):
    """Gives every frame twice."""

    name = "double"

    def run(self, frames: Iterator[Frame], entry: Entry) -> Iterator[Frame]:
        for index, frame in enumerate(frames, entry.taken):
            self._keep(Entry(2 * index, index))
            yield frame
            yield frame


def make_chain() -> Chain:
    return Chain([Summing("a", 3), Doubling(), Summing("b", 4)])


@pytest.mark.parametrize("first", [0, 1, 5, 8, 13, 19])
def test_a_chain_goes_on_anywhere_from_its_tensors(first: int) -> None:
    frames = pan(10, size=(8, 8))
    whole = list(make_chain().run(reading(frames)))
    assert len(whole) == 20
    chain = make_chain()
    given = chain.run(reading(frames))
    for index in range(min(first + 3, 20)):  # some are in flight that nobody has written
        next(given)
        chain.forget(min(index, first))
    rest = list(make_chain().run(reading(frames), first=first, tensors=chain.tensors_at(first)))
    assert all(is_same(a, b) for a, b in zip(whole[first:], rest, strict=True))


def test_a_stage_is_not_run_from_the_start_again() -> None:
    frames = pan(30, size=(8, 8))
    chain = Chain([Summing("a", 3)])
    list(chain.run(reading(frames)))
    again = Summing("a", 3)
    list(Chain([again]).run(reading(frames), first=20, tensors=chain.tensors_at(20)))
    assert again.num_read == 30 - 18


def test_places_that_nobody_goes_back_to_are_forgotten() -> None:
    stage = Summing("a", 3)
    chain = Chain([stage])
    for index, _ in enumerate(chain.run(reading(pan(60, size=(8, 8))))):
        chain.forget(index)
        assert len(stage._entries) <= 2


def test_without_stages_frames_pass_as_they_are() -> None:
    frames = pan(3, size=(8, 8))
    assert list(Chain([]).run(reading(frames), first=1)) == frames[1:]
    assert Chain([]).tensors_at(2) == {}
