"""Training samples: footage decoded once to memory-mapped arrays, then cropped and degraded."""

import csv
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from vsr_cli.errors import InputError
from vsr_cli.media.containers import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vsr_cli.media.roundtrip import decode_rgb
from vsr_cli.models.small.model import BODY_STRIDE
from vsr_cli.quality.degrade import Degradation, Level
from vsr_cli.training.camera import camera_flow, look, random_camera, shrink_flow, stays_inside
from vsr_cli.training.scenes import Scene, render_scene

_SUFFIXES = VIDEO_SUFFIXES | IMAGE_SUFFIXES
_INDEX = "index.csv"
_SAMPLES_PER_POOL = 8192  # then scenes are made of new pictures
_SPEED = 8.0  # greatest synthetic pan, pixels of HR per frame
_EXACT_SHARE = 0.5  # of them go by whole pixels: interpolation takes a third of the finest detail
_PLACES = 4  # of which the liveliest becomes the crop, because flat areas teach little
_TRIES = 6  # at a crop with the least detail that is asked for

# How often each enlargement is trained; each batch has one.
SCALE_SHARES = {4: 0.5, 2: 0.2, 1: 0.3}


class Sample(NamedTuple):
    """One training sample; a batch of them has B in front of every shape."""

    hr: Tensor  # (T, 3, S, S) in [-1, 1]
    lr: Tensor  # (T, 3, S / scale, S / scale) in [-1, 1]
    flow_forward: Tensor  # (T-1, 2, S / 4, S / 4) pixels of that grid; zeros where not known
    flow_backward: Tensor  # the same shape
    visible_forward: Tensor  # (T-1, 1, S / 4, S / 4) 0 or 1
    visible_backward: Tensor  # the same shape
    has_motion: Tensor  # () bool: flow and visibility are the truth

    @property
    def scale(self) -> int:
        """How many times larger the truth is than the source, per side."""
        return self.hr.shape[-1] // self.lr.shape[-1]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One decoded clip or photograph on disk."""

    path: Path  # .npy, (T, H, W, 3) uint8
    source: str  # clips of one source look alike
    num_frames: int
    height: int
    width: int


def write_shards(sources: Sequence[Path], out: Path) -> list[Shard]:
    """Decode videos and images once, one array each, with an index beside them.

    Videos named `name_1`, `name_2`, ... count as clips of one source, `name`. A `manifest.csv` in
    a folder of sources may say better: rows of equal `repo` and `path` are of one source.

    Args:
        sources: files, or folders that are searched for videos and images.
        out: a folder, made if need be; arrays already there are not decoded again.

    Raises:
        InputError: if there is nothing to decode, or a file cannot be.
    """
    files = [path for source in sources for path in _find(source)]
    if not files:
        raise InputError("no videos or images found", hint="give a folder that holds some")
    out.mkdir(parents=True, exist_ok=True)
    origins = {path: origin for source in sources for path, origin in _read_origins(source)}
    shards = [_write_shard(path, out, origins.get(path)) for path in files]
    with (out / _INDEX).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "source", "frames", "height", "width"))
        writer.writerows((s.path.name, s.source, s.num_frames, s.height, s.width) for s in shards)
    return shards


