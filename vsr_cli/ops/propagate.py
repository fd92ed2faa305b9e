"""What is hidden in one frame and seen in another, handed on along the motion."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr_cli.ops.fill import complete, grow, spread
from vsr_cli.ops.warp import backward_warp, visibility

_MOTION_RIM = 3  # pixels around a hole whose motion what is in the hole has spoilt
_BRIGHTNESS_RIM = 6  # pixels around it that tell a change of brightness
_KNOWN = 0.999  # of four neighbours' weight: all of them are known
_FLAT, _TEXTURED = 8 / 255, 0.9  # of the error that is borne: in flat places, per local contrast
_IN_SUM = 3  # times as much on the whole way
_DOUBT_POWER = 4  # of 1 - exp(-cost): what came with no more error than is borne is hardly doubted


@dataclass(frozen=True)
class Carried:
    """A picture whose holes are closed as far as other frames have shown what is there.

    values: (1, C, h, w); where nothing is had, some guess.
    had: (1, 1, h, w), 1 where the picture itself or another frame shows it.
    cost: (1, 1, h, w), the sum of errors on the way here.
    is_sure: (1, 1, h, w), 1 where motion and its way back agreed at every step.
    """

    values: Tensor
    had: Tensor
    cost: Tensor
    is_sure: Tensor

    def stacked(self) -> Tensor:
        """All in one tensor, (1, C + 3, h, w)."""
        return torch.cat((self.values, self.had, self.cost, self.is_sure), dim=1)

    @classmethod
    def unstacked(cls, x: Tensor) -> "Carried":
        """The inverse of `stacked`."""
        return cls(x[:, :-3], x[:, -3:-2], x[:, -2:-1], x[:, -1:])


def tolerance(picture: Tensor, hole: Tensor, weights: Tensor) -> Tensor:
    """How far a picture may be off along a motion that is still believed, (1, 1, h, w).

    Flat places show every error; in texture a motion that is right leaves some. In holes it is that
    of their surroundings.

    Args:
        picture: (1, C, h, w) in [0, 1], holes roughly filled.
        hole: (1, 1, h, w).
        weights: (1, C, 1, 1) of the channels.
    """
    padded = F.pad(picture, (2, 2, 2, 2), mode="replicate")
    detail = ((picture - F.avg_pool2d(padded, 5, 1)).abs() * weights).sum(1, keepdim=True)
    contrast = F.avg_pool2d(detail, 9, 1, 4, count_include_pad=False)
    return _FLAT + _TEXTURED * spread(contrast, 1 - hole)


def complete_motion(
    flow_forward: Tensor, flow_backward: Tensor, hole: Tensor, next_hole: Tensor
) -> tuple[Tensor, Tensor]:
    """Replace flow that was measured against what is in holes by that of their surroundings.

    It starts in the hole of its own frame, or ends in that of the other one.

    Args:
        flow_forward: (1, 2, h, w) pixels from a frame to the next.
        flow_backward: (1, 2, h, w), back again.
        hole: (1, 1, h, w) of the frame.
        next_hole: of the next one.
    """
    here, there = grow(hole, _MOTION_RIM), grow(next_hole, _MOTION_RIM)
    lands_there = backward_warp(there, flow_forward) > 0
    lands_here = backward_warp(here, flow_backward) > 0
    spoilt_forward = grow(torch.maximum(here, lands_there.float()), 1)
    spoilt_backward = grow(torch.maximum(there, lands_here.float()), 1)
    return complete(flow_forward, spoilt_forward), complete(flow_backward, spoilt_backward)


def seen_both_ways(flow_forward: Tensor, flow_backward: Tensor) -> tuple[Tensor, Tensor]:
    """Visibility of both flows; see `ops.warp.visibility`."""
    return visibility(flow_forward, flow_backward)


def carry(
    before: Carried,
    picture: Tensor,
    hole: Tensor,
    flow: Tensor,
    visible: Tensor,
    borne: Tensor,
    weights: Tensor,
) -> Carried:
    """Close the hole of a picture with what its neighbour in time has.

    A pixel is taken over where all that it is made of is had, and the ring of the hole agrees: the
    error of the motion where both pictures are known is spread into the hole, and must stay below
    `borne` in this step, and below three times that in sum. The difference of the ring itself is
    spread as well and added, which follows changes of light.

    Args:
        before: the neighbour.
        picture: (1, C, h, w) in [0, 1], its hole roughly filled.
        hole: (1, 1, h, w).
        flow: (1, 2, h, w) pixels, from the picture to its neighbour, completed in holes.
        visible: (1, 1, h, w), of that flow.
        borne: from `tolerance`, of the picture.
        weights: (1, C, 1, 1) of the channels in an error.
    """
    known = 1 - hole
    values = backward_warp(before.values, flow, outside="zeros", look_up="bicubic")
    facts = torch.cat((before.had, before.cost, before.is_sure), dim=1)
    had, cost, is_sure = backward_warp(facts, flow, outside="zeros").split(1, dim=1)
    can_compare = (had > _KNOWN).float() * known
    difference = (picture - values) * can_compare
    error = spread((difference.abs() * weights).sum(1, keepdim=True), can_compare)
    cost = cost + error
    ring = can_compare * grow(hole, _BRIGHTNESS_RIM)
    taken = (had > _KNOWN) & (error < borne) & (cost < _IN_SUM * borne) & (hole > 0)
    lighter = values + spread(difference, ring)
    here = taken.float()
    return Carried(
        torch.where(taken, lighter.clamp(0, 1), picture),
        known + here,
        cost * here,
        known + here * visible * (is_sure > _KNOWN),
    )


def merge(
    earlier: Carried, later: Carried, hole: Tensor, borne: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What both directions of time have brought, each by exp(-cost); what is sure goes first.

    Args:
        earlier: the picture with what frames before it have shown.
        later: with what frames after it have shown.
        hole: (1, 1, h, w).
        borne: from `tolerance`.

    Returns:
        (1, C, h, w) values; (1, 1, h, w), 1 where the hole is left open; and (1, 1, h, w), how much
        the values in the hole are to be doubted, 0 where they came without any error, 1 where the
        hole is left open.
    """
    any_sure = torch.maximum(earlier.is_sure, later.is_sure)
    total, weight = torch.zeros_like(earlier.values), torch.zeros_like(hole)
    best = weight
    for side in (earlier, later):
        counts = torch.where(any_sure > 0, side.is_sure, side.had)
        share = counts * (-side.cost / borne).exp()
        total, weight = total + share * side.values, weight + share
        best = torch.maximum(best, share)
    is_open = hole * (weight == 0)
    found = torch.where(weight > 0, total / weight.clamp(min=1e-9), earlier.values)
    doubt = hole * (1 - best) ** _DOUBT_POWER
    return torch.where(hole > 0, found, earlier.values), is_open, doubt
