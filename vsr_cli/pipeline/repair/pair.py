"""Two frames and the motion between them, of which others are made."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vsr_cli.media.frame import Frame, Plane, VideoInfo
from vsr_cli.models.flow import DisFlow, fine_search_bytes
from vsr_cli.ops.interpolate import Between, between
from vsr_cli.pipeline.repair.planes import luma_of, to_plane, to_tensor

# Mean difference along the motion, as a share of that without it, above which the motion explains
# too little: cases that lost against a blend had 0.47 and more, those that won 0.44 and less.
_MOST_DISAGREEMENT = 0.45
_STILL = 1 / 255  # mean difference below which any way will do


@dataclass(frozen=True)
class Pair:
    """Two frames of one size and layout, and the motion between them.

    before, after: the frames.
    luma: (1, 1, H, W) in [0, 1] of each.
    forward, backward: (1, 2, H, W) pixels, from the one before to the one after, and back.
    """

    before: Frame
    after: Frame
    luma: tuple[Tensor, Tensor]
    forward: Tensor
    backward: Tensor

    @classmethod
    def measured(cls, before: Frame, after: Frame, flow: DisFlow) -> "Pair":
        """Measure the motion between two frames that are alike."""
        earlier, later = luma_of(before), luma_of(after)
        pair = torch.stack((earlier[0], later[0]))[None] * 2 - 1  # (1, 2, 1, H, W)
        forward, backward = (x[0] for x in flow(pair.expand(-1, -1, 3, -1, -1)))
        return cls(before, after, (earlier, later), forward, backward)

    def at(self, time: float) -> Between:
        """Where the frame at a time in (0, 1) finds its samples; 0 is the one before."""
        return between(*self.luma, self.forward, self.backward, time)

    def explains(self, middle: Between) -> bool:
        """Whether the motion tells what is between, by a frame in the middle."""
        earlier, later = self.luma
        if float((earlier - later).abs().mean()) < _STILL:
            return True
        return middle.disagreement(earlier, later) <= _MOST_DISAGREEMENT

    def mixed(self, motion: Between) -> tuple[Plane, ...]:
        """The planes of the frame between that `at` has found."""
        depth = self.before.layout.depth
        pairs = zip(self.before.planes, self.after.planes, strict=True)
        mixed = [motion.mix(to_tensor(a, depth), to_tensor(b, depth)) for a, b in pairs]
        planes = [to_plane(x, depth) for x in mixed]
        return tuple(planes)


def are_alike(frame: Frame, other: Frame) -> bool:
    """Whether two frames have one layout, colour and size."""
    return (frame.layout, frame.color, frame.size) == (other.layout, other.color, other.size)


def bytes_of(info: VideoInfo, flow: DisFlow, *, num_frames: int, num_made: int = 1) -> int:
    """Bytes of frames as they are decoded, and of making some at once with a fine search."""
    making = 40 * 4 * info.height * info.width  # float32 planes of flow and its look-ups
    searching = flow.num_directions * fine_search_bytes(info.height, info.width)
    return num_frames * decoded_bytes(info) + num_made * max(making, searching)


def decoded_bytes(info: VideoInfo) -> int:
    """Bytes of one frame as it is decoded."""
    shapes = info.layout.plane_shapes(info.height, info.width)
    samples = sum(height * width for height, width in shapes)
    return samples * (1 if info.layout.depth == 8 else 2)
