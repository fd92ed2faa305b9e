"""Between frames as they are coded and what the model sees: RGB, transparency apart."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from vsr_cli.media.frame import Frame
from vsr_cli.media.writing.encoder_plan import EncoderPlan
from vsr_cli.ops.resize import resize
from vsr_cli.ops.yuv import to_alpha, to_planes, to_rgb
from vsr_cli.pipeline.clips import RgbFrame


def read_rgb(frames: Iterator[Frame]) -> Iterator[RgbFrame]:
    """Decoded frames as RGB, each with its times and its alpha."""
    for frame in frames:
        planes = [torch.from_numpy(plane) for plane in frame.planes]
        header = replace(frame, planes=frame.planes[frame.layout.num_colors :])
        yield RgbFrame(to_rgb(planes, frame.layout, frame.color), header)


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
