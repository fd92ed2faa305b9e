"""A camera that moves over a still picture, and the exact flow this makes."""

import math
import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE = 4  # between the grids of HR and LR


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Where each frame looks: world point X = matrix (p - centre of the frame) + place.

    Points are (x, y) in pixels; the world's origin is the centre of the picture.
    """

    matrix: Tensor  # (T, 2, 2)
    place: Tensor  # (T, 2)

    @property
    def num_frames(self) -> int:
        return len(self.place)

    @property
    def device(self) -> torch.device:
        return self.place.device

    def to(self, device: torch.device) -> "Camera":
        """The same, where it shall look."""
        return Camera(matrix=self.matrix.to(device), place=self.place.to(device))

    def in_whole_pixels(self) -> "Camera":
        """The same pan by whole pixels, without zoom and roll: what it sees is not interpolated.

        Picture and frames must both have even sides, or both odd ones.
        """
        return Camera(matrix=torch.eye(2).expand_as(self.matrix), place=self.place.round())


def random_camera(
    draw: random.Random, num_frames: int, *, speed: float, zoom: float = 0.01, turn: float = 0.01
) -> Camera:
    """A smooth pan, zoom and roll with a little shake, around the centre of the world.

    Args:
        draw: where the randomness comes from.
        num_frames: T.
        speed: greatest pan in pixels per frame.
        zoom: greatest change of size per frame, as a share.
        turn: greatest roll per frame, in radians.
    """
    heading, pace = draw.uniform(0, 2 * math.pi), speed * draw.random() ** 2  # mostly slow
    bend, grow = draw.uniform(-0.1, 0.1), draw.uniform(-zoom, zoom) * draw.random()
    roll = draw.uniform(-turn, turn) * draw.random()
    shake = 0.1 * pace * draw.random()
    x = y = 0.0
    places, matrices = [], []
    for t in range(num_frames):
        places.append((x + draw.gauss(0, shake), y + draw.gauss(0, shake)))
        x, y = x + pace * math.cos(heading + bend * t), y + pace * math.sin(heading + bend * t)
        size = math.exp(grow * (t - num_frames / 2))
        cos, sin = size * math.cos(roll * t), size * math.sin(roll * t)
        matrices.append(((cos, -sin), (sin, cos)))
    place = torch.tensor(places)
    return Camera(matrix=torch.tensor(matrices), place=place - place.mean(dim=0))


def pixel_positions(size: tuple[int, int], device: torch.device) -> Tensor:
    """(x, y) of every pixel from the centre of a frame, (h, w, 2)."""
    height, width = size
    x = torch.arange(width, device=device) - (width - 1) / 2
    y = torch.arange(height, device=device) - (height - 1) / 2
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def world_positions(camera: Camera, size: tuple[int, int]) -> Tensor:
    """World point (x, y) of every pixel of every frame, (T, h, w, 2)."""
    pixels = pixel_positions(size, camera.device)
    turned = torch.einsum("tij,hwj->thwi", camera.matrix, pixels)
    return turned + camera.place[:, None, None]


def look(world: Tensor, camera: Camera, size: tuple[int, int]) -> Tensor:
    """What the camera sees of a picture that goes on as its mirror image.

    Args:
        world: (C, H, W).
        camera: of T frames, on the same device.
        size: (height, width) of the frames.

    Returns:
        (T, C, height, width); bicubic, so it may overshoot.
    """
    height, width = world.shape[-2:]
    half = torch.tensor([(width - 1) / 2, (height - 1) / 2]).to(world.device)
    grid = world_positions(camera, size) / half  # (T, h, w, 2) in [-1, 1]
    worlds = world.expand(camera.num_frames, -1, -1, -1)
    return F.grid_sample(
        worlds, grid, mode="bicubic", padding_mode="reflection", align_corners=True
    )


def camera_flow(camera: Camera, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Forward and backward flow of everything that stands still in the world.

    Returns:
        two of (T-1, 2, h, w), pixels, channel 0 right, 1 down.
    """
    pixels, world = pixel_positions(size, camera.device), world_positions(camera, size)
    forward = _project(world[:-1], camera, slice(1, None)) - pixels
    backward = _project(world[1:], camera, slice(None, -1)) - pixels
    return forward.permute(0, 3, 1, 2), backward.permute(0, 3, 1, 2)


def _project(world: Tensor, camera: Camera, frames: slice) -> Tensor:
    """Pixels (N, h, w, 2), from the centre, where `frames` see these world points."""
    inverse = torch.linalg.inv(camera.matrix[frames])
    away = world - camera.place[frames][:, None, None]
    return torch.einsum("tij,thwj->thwi", inverse, away)


def stays_inside(flow: Tensor) -> Tensor:
    """1 where a flow (N, 2, h, w) ends inside the frame, else 0, (N, 1, h, w)."""
    height, width = flow.shape[-2:]
    x = flow[:, :1] + torch.arange(width, device=flow.device)
    y = flow[:, 1:] + torch.arange(height, device=flow.device)[:, None]
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).float()


def shrink_flow(flow: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Bring flow and visibility from the grid of HR to that of LR.

    A pixel of LR is visible where its 16 pixels of HR are and move as one.

    Args:
        flow: (N, 2, h, w) pixels of HR.
        visible: (N, 1, h, w).

    Returns:
        (N, 2, h / 4, w / 4) pixels of LR; (N, 1, h / 4, w / 4).
    """
    if not len(flow):
        size = (flow.shape[-2] // SCALE, flow.shape[-1] // SCALE)
        return flow.new_zeros(0, 2, *size), flow.new_zeros(0, 1, *size)
    spread = F.max_pool2d(flow, SCALE) + F.max_pool2d(-flow, SCALE)  # (N, 2, h / 4, w / 4)
    together = (spread < 1).all(dim=1, keepdim=True)
    whole = F.avg_pool2d(visible, SCALE) > 0.999
    return F.avg_pool2d(flow, SCALE) / SCALE, (whole & together).float()
