"""XPSNR, as FFmpeg's filter computes it: PSNR of luma, weighted by where errors are seen.

Each block counts the less, the more its texture and its motion hide (Helmrich et al., "XPSNR: A
low-complexity extension of the perceptually weighted peak signal-to-noise ratio", ICASSP 2020).
"""

from fractions import Fraction

import numpy as np
from av.filter import Graph, filters_available
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vsr_cli.viewing.footage import Picture

# On fewer pixels than 2025 the filter divides by a size of blocks that is 0: the process dies.
LEAST_SIDE = 48
MOST_DECIBELS = 100.0  # of equal pictures, as PSNR is told; theirs would be infinite
_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # of BT.601 luma, as of SSIM here
_KEY = "lavfi.xpsnr.xpsnr.y"


def has_xpsnr() -> bool:
    """Whether the FFmpeg in use was built with the filter."""
    return "xpsnr" in filters_available


class Xpsnr:
    """Holds pictures of one video against those of another, in order: blocks see those before."""

    def __init__(self, size: tuple[int, int], rate: Fraction) -> None:
        """Build the filter.

        Args:
            size: (height, width) of all pictures, LEAST_SIDE at least.
            rate: frames per second, by which motion is judged.
        """
        height, width = size
        tick = f"time_base={rate.denominator}/{rate.numerator}:frame_rate={rate}"
        coded = f"video_size={width}x{height}:pix_fmt=gray:{tick}"
        self._graph = Graph()
        self._truth, self._other = (self._graph.add("buffer", coded) for _ in range(2))
        measure, self._sink = self._graph.add("xpsnr"), self._graph.add("buffersink")
        self._truth.link_to(measure, 0, 0)
        self._other.link_to(measure, 0, 1)
        measure.link_to(self._sink)
        self._graph.configure()
        self._tick, self._index = 1 / rate, 0

    def __call__(self, picture: Picture, truth: Picture) -> float:
        """Measure the next picture, in dB, at most 100."""
        for source, shown in ((self._truth, truth), (self._other, picture)):
            frame = VideoFrame.from_ndarray(_luma(shown), format="gray")
            frame.pts, frame.time_base = self._index, self._tick
            source.push(frame)
        self._index += 1
        measured = self._sink.pull()
        assert isinstance(measured, VideoFrame)
        return min(float(measured.metadata[_KEY]), MOST_DECIBELS)


def _luma(picture: Picture) -> NDArray[np.uint8]:
    """(H, W, 3) RGB -> (H, W), full range."""
    return (picture @ _WEIGHTS).round().clip(0, 255).astype(np.uint8)
