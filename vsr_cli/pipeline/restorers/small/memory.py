"""How a job of the shipped family fits into memory: clips and tiles."""

from collections.abc import Sequence

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import DeviceError
from vsr_cli.models.small.model import BODY_STRIDE, LATENT_STRIDE
from vsr_cli.pipeline.memory import free_memory
from vsr_cli.pipeline.run_plan import RunPlan, choose_device, choose_dtype, native_scale

# Bytes at the peak for each pixel of the body's grid, a quarter of the target, in half precision,
# measured on the CPU after several clips, when the heap has stopped growing: once for the frame in
# the networks, for every frame of the clip, and for what the sampler keeps of each step for the
# next clip (220 by count, 236 with `paper`).
BYTES_PER_PIXEL = 2000
BYTES_PER_PIXEL_AND_FRAME = 1400
BYTES_PER_PIXEL_AND_STEP = 260
# The same in tiles for what lies as whole frames all the same: the enlarged frame with its pieces,
# and the condition of every frame of two clips. The rest falls with the tile.
KEPT_PER_PIXEL = 900
KEPT_PER_PIXEL_AND_FRAME = 350
SHARE_OF_FREE_MEMORY = 0.6
SMALLEST_TILE = 32  # latent pixels
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
    state_bytes = width * body_size[0] * body_size[1] * (steps * BYTES_PER_PIXEL_AND_STEP + 128)
    return RunPlan(device, dtype, length, tile, reasons, peak_bytes, free, state_bytes)


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
        lengths = range(asked, 1, -1)
        side = tile // LATENT_STRIDE
        for length in lengths:
            if _bytes_needed(body_size, length, side, steps) <= budget:
                why = f"clip length {length}: what fits into the free memory"
                return length, side, "" if length == asked else why
        raise _too_large(body_size, budget, f"in tiles of {tile} pixels", "smaller ones")
    once = _bytes_needed(body_size, 0, None, steps)
    fits = (budget - once) // (pixels * BYTES_PER_PIXEL_AND_FRAME)
    if fits >= asked:
        return asked, None, ""
    if fits >= 2:
        return fits, None, f"clip length {fits}: what fits into the free memory"
    if tile is not None:
        raise _too_large(body_size, budget, "as a whole", "tiles with `--tile auto`")
    for side in range(max(body_size) // 2, SMALLEST_TILE - 1, -1):
        if _bytes_needed(body_size, 2, side, steps) <= budget:
            size = LATENT_STRIDE * side
            why = f"tiles of {size} pixels: two whole frames do not fit into the free memory"
            return 2, side, why
    raise _too_large(body_size, budget, "in the smallest tiles", "a smaller `--scale`")


def tile_overlap(side: int) -> int:
    """Latent pixels that neighbouring tiles share: less where tiles themselves are small."""
    return min(TILE_OVERLAP, side * 3 // 8)


def _too_large(body_size: tuple[int, int], budget: int, how: str, other: str) -> DeviceError:
    width, height = BODY_STRIDE * body_size[1], BODY_STRIDE * body_size[0]
    return DeviceError(
        f"a target of {width}x{height} does not fit into memory",
        why=f"two frames {how} need more than the {budget / 1e9:.1f} GB that may be used",
        hint=f"free memory, take {other}, or use another `--device`",
    )


def _bytes_needed(body_size: tuple[int, int], length: int, side: int | None, steps: int) -> int:
    """What clips of so many frames take, whole or in tiles of so many latent pixels.

    In half precision; in tiles it never exceeds what whole frames take.
    """
    pixels = body_size[0] * body_size[1]
    kept = pixels * steps * BYTES_PER_PIXEL_AND_STEP
    whole = pixels * (BYTES_PER_PIXEL + length * BYTES_PER_PIXEL_AND_FRAME)
    if side is None:
        return kept + whole
    reach = LATENT_STRIDE // BODY_STRIDE * side
    computed = min(reach, body_size[0]) * min(reach, body_size[1])
    in_tile = computed * (BYTES_PER_PIXEL + length * BYTES_PER_PIXEL_AND_FRAME)
    merged = pixels * (KEPT_PER_PIXEL + length * KEPT_PER_PIXEL_AND_FRAME)
    return kept + min(whole, in_tile + merged)
