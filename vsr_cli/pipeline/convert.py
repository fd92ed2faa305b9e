"""Between frames as they are coded and what the model sees: RGB, transparency apart."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from vsr_cli.media.frame import Frame
from vsr_cli.media.writing.encoder_plan import EncoderPlan
from vsr_cli.ops.resize import resize
from vsr_cli.ops.yuv import to_alpha, to_planes, to_rgb
from vsr_cli.pipeline.clips import RgbFrame
from vsr_cli.pipeline.thumbnail import thumbnail
from vsr_cli.pixels import PixelLayout


def read_rgb(frames: Iterator[Frame]) -> Iterator[RgbFrame]:
    """Decoded frames as RGB, each with its times and its alpha."""
    for frame in frames:
        planes = [torch.from_numpy(plane) for plane in frame.planes]
        header = replace(frame, planes=frame.planes[frame.layout.num_colors :])
        rgb = to_rgb(planes, frame.layout, frame.color)
        yield RgbFrame(rgb, header, thumbnail(frame))


class SourceMix:
    """Mixes restored frames with the source, resized: what a strength below 1 means.

    Holds the source's frames from where they are read to where they are restored, if it needs them.
    """

    def __init__(self, strength: float, *, num_skipped: int = 0) -> None:
        """Begin to read.

        Args:
            strength: share of the restored frame, 0 to 1.
            num_skipped: frames that come first, and are not given again.
        """
        self._strength, self._num_skipped = strength, num_skipped
        self._held: deque[Tensor] = deque()

    def kept(self, frames: Iterator[RgbFrame]) -> Iterator[RgbFrame]:
        """The same frames, each remembered until it is mixed."""
        for index, frame in enumerate(frames):
            if self._strength < 1 and index >= self._num_skipped:
                self._held.append(frame.rgb)
            yield frame

    def mixed(self, sr_frame: Tensor, size: tuple[int, int]) -> Tensor:
        """The next restored frame (3, H, W) with its source, of `size` if that has a share."""
        if self._strength >= 1:
            return sr_frame
        source = resize(self._held.popleft().to(sr_frame.device), size)
        return torch.lerp(source.float(), resize(sr_frame, size).float(), self._strength)


def kept_frame(frame: Frame, coding: EncoderPlan) -> Frame:
    """A frame of the target's size as it is encoded: its own samples, if the encoder takes them.

    What the encoder wants in another layout or with another matrix goes by way of RGB.
    """
    num_colors = frame.layout.num_colors
    if frame.color == coding.color and _is_same_but_for_alpha(frame.layout, coding.layout):
        planes = frame.planes if coding.layout.has_alpha else frame.planes[:num_colors]
        return frame.with_planes(planes, coding.layout, coding.color)
    (rgb,) = read_rgb(iter([frame]))
    assert rgb.header is not None
    return coded_frame(rgb.rgb, rgb.header, coding)


def _is_same_but_for_alpha(layout: PixelLayout, other: PixelLayout) -> bool:
    """Whether samples may stay: alpha may be left out but not made up.

    Where chroma lies does not count: moving it would change every sample by what no player honours.
    """
    has_alpha = other.has_alpha
    if has_alpha and not layout.has_alpha:
        return False
    return replace(layout, has_alpha=has_alpha, siting=other.siting) == other


def coded_frame(sr_frame: Tensor, header: Frame, coding: EncoderPlan) -> Frame:
    """An enlarged frame as it is encoded, at the time of the frame it was made from.

    Transparency, which no model has ever seen, is enlarged by itself.

    Args:
        sr_frame: (3, H, W), of any size.
        header: from `read_rgb`.
        coding: gives size, layout and colour.
    """
    alpha = to_alpha([torch.from_numpy(plane) for plane in header.planes], header.layout)
    if alpha is not None:
        alpha = resize(alpha.to(sr_frame.device), coding.size)
    rgb = resize(sr_frame, coding.size)
    planes = to_planes(rgb, coding.layout, coding.color, alpha=alpha)
    return header.with_planes(
        tuple(plane.cpu().numpy() for plane in planes), coding.layout, coding.color
    )
