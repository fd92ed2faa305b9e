"""Procedural clips: layers that move over each other, with exact flow and visibility."""

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from vsr_cli.ops.warp import backward_warp
from vsr_cli.training.camera import (
    Camera,
    camera_flow,
    look,
    random_camera,
    stays_inside,
    world_positions,
)
from vsr_cli.training.textures import picture_pool

_POOL = 48  # pictures that scenes are made of at one time
_PICTURE = 448  # pixels per side
_SPEED = 6.0  # greatest pan of a layer, pixels per frame
_PURE = 0.99  # share of a pixel that one layer must own for its flow to be exact there


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A clip and what is true about it, all on the grid of the frames."""

    frames: Tensor  # (T, 3, H, W) in [-1, 1]
    flow_forward: Tensor  # (T-1, 2, H, W) pixels, channel 0 right, 1 down
    flow_backward: Tensor  # the same shape
    visible_forward: Tensor  # (T-1, 1, H, W) 0 or 1
    visible_backward: Tensor  # the same shape


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A picture with holes and the camera that looks at it."""

    picture: Tensor  # (3, h, w) in [0, 1]; it goes on as its mirror image
    camera: Camera
    holes: "tuple[Blob, ...] | None"  # what is seen of the layer; None: all of it


@dataclass(frozen=True, kw_only=True)
class Blob:
    """An ellipse or a box in the world of a layer."""

    x: float
    y: float
    turn: float  # radians
    width: float  # half the side, in pixels
    height: float
    is_box: bool

    def distance(self, points: Tensor) -> Tensor:
        """How far (..., 2) lie outside, in pixels; below 0 inside, and near enough at the edge."""
        dx, dy = points[..., 0] - self.x, points[..., 1] - self.y
        u = (dx * math.cos(self.turn) + dy * math.sin(self.turn)).abs()
        v = (dy * math.cos(self.turn) - dx * math.sin(self.turn)).abs()
        if self.is_box:
            return torch.maximum(u - self.width, v - self.height)
        radius = torch.hypot(u / self.width, v / self.height)
        return (radius - 1) * min(self.width, self.height)


def render_scene(
    seed: int,
    num_frames: int,
    size: tuple[int, int],
    *,
    device: torch.device,
    pool_seed: int = 0,
) -> Scene:
    """A random scene of one to four layers.

    All that is random is drawn on the CPU, so that a seed means the same scene on every device.

    Args:
        seed: of the scene.
        num_frames: T, 1 or more.
        size: (height, width) of the frames.
        device: where all of it is made and stays.
        pool_seed: of the pictures on the layers. A pool takes seconds to draw and serves many
            scenes, so let it change rarely.
    """
    draw = random.Random(seed)
    pool = picture_pool(pool_seed, _POOL, _PICTURE, device)
    still = draw.random() < 0.1  # nothing moves: steadiness has to be learnt as well
    layers = [
        _random_layer(draw, pool, num_frames, size, is_backdrop=not depth, is_still=still)
        for depth in range(draw.choice((1, 2, 3, 4)))
    ]
    return compose(layers, size)


def compose(layers: list[Layer], size: tuple[int, int]) -> Scene:
    """Lay the layers over each other, the first at the back, and follow each pixel's owner.

    A flow is visible where one layer owns the pixel and owns the place the flow leads to.

    Raises:
        ValueError: if there is no layer, or the one at the back has holes.
    """
    if not layers or layers[0].holes is not None:
        raise ValueError("expected at least one layer, and no holes in the first")
    frames = layers[0].camera.place.new_zeros(layers[0].camera.num_frames, 3, *size)
    shares: list[Tensor] = []  # (T, 1, H, W) each: what every layer so far owns of a pixel
    for layer in layers:
        cover = _cover(layer, size)
        frames = frames + cover * (look(layer.picture, layer.camera, size) - frames)
        shares = [*(share * (1 - cover) for share in shares), cover]
    flows = [camera_flow(layer.camera, size) for layer in layers]
    forward = _follow_owner(
        [f for f, _ in flows], [s[:-1] for s in shares], [s[1:] for s in shares]
    )
    backward = _follow_owner(
        [b for _, b in flows], [s[1:] for s in shares], [s[:-1] for s in shares]
    )
    return Scene(
        frames=(frames * 2 - 1).clamp(-1, 1),
        flow_forward=forward[0],
        flow_backward=backward[0],
        visible_forward=forward[1],
        visible_backward=backward[1],
    )


