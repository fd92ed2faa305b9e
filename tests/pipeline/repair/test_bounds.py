"""What repairs hold does not grow with the length of a video."""

import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor
from torch.nn import Parameter

from tests.conftest import write_clip
from tests.pipeline.repair.scenes import frame_of, pan
from vsr_cli.config import InputConfig
from vsr_cli.events import ignore
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.masks import Masks
from vsr_cli.media.reading.reader import probe
from vsr_cli.pipeline.repair import erase
from vsr_cli.pipeline.repair.dirt import Dirt
from vsr_cli.pipeline.repair.erase import Erase
from vsr_cli.pipeline.repair.fill import Fill
from vsr_cli.pipeline.repair.rate import Rate
from vsr_cli.pipeline.repair.stage import Chain, Stage
from vsr_cli.repair_config import Box, DirtConfig, EraseConfig, FillConfig

SIZE = (24, 32)
NUM_FRAMES = 200
# After as many frames: far in, and at the same places of a block of eight. Of several looks the
# least counts, because what threads are at work on comes and goes.
EARLY, LATE = (52, 54, 56, 58), (188, 190, 192, 194)


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    return probe(write_clip(tmp_path_factory.mktemp("clip") / "in.mkv", size=SIZE))


def make_erase(info: VideoInfo) -> Stage:
    config = EraseConfig(boxes=(Box(x=10, y=8, width=8, height=6),), reach=4)
    return Erase(config, info, Masks(config, info, Path("none"), InputConfig(), ignore), ignore)


STAGES: dict[str, Callable[[VideoInfo], Stage]] = {
    "erase": make_erase,
    "fill": lambda info: Fill(FillConfig(), info, ignore),
    "dirt": lambda info: Dirt(DirtConfig(), info, ignore),
    "rate": lambda info: Rate(Fraction(50), info, ignore),
}


def tensor_bytes() -> int:
    """Of all tensors that anything holds."""
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some objects complain about being looked at
        # Those of other kinds, as of an exporter, hold nothing themselves.
        tensors = [x for x in gc.get_objects() if type(x) in (Tensor, Parameter)]
    return sum(x.nbytes for x in tensors)


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_what_is_held_does_not_grow_with_the_length(
    info: VideoInfo, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erase, "_BLOCK", 8)
    stage = STAGES[name](info)
    scene = pan(12, size=SIZE)  # there and back again
    alive: weakref.WeakSet[Frame] = weakref.WeakSet()

    def read(first: int) -> Iterator[Frame]:
        for index in range(first, NUM_FRAMES):
            shown = 11 - abs(index % 22 - 11)
            frame = frame_of(tuple(np.copy(x) for x in scene[shown].planes), index)
            if index % 20 == 7:  # frozen, for `fill` to have something to do
                shown = 11 - abs((index - 1) % 22 - 11)
                frame = frame_of(tuple(np.copy(x) for x in scene[shown].planes), index)
            alive.add(frame)
            yield frame

    chain = Chain([stage])
    most, found = 0, []
    for number, _ in enumerate(chain.run(read), 1):
        chain.forget(number)
        most = max(most, len(alive))
        if number in EARLY + LATE:
            found.append((tensor_bytes(), len(stage._entries)))
    assert most <= stage.reach_back + stage.reach_ahead + 8
    early_bytes, early_entries = map(min, zip(*found[: len(EARLY)], strict=True))
    late_bytes, late_entries = map(min, zip(*found[len(EARLY) :], strict=True))
    plane_bytes = 4 * SIZE[0] * SIZE[1]
    assert late_bytes <= early_bytes + 100 * plane_bytes  # what is in work, not one for each frame
    assert late_entries <= early_entries + 1
