"""Frames that move as tests want them, and what reads them again and again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vsr_cli.media.frame import Frame, Plane
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, Range

YUV420 = PixelLayout(shift_x=1, shift_y=1)
COLOR = ColorTags(matrix=Matrix.BT601_525, range=Range.LIMITED)
SIZE = (64, 96)


def texture(seed: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """Smooth random hills in [0, 1], with detail of some pixels, (H, W)."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    total = np.zeros(size)
    for _ in range(24):
        angle, length = generator.uniform(0, np.pi), generator.uniform(7, 40)
        phase = 2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / length
        total += np.cos(phase + generator.uniform(0, 6))
    total -= total.min()
    return total / total.max()


def plane(values: NDArray[np.float64], depth: int = 8) -> Plane:
    codes = (values * 200 + 30) * 2 ** (depth - 8)
    return codes.round().astype(np.uint8 if depth == 8 else np.uint16)


def pan(
    num_frames: int,
    *,
    speed: int = 2,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    layout: PixelLayout = YUV420,
) -> list[Frame]:
    """A camera that pans over a texture, by `speed` pixels to the right a frame."""
    height, width = size
    wide = texture(seed, (height, width + speed * num_frames))
    frames = []
    for index in range(num_frames):
        picture = wide[:, speed * index : speed * index + width]
        shapes = layout.plane_shapes(height, width)
        planes = tuple(
            plane(picture[:: -(-height // h), :: -(-width // w)][:h, :w], layout.depth)
            for h, w in shapes
        )
        frames.append(frame_of(planes, index, layout))
    return frames


def frame_of(planes: tuple[Plane, ...], index: int, layout: PixelLayout = YUV420) -> Frame:
    return Frame(
        planes=planes,
        layout=layout,
        color=COLOR,
        pts=index,
        duration=1,
        time_base=Fraction(1, 25),
    )


def showing(frame: Frame, other: Frame) -> Frame:
    """A frame that shows what another one shows, at its own time."""
    return replace(frame, planes=other.planes)


def black(frame: Frame) -> Frame:
    luma = np.full_like(frame.planes[0], 16)
    chroma = tuple(np.full_like(plane, 128) for plane in frame.planes[1:])
    return replace(frame, planes=(luma, *chroma))


def reading(frames: Sequence[Frame]) -> Callable[[int], Iterator[Frame]]:
    """What a chain reads from: the frames from an index on."""
    return lambda first: iter(frames[first:])


def is_same(frame: Frame, other: Frame) -> bool:
    """Whether two frames are the same, sample by sample and in their times."""
    times = (frame.pts, frame.duration), (other.pts, other.duration)
    planes = zip(frame.planes, other.planes, strict=True)
    return times[0] == times[1] and all(np.array_equal(a, b) for a, b in planes)


def psnr(frame: Frame, truth: Frame, where: NDArray[np.bool_] | None = None) -> float:
    """Of the luma, in dB."""
    error = frame.planes[0].astype(float) - truth.planes[0]
    top = 2**frame.layout.depth - 1
    chosen = error if where is None else error[where]
    return float(10 * np.log10(top**2 / max(float(np.square(chosen).mean()), 1e-9)))
