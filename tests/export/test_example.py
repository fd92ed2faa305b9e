"""The example's own copies of what the pipeline does around the networks."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vsr_cli.media.frame import Frame
from vsr_cli.models.flow import DisFlow
from vsr_cli.ops import shots
from vsr_cli.pipeline.thumbnail import thumbnail
from vsr_cli.pixels import ColorTags, PixelLayout, Range

pytest.importorskip("onnxruntime")

from vsr_cli.export import example  # needs onnxruntime

Codes = NDArray[np.uint8]


def glance(codes: Codes) -> torch.Tensor:
    """The thumbnail that the pipeline tells cuts from."""
    planes = tuple(np.ascontiguousarray(plane) for plane in codes.transpose(2, 0, 1))
    color = ColorTags(range=Range.FULL)
    layout, clock = PixelLayout(kind="rgb"), Fraction(1, 25)
    frame = Frame(planes=planes, layout=layout, color=color, pts=0, duration=1, time_base=clock)
    return thumbnail(frame)


def scene(seed: int) -> Codes:
    """(50, 110, 3) of large smooth patches."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (5, 11, 3)).repeat(10, axis=0).repeat(10, axis=1)
    return (coarse + generator.integers(0, 9, coarse.shape)).clip(0, 255).astype(np.uint8)


def darker(codes: Codes) -> Codes:
    return (codes * 0.6).astype(np.uint8)


PAIRS = [
    *((scene(n)[:, :90], scene(n)[:, 3:93]) for n in range(3)),  # motion
    *((scene(n)[:, :90], scene(n + 9)[:, :90]) for n in range(6)),  # cuts
    *((scene(n)[:, :90], darker(scene(n)[:, 1:91])) for n in range(3)),  # light
]


def test_cuts_are_told_as_the_pipeline_tells_them() -> None:
    found = [example.is_cut(before, after) for before, after in PAIRS]
    expected = [shots.is_cut(glance(before), glance(after)) for before, after in PAIRS]
    assert found == expected
    assert {True, False} == set(found)
    for before, _ in PAIRS:
        np.testing.assert_allclose(
            example.thumbnail(before) * 2 - 1, glance(before).numpy(), atol=1e-5
        )


@pytest.mark.parametrize("size", [(40, 90), (20, 24)])
def test_flow_is_estimated_as_in_the_pipeline(size: tuple[int, int]) -> None:
    codes = scene(0)
    pair = [codes[: size[0], k : k + size[1]].transpose(2, 0, 1) / 127.5 - 1 for k in (0, 2)]
    earlier, later = (x.astype(np.float32) for x in pair)
    forward, backward = DisFlow()(torch.from_numpy(np.stack((earlier, later)))[None])
    cv2.setNumThreads(1)
    np.testing.assert_allclose(example.find_flow(earlier, later), forward[0, 0], atol=0.02)
    np.testing.assert_allclose(example.find_flow(later, earlier), backward[0, 0], atol=0.02)
