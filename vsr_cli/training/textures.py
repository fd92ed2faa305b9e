"""Pictures made from nothing: leaves, gratings, bricks, glyphs and noise, with sharp true edges.

Everything is drawn at twice the size and averaged, so that edges are as soft as a lens makes them.
"""

import functools
import math
import random

import torch
import torch.nn.functional as F
from torch import Tensor

_OVERSAMPLING = 2


class Brush:
    """A seeded source of numbers, fields and colours for one picture on a device.

    Randomness comes from the CPU: a seed means the same picture on every device.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.device = device

    def between(self, low: float, high: float) -> float:
        """Even on a logarithmic scale: sizes have no typical value."""
        return low * (high / low) ** self.random.random()

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator).to(self.device)

    def axis(self, first: int, end: int) -> Tensor:
        """Places of pixels along a side, from `first` to before `end`."""
        return torch.arange(first, end, device=self.device)

    def colors(self, count: int) -> Tensor:
        """(count, 3) in [0, 1], about one common hue, more or less."""
        common, spread = self.uniform(1, 3), self.random.uniform(0.2, 1)
        grey = self.uniform(count, 1).expand(count, 3)
        mixed = common * (1 - spread) + self.uniform(count, 3) * spread
        return mixed.lerp(grey, self.random.uniform(0.2, 0.95))  # few real colours are pure

    def fractal(self, size: int, exponent: float, channels: int = 1) -> Tensor:
        """Noise whose amplitude falls as frequency^-exponent: (channels, size, size), sigma 1."""
        rows, columns = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None, :]
        frequency = torch.hypot(rows.to(self.device), columns.to(self.device)).clamp(min=1 / size)
        white = torch.randn((channels, size, size), generator=self.generator).to(self.device)
        field = torch.fft.irfft2(torch.fft.rfft2(white) * frequency**-exponent, s=(size, size))
        field = field - field.mean(dim=(1, 2), keepdim=True)
        return field / field.std(dim=(1, 2), keepdim=True)


def draw_picture(seed: int, size: int, device: torch.device) -> Tensor:
    """One picture of a random kind, (3, size, size) in [0, 1]."""
    brush = Brush(seed, device)
    paint = brush.random.choices(
        (_leaves, _gratings, _bricks, _glyphs, _noise), (0.35, 0.15, 0.15, 0.2, 0.15)
    )[0]
    fine = paint(brush, size * _OVERSAMPLING)
    if brush.random.random() < 0.6:  # no real surface is flat
        grain = brush.fractal(fine.shape[-1], brush.random.uniform(0.5, 1.5))
        fine = fine * (1 + brush.between(0.02, 0.3) * grain)
    return F.avg_pool2d(fine, _OVERSAMPLING).clamp(0, 1)


def _leaves(brush: Brush, size: int) -> Tensor:
    """Shapes on top of shapes, sizes by a power law (the dead leaves of Lee, Mumford, Huang)."""
    picture = brush.colors(1)[0][:, None, None].expand(3, size, size).clone()
    count = round(brush.between(150, 700))
    palette = brush.colors(count)
    smallest = brush.between(8, 50)
    material = brush.fractal(size, brush.random.uniform(0.6, 1.4))
    for color in palette:
        radius = min(smallest * brush.random.random() ** -0.5, size / 5)
        x, y = brush.random.uniform(0, size), brush.random.uniform(0, size)
        left, top = max(int(x - radius), 0), max(int(y - radius), 0)
        right, bottom = min(int(x + radius) + 2, size), min(int(y + radius) + 2, size)
        dx = brush.axis(left, right) - x
        dy = (brush.axis(top, bottom) - y)[:, None]
        inside = _shape(brush, dx, dy, radius)
        texture = brush.random.uniform(-0.15, 0.15) * material[:, top:bottom, left:right]
        shade = 1 + texture + _slope(brush, dx, dy, radius)
        region = picture[:, top:bottom, left:right]
        region.copy_(torch.where(inside, color[:, None, None] * shade, region))
    return picture


def _shape(brush: Brush, dx: Tensor, dy: Tensor, radius: float) -> Tensor:
    """A disc, an ellipse, a box or a triangle within `radius`, as a mask."""
    turn = brush.random.uniform(0, math.pi)
    u = dx * math.cos(turn) + dy * math.sin(turn)
    v = dy * math.cos(turn) - dx * math.sin(turn)
    kind, flat = brush.random.randrange(3), brush.random.uniform(0.3, 1)
    if kind == 0:
        return u**2 + (v / flat) ** 2 < radius**2
    if kind == 1:
        return torch.maximum(u.abs(), v.abs() / flat) < radius * 0.7
    return torch.maximum(v.abs() * 1.7 + u, -u * 2) < radius


def _slope(brush: Brush, dx: Tensor, dy: Tensor, radius: float) -> Tensor:
    """Light that falls off across a shape."""
    steep = brush.random.uniform(0, 0.3) / radius
    turn = brush.random.uniform(0, 2 * math.pi)
    return steep * (dx * math.cos(turn) + dy * math.sin(turn))


def _gratings(brush: Brush, size: int) -> Tensor:
    """Regions of stripes, hard or soft, each with its own period and direction."""
    count = brush.random.randint(1, 10)
    axis = brush.axis(0, size)
    cells = _nearest([brush.random.uniform(0, size) for _ in range(2 * count)], axis)
    period = torch.tensor([brush.between(5, 60) for _ in range(count)]).to(brush.device)[cells]
    turn = (brush.uniform(count) * math.pi)[cells]
    across = axis * turn.cos() + axis[:, None] * turn.sin()
    wave = torch.sin(2 * math.pi * across / period)
    wave = torch.tanh(brush.between(0.5, 20) * wave) / 2 + 0.5
    dark, light = brush.colors(count)[cells], brush.colors(count)[cells]  # (size, size, 3)
    return dark.lerp(light, wave[..., None]).permute(2, 0, 1)


def _nearest(points: list[float], axis: Tensor) -> Tensor:
    """Which of the points x, y, x, y, ... is nearest to each pixel of a square of this axis."""
    size = len(axis)
    best = axis.new_full((size, size), math.inf, dtype=torch.float32)
    cells = torch.zeros_like(best, dtype=torch.int64)
    for number, (x, y) in enumerate(zip(points[::2], points[1::2], strict=True)):
        distance = (axis - x) ** 2 + (axis[:, None] - y) ** 2
        cells = torch.where(distance < best, number, cells)
        best = torch.minimum(best, distance)
    return cells


def _bricks(brush: Brush, size: int) -> Tensor:
    """Walls, tiles, shutters and windows: boxes in rows, with joints between them."""
    turn = brush.random.choice((0.0, brush.random.uniform(0, math.pi)))
    axis = brush.axis(0, size) - size / 2
    u = axis * math.cos(turn) + axis[:, None] * math.sin(turn)
    v = axis[:, None] * math.cos(turn) - axis * math.sin(turn)
    tall = brush.between(8, 80)
    wide = tall * brush.between(0.8, 8)
    row = (v / tall).floor()
    shifted = u / wide + row * brush.random.choice((0.0, 0.5))
    column = shifted.floor()
    joint = brush.random.uniform(0.04, 0.2) * tall
    edge = torch.minimum((v / tall - row) * tall, (shifted - column) * wide)
    # Any numbers without a common pattern will do: they only pick a colour for each box.
    pick = (row.long() * 7919 + column.long() * 104729) % 64
    mortar, walls = brush.colors(1)[0], brush.colors(64)
    walls = walls.mean(dim=0).lerp(walls, brush.random.random())
    return torch.where((edge < joint)[..., None], mortar, walls[pick]).permute(2, 0, 1)


def _glyphs(brush: Brush, size: int) -> Tensor:
    """Lines of made-up letters: strokes and arcs of one pen."""
    tall = round(brush.between(18, 110))
    wide = round(tall * brush.random.uniform(0.5, 0.8))
    pen = tall * brush.random.uniform(0.04, 0.1)
    bank = torch.stack(
        [_glyph(brush, tall, wide, pen) for _ in range(20)]
        + [torch.zeros(tall, wide, device=brush.device)]
    )
    lines, columns = size // tall + 1, size // wide + 1
    text = (brush.uniform(lines, columns) * 24).long().clamp(max=20)  # the last is a space
    page = bank[text].permute(0, 2, 1, 3).reshape(lines * tall, columns * wide)
    page = page[:size, :size, None]
    paper, ink = brush.colors(2)
    if brush.random.random() < 0.5:  # most real text is dark on light
        paper, ink = 0.7 + 0.3 * paper, 0.3 * ink
    return paper.lerp(ink, page).permute(2, 0, 1)


def _glyph(brush: Brush, tall: int, wide: int, pen: float) -> Tensor:
    """One letter, (tall, wide) in [0, 1]; stems and bars more often than slants."""
    x, y = brush.axis(0, wide) + 0.5, (brush.axis(0, tall) + 0.5)[:, None]
    distance = torch.full((tall, wide), math.inf, device=brush.device)
    # Strokes run between places of a grid of 3 by 4 that leaves room between letters and lines.
    columns = [wide * share for share in (0.2, 0.5, 0.8)]
    rows = [tall * share for share in (0.18, 0.4, 0.6, 0.82)]
    for _ in range(brush.random.randint(2, 4)):
        kind = brush.random.randrange(4)
        ax, bx = brush.random.sample(columns, 2)
        ay, by = brush.random.sample(rows, 2)
        if kind == 0:
            bx = ax
        elif kind == 1:
            by = ay
        if kind == 3:
            radius = min(abs(ax - bx), abs(ay - by)) / 2
            stroke = (torch.hypot(x - (ax + bx) / 2, y - (ay + by) / 2) - radius).abs()
        else:
            stroke = _to_segment(x, y, (ax, ay), (bx, by))
        distance = torch.minimum(distance, stroke)
    return (pen - distance + 0.5).clamp(0, 1)


def _to_segment(x: Tensor, y: Tensor, a: tuple[float, float], b: tuple[float, float]) -> Tensor:
    """Distance of every place to the segment from a to b."""
    ex, ey = b[0] - a[0], b[1] - a[1]
    along = ((x - a[0]) * ex + (y - a[1]) * ey) / (ex**2 + ey**2)
    along = along.clamp(0, 1)
    return torch.hypot(x - a[0] - along * ex, y - a[1] - along * ey)


def _noise(brush: Brush, size: int) -> Tensor:
    """Clouds, stone or foliage: fractal noise through a palette."""
    field = brush.fractal(size, brush.random.uniform(0.8, 1.8))[0]
    if brush.random.random() < 0.5:
        field = field.abs() * 2 - 1  # creases, as in marble and folds
    height = torch.sigmoid(field * brush.between(0.7, 6))[..., None]
    low, middle, high = brush.colors(3)
    return torch.where(
        height < 0.5, low.lerp(middle, 2 * height), middle.lerp(high, 2 * height - 1)
    ).permute(2, 0, 1)


@functools.lru_cache(maxsize=2)
def picture_pool(seed: int, count: int, size: int, device: torch.device) -> Tensor:
    """Many pictures, (count, 3, size, size) uint8; the last two pools asked for are kept."""
    numbers = random.Random(seed)
    pictures = [draw_picture(numbers.getrandbits(60), size, device) for _ in range(count)]
    return (torch.stack(pictures) * 255).round().to(torch.uint8)
