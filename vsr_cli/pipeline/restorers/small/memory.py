"""How a job of the shipped family fits into memory: clips and tiles."""

from collections.abc import Sequence

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import DeviceError
from vsr_cli.models.small.model import BODY_STRIDE
from vsr_cli.ops.windows import Grid
from vsr_cli.pipeline.memory import free_memory
from vsr_cli.pipeline.run_plan import RunPlan, choose_device, choose_dtype, native_scale

# Bytes at the peak for each pixel of the grid of a quarter of the target, in half precision,
# measured on the CPU after several clips, when the heap has stopped growing: once for the frame
# being decoded, for every frame of the clip, and for what the sampler keeps of each step for the
# next clip (220 by count, 236 with `paper`). Chains of few steps keep up to 240 more in all, by
# count: a prediction for each round of guidance.
BYTES_PER_PIXEL = 3240
BYTES_PER_PIXEL_AND_FRAME = 2800
BYTES_PER_PIXEL_AND_STEP = 260
# In tiles, for every frame: conditions and decoded pieces of every tile, of two clips; and once
# they are merged, RGB of the output. Measured likewise.
BYTES_PER_PIXEL_OF_TILES = 750
BYTES_PER_PIXEL_MERGED = 800
SHARE_OF_FREE_MEMORY = 0.6
SMALLEST_TILE = 64  # latent pixels; the overlap of smaller ones would cost more than they save
TILE_OVERLAP = 24  # latent pixels; beyond that the denoiser's view of a pixel hardly reaches


def plan_small(
    config: UpscaleConfig, lr_size: tuple[int, int], steps: int, scales: Sequence[int]
) -> RunPlan:
    """Choose device, dtype, and the clips and tiles that fit the free memory.

    Args:
        config: what the user asked for.
        lr_size: (height, width) of the source.
        steps: of the sampler.
        scales: what the model was built for.

    Raises:
        ConfigError: no such device name.
        DeviceError: the device is absent, or too small.
    """
    device, why_device = choose_device(config.device)
    dtype, why_dtype = choose_dtype(config.dtype, device)
    free = free_memory(device)
    width = 2 if dtype == torch.float32 else 1  # of numbers, against half precision
    half_budget = int(SHARE_OF_FREE_MEMORY * free / width)
    scale = native_scale(scales, config.scale)
    body_size = (-(-lr_size[0] * scale // BODY_STRIDE), -(-lr_size[1] * scale // BODY_STRIDE))
    length, tile, why_fit = fit_memory(config, body_size, steps, half_budget)
    reasons = tuple(why for why in (why_device, why_dtype, why_fit) if why)
    peak_bytes = width * _bytes_needed(body_size, length, tile, steps)
    return RunPlan(device, dtype, length, tile, reasons, peak_bytes, free)


def fit_memory(
    config: UpscaleConfig, body_size: tuple[int, int], steps: int, budget: int
) -> tuple[int, int | None, str]:
    """Clip length and tile size that fit, and why they are not what was asked for.

    Shorter clips change nothing in the picture and come first; tiles only where two whole frames
    do not fit and the user has not forbidden them.

    Args:
        config: `clip.length` is the most; `tile` is None (as needed), 0 (never) or output pixels.
        body_size: (height, width) of a quarter of the target.
        steps: of the sampler.
        budget: bytes, of half precision.

    Raises:
        DeviceError: not even the smallest tiles fit.
    """
    pixels = body_size[0] * body_size[1]
    asked, tile = config.clip.length, config.tile
    if tile:
        return asked, tile // 8, ""
    once = _bytes_needed(body_size, 0, None, steps)
    fits = (budget - once) // (pixels * BYTES_PER_PIXEL_AND_FRAME)
    if fits >= asked:
        return asked, None, ""
    if fits >= 2:
        return fits, None, f"clip length {fits}: what fits into the free memory"
    sides = range(max(body_size) // 2, SMALLEST_TILE - 1, -1) if tile is None else ()
    side = next((side for side in sides if _bytes_in_tiles(body_size, side, steps) <= budget), None)
    if side is None:
        width, height = BODY_STRIDE * body_size[1], BODY_STRIDE * body_size[0]
        raise DeviceError(
            f"a target of {width}x{height} does not fit into memory",
            why=f"two frames need more than the {budget / 1e9:.1f} GB that may be used",
            hint="free memory, allow tiles with `--tile auto`, or use another `--device`",
        )
    why = f"tiles of {8 * side} pixels: two whole frames do not fit into the free memory"
    return 2, side, why


def _bytes_needed(body_size: tuple[int, int], length: int, tile: int | None, steps: int) -> int:
    """What clips of so many frames take, in half precision."""
    if tile is not None:
        return _bytes_in_tiles(body_size, tile, steps)
    once = BYTES_PER_PIXEL + steps * BYTES_PER_PIXEL_AND_STEP
    return body_size[0] * body_size[1] * (once + length * BYTES_PER_PIXEL_AND_FRAME)


def _bytes_in_tiles(body_size: tuple[int, int], side: int, steps: int) -> int:
    """What two frames take in tiles of so many latent pixels, in half precision."""
    grid = Grid.plan((-(-body_size[0] // 2), -(-body_size[1] // 2)), side, TILE_OVERLAP)
    tiles = [4 * rows.size * columns.size for rows, columns in grid.tiles]  # body pixels
    computed = tiles[0] * (BYTES_PER_PIXEL + 2 * BYTES_PER_PIXEL_AND_FRAME)
    merged = 2 * body_size[0] * body_size[1] * BYTES_PER_PIXEL_MERGED
    # Where tiles overlap, each keeps its own.
    kept = sum(tiles) * (2 * BYTES_PER_PIXEL_OF_TILES + steps * BYTES_PER_PIXEL_AND_STEP)
    return kept + max(computed, merged)