def _follow_owner(
    flows: list[Tensor], here: list[Tensor], there: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Flow of the owner of each pixel, and where it is the truth: (N, 2, h, w), (N, 1, h, w)."""
    flow, visible = torch.zeros_like(flows[0]), torch.zeros_like(here[0])
    most = torch.zeros_like(here[0])
    for motion, share, target in zip(flows, here, there, strict=True):
        flow = torch.where(share > most, motion, flow)
        most = torch.maximum(share, most)
        if not len(motion):
            continue
        owns_both = (share > _PURE) & (backward_warp(target, motion) > _PURE)
        visible = torch.maximum(visible, owns_both * stays_inside(motion))
    return flow, visible


def _cover(layer: Layer, size: tuple[int, int]) -> Tensor:
    """How much of each pixel the layer hides, soft over one pixel, (T, 1, h, w)."""
    if layer.holes is None:
        return torch.ones(layer.camera.num_frames, 1, *size, device=layer.camera.device)
    points = world_positions(layer.camera, size)
    nearest = torch.stack([blob.distance(points) for blob in layer.holes]).amin(dim=0)
    grain = layer.camera.matrix.det().abs().sqrt()[:, None, None]  # pixels of the world per pixel
    return (0.5 - nearest / grain).clamp(0, 1)[:, None]


def _random_layer(
    draw: random.Random,
    pool: Tensor,
    num_frames: int,
    size: tuple[int, int],
    *,
    is_backdrop: bool,
    is_still: bool,
) -> Layer:
    if is_still:
        camera = random_camera(draw, num_frames, speed=0, zoom=0, turn=0)
    else:
        camera = random_camera(draw, num_frames, speed=_SPEED, zoom=0.015, turn=0.015)
    view = _view(draw, draw.uniform(0.5, 1))
    reach = max(size)
    moved = Camera(
        matrix=view @ camera.matrix,
        place=camera.place @ view.T + (torch.rand(2, generator=_generator(draw)) - 0.5) * _PICTURE,
    )
    middle = moved.place.mean(dim=0).tolist()
    holes = None
    if not is_backdrop:
        holes = tuple(_random_blob(draw, middle, reach) for _ in range(draw.randint(1, 5)))
    picture = _recolor(pool[draw.randrange(len(pool))], draw)
    return Layer(picture=picture, camera=moved.to(pool.device), holes=holes)


def _view(draw: random.Random, zoom: float) -> Tensor:
    """A turn and a size for the whole picture, (2, 2); at most 1, so that nothing aliases."""
    turn = draw.choice((0.0, 0.0, draw.uniform(0, 2 * math.pi)))
    cos, sin = zoom * math.cos(turn), zoom * math.sin(turn)
    return torch.tensor([[cos, -sin], [sin, cos]])


def _generator(draw: random.Random) -> torch.Generator:
    return torch.Generator().manual_seed(draw.getrandbits(62))


def _random_blob(draw: random.Random, middle: list[float], reach: int) -> Blob:
    width = reach * draw.uniform(0.03, 0.3)
    return Blob(
        x=middle[0] + reach * draw.uniform(-0.5, 0.5),
        y=middle[1] + reach * draw.uniform(-0.5, 0.5),
        turn=draw.choice((0.0, draw.uniform(0, math.pi))),
        width=width,
        height=width * draw.uniform(0.2, 1),
        is_box=draw.random() < 0.5,
    )


def _recolor(picture: Tensor, draw: random.Random) -> Tensor:
    """Channels in another order, brightness and contrast changed: a pool seems larger."""
    order = draw.sample(range(3), 3)
    low = draw.uniform(0, 0.4)
    high = draw.uniform(max(low + 0.3, 0.6), 1)
    return picture[order].float() / 255 * (high - low) + low
