"""How a job of the shipped family fits into memory: clips and tiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import DeviceError
from vsr_cli.models.small.model import BODY_STRIDE, LATENT_STRIDE
from vsr_cli.pipeline.memory import free_memory
from vsr_cli.pipeline.restorers.small.regions import ALIGNMENT
from vsr_cli.pipeline.run_plan import (
    SHORTEST_CLIP,
    RunPlan,
    choose_device,
    choose_dtype,
    native_scale,
)

# Bytes at the peak for each pixel of the body's grid, a quarter of the target, in half precision,
# measured on the CPU after several clips, when the heap has stopped growing: once for the frame in
# the networks, for every frame of the clip, and for what the sampler keeps of each step for the
# next clip (220 by count, 236 with `paper`).
BYTES_PER_PIXEL = 2000
BYTES_PER_PIXEL_AND_FRAME = 1400
BYTES_PER_PIXEL_AND_STEP = 260
MEMORY_BYTES_PER_PIXEL = 128  # of what the decoder remembers
# Of whole frames, where networks see regions, in any precision: once, and for each frame of a clip
# the merged one, its source and its flow, with those of the clip that is read ahead (452 for two).
MERGED_PER_PIXEL = 150
MERGED_PER_PIXEL_AND_FRAME = 150
SHARE_OF_FREE_MEMORY = 0.85
SHARE_FOR_STATES = 0.3  # of that; beyond, states of regions lie on disk
SMALLEST_TILE = 32  # latent pixels
LARGEST_TILE = 512  # beyond that larger ones save no time
TILE_OVERLAP = 24  # latent pixels; beyond that the denoiser's view of a pixel hardly reaches


def plan_small(
    config: UpscaleConfig,
    lr_size: tuple[int, int],
    steps: int,
    scales: Sequence[int],
    *,
    reserved: int = 0,
) -> RunPlan:
    """Choose device, dtype, and the clips and tiles that fit the free memory.

    Args:
        config: what the user asked for.
        lr_size: (height, width) of the source.
        steps: of the sampler.
        scales: what the model was built for.
        reserved: bytes of the machine's memory that are for others.

    Raises:
        ConfigError: no such device name.
        DeviceError: the device is absent, or too small.
    """
    device, why_device = choose_device(config.device)
    dtype, why_dtype = choose_dtype(config.dtype, device)
    free = free_memory(device)
    width = 2 if dtype == torch.float32 else 1  # of numbers, against half precision
    left = free - reserved if device.type == "cpu" else free
    scale = native_scale(scales, config.scale)
    body_size = (-(-lr_size[0] * scale // BODY_STRIDE), -(-lr_size[1] * scale // BODY_STRIDE))
    fit = fit_memory(config, body_size, steps, int(SHARE_OF_FREE_MEMORY * left), width=width)
    reasons = tuple(why for why in (why_device, why_dtype, fit.why) if why)
    state_bytes = width * _state_bytes(body_size, steps)
    return RunPlan(
        device,
        dtype,
        fit.length,
        fit.side,
        reasons,
        peak_bytes=fit.num_bytes,
        free_bytes=free,
        state_bytes=state_bytes,
        is_state_on_disk=fit.is_state_on_disk,
        scratch_bytes=2 * state_bytes if fit.is_state_on_disk else 0,
        smallest_tile=SMALLEST_TILE if config.tile is None else None,
    )


@dataclass(frozen=True)
class Fit:
    """What fits into memory.

    length: frames in a clip.
    side: of a region in latent pixels; None: whole frames.
    is_state_on_disk: whether what regions hand on to the next clip lies there.
    num_bytes: of memory at the peak.
    why: this is not what was asked for; empty where it is.
    """

    length: int
    side: int | None
    is_state_on_disk: bool
    num_bytes: int
    why: str


def fit_memory(
    config: UpscaleConfig, body_size: tuple[int, int], steps: int, budget: int, *, width: int = 1
) -> Fit:
    """Choose clip length and tile size.

    Shorter clips change nothing in the picture and come first; tiles only where two whole frames
    do not fit and the user has not forbidden them.

    Args:
        config: `clip.length` is the most; `tile` is None (as needed), 0 (never) or output pixels.
        body_size: (height, width) of a quarter of the target.
        steps: of the sampler.
        budget: bytes.
        width: of numbers, against half precision.

    Raises:
        DeviceError: not even the smallest tiles fit.
    """
    asked, tile = config.clip.length, config.tile
    if not tile:
        for length in range(asked, SHORTEST_CLIP - 1, -1):
            num_bytes = width * whole_bytes(body_size, length, steps)
            if num_bytes <= budget:
                why = f"clip length {length}: what fits into the free memory"
                return Fit(length, None, False, num_bytes, "" if length == asked else why)
        if tile is not None:
            raise _too_large(body_size, budget, "as a whole", "tiles with `--tile auto`")
    is_on_disk = 2 * width * _state_bytes(body_size, steps) > SHARE_FOR_STATES * budget
    largest = tile // LATENT_STRIDE if tile else min(LARGEST_TILE, max(body_size) // 2)
    smallest = largest if tile else SMALLEST_TILE
    longest = asked if tile else SHORTEST_CLIP
    for side in range(largest, smallest - 1, -ALIGNMENT):
        for length in range(longest, SHORTEST_CLIP - 1, -1):
            num_bytes = region_bytes(
                body_size, length, side, steps, on_disk=is_on_disk, width=width
            )
            if num_bytes <= budget:
                return Fit(length, side, is_on_disk, num_bytes, _why_tiles(config, length, side))
    how, other = "in the smallest tiles", "a smaller `--scale`"
    if tile:
        how, other = f"in tiles of {tile} pixels", "smaller ones"
    raise _too_large(body_size, budget, how, other)


def whole_bytes(body_size: tuple[int, int], length: int, steps: int) -> int:
    """What clips of so many whole frames take, in half precision."""
    pixels = body_size[0] * body_size[1]
    return _state_bytes(body_size, steps) + pixels * (
        BYTES_PER_PIXEL + length * BYTES_PER_PIXEL_AND_FRAME
    )


def region_bytes(
    body_size: tuple[int, int],
    length: int,
    side: int,
    steps: int,
    *,
    on_disk: bool,
    width: int = 1,
) -> int:
    """What clips of so many frames take, in regions of so many latent pixels."""
    reach = LATENT_STRIDE // BODY_STRIDE * side
    region = (min(reach, body_size[0]), min(reach, body_size[1]))
    merged = MERGED_PER_PIXEL + length * MERGED_PER_PIXEL_AND_FRAME
    states = 0 if on_disk else 2 * _state_bytes(body_size, steps)
    in_region = whole_bytes(region, length, steps)
    return width * (states + in_region) + body_size[0] * body_size[1] * merged


def region_overlap(side: int) -> int:
    """Latent pixels that neighbouring regions share: less where they themselves are small."""
    return min(TILE_OVERLAP, side * 3 // 8)


def _why_tiles(config: UpscaleConfig, length: int, side: int) -> str:
    merged = "merged with 11 bits a sample"
    if config.tile is None:
        size = LATENT_STRIDE * side
        return f"tiles of {size} pixels, {merged}: two whole frames do not fit into the free memory"
    if length < config.clip.length:
        return f"tiles are {merged}; clip length {length}: what fits into the free memory"
    return f"tiles are {merged}"


def _state_bytes(body_size: tuple[int, int], steps: int) -> int:
    pixels = body_size[0] * body_size[1]
    return pixels * (steps * BYTES_PER_PIXEL_AND_STEP + MEMORY_BYTES_PER_PIXEL)


def _too_large(body_size: tuple[int, int], budget: int, how: str, other: str) -> DeviceError:
    width, height = BODY_STRIDE * body_size[1], BODY_STRIDE * body_size[0]
    return DeviceError(
        f"a target of {width}x{height} does not fit into memory",
        why=f"two frames {how} need more than the {budget / 1e9:.1f} GB that may be used",
        hint=f"free memory, take {other}, or use another `--device`",
    )