def _find(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    return sorted(path for path in source.rglob("*") if path.suffix.lower() in _SUFFIXES)


def _read_origins(folder: Path) -> list[tuple[Path, str]]:
    """Files of a folder, and what they were cut from, as far as a manifest says so."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return []
    with manifest.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row.get("file") and row.get("path")]
    return [(folder / row["file"], f"{row.get('repo', '')}/{row['path']}") for row in rows]


def _write_shard(path: Path, out: Path, origin: str | None) -> Shard:
    target = out / f"{path.parent.name}-{path.name}.npy"
    if not target.exists():
        partial = target.with_suffix(".partial")
        with partial.open("wb") as stream:
            np.save(stream, np.stack(list(decode_rgb(path))))
        partial.rename(target)
    num_frames, height, width, _ = np.load(target, mmap_mode="r").shape
    name = re.sub(r"_\d+$", "", path.stem) if num_frames > 1 else path.stem
    return Shard(
        path=target, source=origin or name, num_frames=num_frames, height=height, width=width
    )


def read_shards(folder: Path) -> list[Shard]:
    """Read the index that `write_shards` left.

    Raises:
        InputError: if there is none.
    """
    index = folder / _INDEX
    if not index.exists():
        raise InputError(
            f"`{folder}` holds no training data",
            why=f"there is no `{_INDEX}`",
            hint="make it with `python -m vsr_cli.training shards SOURCE --out DIR`",
        )
    with index.open(newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    return [
        Shard(path=folder / name, source=source, num_frames=int(t), height=int(h), width=int(w))
        for name, source, t, h, w in rows
    ]


class Drawn(NamedTuple):
    """A batch before its scenes are made: what a worker hands over."""

    first: int  # number of its first sample
    footage: Sample | None  # the samples that are no scenes, in order; None if all are


class ClipDataset(IterableDataset[Drawn]):
    """Endless samples; number `i` is the same whatever the number of workers and processes.

    Some are footage, which workers cut and degrade, and some are procedural scenes, which
    `complete` makes on the device that trains. Sources of footage are drawn evenly, whatever the
    number of their clips. Photographs give clips too, with a camera that moves over them, and
    then flow and visibility are exact.

    Args:
        shards: the folder `write_shards` filled.
        num_frames: T; 1 for images.
        crop_size: S, a multiple of 16.
        level: of the degradation.
        scales: how often each enlargement is drawn; a batch has one.
        least_detail: of footage, as `detail_of` measures it; duller crops are drawn again.
        scene_share: how many of the samples are procedural scenes.
        still_share: how many of the others come from photographs.
        seed: of everything.
        start: number of the first sample, a multiple of `batch`, to go on where another run ended.
        batch: samples in a batch; workers take whole batches in turn.
        rank: which of the processes that train together this is; they take batches in turn too.
        num_ranks: how many there are.
    """

    def __init__(
        self,
        shards: Path,
        *,
        num_frames: int,
        crop_size: int,
        level: Level = "mixed",
        scales: Mapping[int, float] = SCALE_SHARES,
        least_detail: float = 0.0,
        scene_share: float = 0.25,
        still_share: float = 0.7,
        seed: int = 0,
        start: int = 0,
        batch: int = 1,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if crop_size % 16 or crop_size < 16:
            raise ValueError(f"expected a crop of a multiple of 16, got {crop_size}")
        self.num_frames, self.crop_size = num_frames, crop_size
        self.scales = scales
        self.degradations = {scale: Degradation(level, scale=scale) for scale in scales}
        # A codec would make a GPU wait for the CPU; footage meets it often enough.
        self.scene_degradations = {
            scale: Degradation(level, scale=scale, has_codecs=False) for scale in scales
        }
        self.least_detail = least_detail
        self.scene_share, self.still_share = scene_share, still_share
        self.seed, self.start = seed, start
        self.batch, self.rank, self.num_ranks = batch, rank, num_ranks
        usable = [s for s in read_shards(shards) if min(s.height, s.width) >= crop_size]
        self.stills = _by_source(s for s in usable if s.num_frames == 1)
        self.clips = _by_source(s for s in usable if s.num_frames >= max(num_frames, 2))
        if not self.stills and not self.clips:
            raise InputError(
                f"no training data holds {num_frames} frames of {crop_size}x{crop_size}",
                hint="use a smaller crop, or add larger footage",
            )

    def __iter__(self) -> Iterator[Drawn]:
        worker = get_worker_info()
        turn, num_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            first = self.start + (turn * self.num_ranks + self.rank) * self.batch
            numbers = range(first, first + self.batch)
            footage = [self.footage(n) for n in numbers if not self.is_scene(n)]
            yield Drawn(first, _stack(footage) if footage else None)
            turn += num_workers

    def scale(self, number: int) -> int:
        """By how much the sample of this number is enlarged, the same for all of its batch."""
        draw = random.Random(f"{self.seed}/scale/{number // self.batch}")
        return draw.choices([*self.scales], [*self.scales.values()])[0]

    def is_scene(self, number: int) -> bool:
        """Whether this sample is a procedural scene."""
        return self._draw(number)[0]

    def footage(self, number: int) -> Sample:
        """The sample of this number, which is no scene."""
        _, draw = self._draw(number)
        is_still = draw.random() < self.still_share
        degradation = self.degradations[self.scale(number)]
        if self.stills and (is_still or not self.clips):
            return self._from_still(draw, degradation)
        return self._from_clip(draw, degradation)

    def scene(self, number: int, device: torch.device) -> Sample:
        """The sample of this number, which is a scene, made on a device."""
        _, draw = self._draw(number)
        scene = render_scene(
            draw.getrandbits(62),
            self.num_frames,
            (self.crop_size, self.crop_size),
            device=device,
            pool_seed=self.seed + number // _SAMPLES_PER_POOL,
        )
        degradation = self.scene_degradations[self.scale(number)]
        return _known_motion(scene, degradation(scene.frames, draw.getrandbits(62)))

    def complete(self, batches: Iterable[Drawn], device: torch.device) -> Iterator[Sample]:
        """Batches of samples in the order of their numbers, on the device that trains."""
        for first, footage in batches:
            ready: Iterator[Sample] = iter(())
            if footage is not None:
                on_device = Sample(*(x.to(device, non_blocking=True) for x in footage))
                ready = (Sample(*x) for x in zip(*on_device, strict=True))
            yield _stack(
                [
                    self.scene(n, device) if self.is_scene(n) else next(ready)
                    for n in range(first, first + self.batch)
                ]
            )

    def _draw(self, number: int) -> tuple[bool, random.Random]:
        """Whether a sample is a scene, and where the rest of its randomness comes from."""
        draw = random.Random(f"{self.seed}/{number}")
        return draw.random() < self.scene_share, draw

    def _from_still(self, draw: random.Random, degradation: Degradation) -> Sample:
        shard = draw.choice(draw.choice(self.stills))
        pixels = np.load(shard.path, mmap_mode="r")
        if self.num_frames == 1:
            frames = _turn(_crop(pixels, self.crop_size, draw, self.least_detail), draw)
            return self._unknown_motion(frames, degradation, draw)
        room = min(shard.height, shard.width) // 16 * 16
        side = min(self.crop_size + 2 * int(_SPEED) * self.num_frames, room)
        world = _turn(_crop(pixels, side, draw, self.least_detail), draw)[0]
        size = (self.crop_size, self.crop_size)
        camera = random_camera(draw, self.num_frames, speed=_SPEED)
        if draw.random() < _EXACT_SHARE:
            camera = camera.in_whole_pixels()
        forward, backward = camera_flow(camera, size)
        scene = Scene(
            frames=look(world, camera, size).clamp(-1, 1),
            flow_forward=forward,
            flow_backward=backward,
            visible_forward=stays_inside(forward),
            visible_backward=stays_inside(backward),
        )
        return _known_motion(scene, degradation(scene.frames, draw.getrandbits(62)))

    def _from_clip(self, draw: random.Random, degradation: Degradation) -> Sample:
        shard = draw.choice(draw.choice(self.clips))
        pixels = np.load(shard.path, mmap_mode="r")
        fits_twice = shard.num_frames >= 2 * self.num_frames
        step = draw.choice((1, 1, 2)) if fits_twice else 1  # twice as fast, now and then
        reach = (self.num_frames - 1) * step + 1
        first = draw.randrange(shard.num_frames - reach + 1)
        seen = pixels[first : first + reach : step]
        frames = _turn(_crop(seen, self.crop_size, draw, self.least_detail), draw)
        if draw.random() < 0.5:
            frames = frames.flip(0)
        return self._unknown_motion(frames, degradation, draw)

    def _unknown_motion(
        self, frames: Tensor, degradation: Degradation, draw: random.Random
    ) -> Sample:
        side = self.crop_size // BODY_STRIDE
        flow = torch.zeros(self.num_frames - 1, 2, side, side)
        visible = flow[:, :1]
        lr_frames = degradation(frames, draw.getrandbits(62))
        unknown = torch.tensor(False)
        return Sample(frames, lr_frames, flow, flow, visible, visible, unknown)


def _known_motion(scene: Scene, lr_frames: Tensor) -> Sample:
    flow_forward, visible_forward = shrink_flow(scene.flow_forward, scene.visible_forward)
    flow_backward, visible_backward = shrink_flow(scene.flow_backward, scene.visible_backward)
    return Sample(
        hr=scene.frames,
        lr=lr_frames,
        flow_forward=flow_forward,
        flow_backward=flow_backward,
        visible_forward=visible_forward,
        visible_backward=visible_backward,
        has_motion=torch.ones((), dtype=torch.bool, device=lr_frames.device),
    )


def _stack(samples: Sequence[Sample]) -> Sample:
    return Sample(*(torch.stack(values) for values in zip(*samples, strict=True)))


def _by_source(shards: Iterable[Shard]) -> list[list[Shard]]:
    groups: dict[str, list[Shard]] = defaultdict(list)
    for shard in shards:
        groups[shard.source].append(shard)
    return list(groups.values())


def _crop(pixels: NDArray[np.uint8], size: int, draw: random.Random, least_detail: float) -> Tensor:
    """A random square of (T, H, W, 3), seen from up to twice as far: (T, 3, size, size).

    Shrinking hides what compression or the lens did to the finest detail. The square is the
    liveliest of a few, and drawn again a few times where it has less than `least_detail`.
    """
    height, width = pixels.shape[1:3]
    farthest = min(2.0, min(height, width) / size)
    side = round(size * draw.uniform(1, farthest)) if draw.random() < 0.6 else size
    best, most = (0, 0), -1.0
    for _ in range(_TRIES):
        for _ in range(_PLACES):
            place = (draw.randrange(height - side + 1), draw.randrange(width - side + 1))
            if (detail := detail_of(pixels[0], place, side)) > most:
                best, most = place, detail
        if most >= least_detail:
            break
    y, x = best
    square = np.ascontiguousarray(pixels[:, y : y + side, x : x + side].transpose(0, 3, 1, 2))
    frames = torch.from_numpy(square).float() / 127.5 - 1
    if side == size:
        return frames
    shrunk = F.interpolate(
        frames, size=(size, size), mode="bicubic", align_corners=False, antialias=True
    )
    return shrunk.clamp(-1, 1)


def detail_of(picture: NDArray[np.uint8], place: tuple[int, int], side: int) -> float:
    """Mean difference of neighbouring pixels in green, in codes of 255, on every fourth row."""
    y, x = place
    green = picture[y : y + side : 4, x : x + side, 1].astype(np.int16)
    return float(np.abs(np.diff(green, axis=1)).mean())


def _turn(frames: Tensor, draw: random.Random) -> Tensor:
    """One of the eight ways to lay a square down."""
    if draw.random() < 0.5:
        frames = frames.flip(-1)
    return torch.rot90(frames, draw.randrange(4), dims=(-2, -1)).contiguous()
