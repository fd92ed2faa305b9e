"""How a job of the shipped family fits into memory: clips and tiles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import DeviceError
from vsr_cli.models.small.model import BODY_STRIDE, LATENT_STRIDE
from vsr_cli.ops.precision import beside_int8
from vsr_cli.ops.windows import plan_windows
from vsr_cli.pipeline.memory import memory_budget
from vsr_cli.pipeline.restorers.small.adaptive import MOST_LATENTS
from vsr_cli.pipeline.restorers.small.regions import ALIGNMENT
from vsr_cli.pipeline.run_plan import (
    SHORTEST_CLIP,
    RunPlan,
    choose_device,
    choose_dtype,
    native_scale,
    slow_in_bfloat16,
    why_scale,
)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Bytes at the peak for each pixel of the body's grid, a quarter of the target.

    Measured on the CPU after several clips, when the heap has stopped growing.

    once: for the frame in the networks.
    frame: for every frame of the clip.
    step: for what the sampler keeps of each step for the next clip.
    memory: of what the decoder remembers.
    denoised: for each pixel of the latents that the denoiser sees at a time.
    fixed: bytes in all where networks see whole frames, whatever their size.
    fixed_in_regions: the same where they see regions.
    source: for every frame of the clip, where the source is finer than that grid.
    """

    once: int
    frame: int
    step: int
    memory: int
    denoised: int
    fixed: int
    fixed_in_regions: int
    source: int = 0


HALF = Costs(  # a step is 220 by count, `paper` 236
    **{"once": 2900, "frame": 450, "step": 240, "memory": 128, "denoised": 1300},
    **{"fixed": 70_000_000, "fixed_in_regions": 100_000_000},
)
FULL = Costs(
    **{"once": 5700, "frame": 800, "step": 480, "memory": 256, "denoised": 1300},
    **{"fixed": 200_000_000, "fixed_in_regions": 120_000_000},
)
# The same on a GPU and where networks are compiled: nothing is computed in bands of rows there, and
# the denoiser sees all frames of a clip. Measured on the CPU before it did otherwise.
HALF_UNCUT = Costs(
    **{"once": 2000, "frame": 1400, "step": 260, "memory": 128, "denoised": 0},
    **{"fixed": 0, "fixed_in_regions": 0},
)
FULL_UNCUT = Costs(
    **{"once": 6400, "frame": 1000, "step": 520, "memory": 256, "denoised": 0},
    **{"fixed": 350_000_000, "fixed_in_regions": 120_000_000},
)
# Of whole frames, where networks see regions, in any precision: once, and for each frame of a clip
# the merged one, its source and its flow, with those of the clip that is read ahead (452 for two).
MERGED_PER_PIXEL = 150
MERGED_PER_PIXEL_AND_FRAME = 150
PLANE_PER_PIXEL = 2 * 3 * BODY_STRIDE**2  # of that: the merged frame, in half precision
SHARE_FOR_STATES = 0.3  # of that; beyond, states of regions lie on disk
SMALLEST_TILE = 32  # latent pixels
LARGEST_TILE = 512  # beyond that larger ones save no time
SHORT_CLIP_COST = 0.2  # of the time: what networks take longer that see one frame at a time
OUT_OF_CORE_COST = 0.1  # of the time: frames to disk and back, and nothing is read ahead
TILE_OVERLAP = 24  # latent pixels; beyond that the denoiser's view of a pixel hardly reaches


def plan_small(
    config: UpscaleConfig,
    lr_size: tuple[int, int],
    steps: int,
    scales: Sequence[int],
    *,
    has_ranges: bool = False,
    reserved: int = 0,
) -> RunPlan:
    """Choose device, dtype, and the clips and tiles that fit the free memory.

    Args:
        config: what the user asked for.
        lr_size: (height, width) of the source.
        steps: of the sampler.
        scales: what the model was built for.
        has_ranges: whether the weights say within which ranges inputs are rounded to 8 bits.
        reserved: bytes of the machine's memory that are for others.

    Raises:
        ConfigError: no such device name, or a dtype that it cannot compute in.
        DeviceError: the device is absent, or too small.
    """
    device, why_device = choose_device(config.device)
    why_no_int8 = "" if has_ranges else "the weights say no ranges for it"
    if config.compile:
        why_no_int8 = "networks cannot be compiled with it"
    dtype, why_dtype = choose_dtype(config.dtype, device, why_no_int8=why_no_int8)
    budget, free = memory_budget(device, reserved)
    scale = native_scale(scales, config)
    body_size = (-(-lr_size[0] * scale // BODY_STRIDE), -(-lr_size[1] * scale // BODY_STRIDE))
    # The clip's and that of the clip which is read ahead, in float32.
    source_bytes = 2 * 12 * ((BODY_STRIDE // scale) ** 2 - 1)
    is_cut = device.type == "cpu" and not config.compile
    kinds = (HALF, FULL) if is_cut else (HALF_UNCUT, FULL_UNCUT)
    half, full = (replace(costs, source=source_bytes) for costs in kinds)
    floats = beside_int8() if dtype == torch.int8 else dtype
    costs, slow = full if floats == torch.float32 else half, ""
    try:
        fit = fit_memory(config, body_size, steps, budget, costs)
    except DeviceError:
        if costs is half or config.dtype != "auto":
            raise
        costs, dtype = half, torch.bfloat16
        fit = fit_memory(config, body_size, steps, budget, costs)
        why_dtype = "dtype bfloat16: float32 does not fit into the free memory"
        slow = slow_in_bfloat16(device)
    told = (why_scale(scales, config), why_device, why_dtype, slow, fit.why)
    reasons = tuple(why for why in told if why)
    state_bytes = _state_bytes(body_size, steps, costs)
    scratch_bytes = 2 * state_bytes if fit.is_state_on_disk else 0
    if fit.is_out_of_core:
        scratch_bytes += fit.length * PLANE_PER_PIXEL * body_size[0] * body_size[1]
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
        is_out_of_core=fit.is_out_of_core,
        scratch_bytes=scratch_bytes,
        smallest_tile=SMALLEST_TILE if config.tile is None else None,
    )


@dataclass(frozen=True)
class Fit:
    """What fits into memory.

    length: frames in a clip.
    side: of a region in latent pixels; None: whole frames.
    num_bytes: of memory at the peak.
    why: this is not what was asked for; empty where it is.
    is_state_on_disk: whether what regions hand on to the next clip lies there.
    is_out_of_core: whether merged frames do, too, and no clip is read ahead.
    """

    length: int
    side: int | None
    num_bytes: int
    why: str
    is_state_on_disk: bool = False
    is_out_of_core: bool = False


def fit_memory(
    config: UpscaleConfig,
    body_size: tuple[int, int],
    steps: int,
    budget: int,
    costs: Costs = HALF,
) -> Fit:
    """Choose clip length and tile size.

    Shorter clips change nothing in the picture and come first; tiles only where two whole frames
    do not fit and the user has not forbidden them. Of the tiles that fit those are taken that are
    computed soonest: they share little with their neighbours.

    Args:
        config: `clip.length` is the most; `tile` is None (as needed), 0 (never) or output pixels.
        body_size: (height, width) of a quarter of the target.
        steps: of the sampler.
        budget: bytes.
        costs: of the number format.

    Raises:
        DeviceError: not even the smallest tiles fit.
    """
    asked, tile = config.clip.length, config.tile
    if not tile:
        for length in range(asked, SHORTEST_CLIP - 1, -1):
            num_bytes = whole_bytes(body_size, length, steps, costs)
            if num_bytes <= budget:
                why = f"clip length {length}: what fits into the free memory"
                return Fit(length, None, num_bytes, "" if length == asked else why)
        if tile is not None:
            raise _too_large(body_size, budget, "as a whole", "tiles with `--tile auto`")
    is_on_disk = 2 * _state_bytes(body_size, steps, costs) > SHARE_FOR_STATES * budget
    largest = tile // LATENT_STRIDE if tile else min(LARGEST_TILE, max(body_size) // 2)
    smallest = largest if tile else SMALLEST_TILE
    fits = []
    for on_disk, out_of_core in ((is_on_disk, False), (True, True)):
        where = {"on_disk": on_disk, "out_of_core": out_of_core}
        for side in range(largest, smallest - 1, -ALIGNMENT):
            for length in range(asked, SHORTEST_CLIP - 1, -1):
                num_bytes = region_bytes(body_size, length, side, steps, costs, **where)
                if num_bytes <= budget:
                    why = _why_tiles(config, length, side, out_of_core)
                    fits.append(Fit(length, side, num_bytes, why, on_disk, out_of_core))
                    break
    if fits:
        return min(fits, key=partial(_relative_time, body_size))
    how, other = "in the smallest tiles", "a smaller `--scale`"
    if tile:
        how, other = f"in tiles of {tile} pixels", "smaller ones"
    raise _too_large(body_size, budget, how, other)


def _relative_time(body_size: tuple[int, int], fit: Fit) -> float:
    """Of a fit in tiles, against whole frames in long clips: what tiles share is computed twice."""
    assert fit.side is not None
    share, unit = 1.0, ALIGNMENT * LATENT_STRIDE // BODY_STRIDE
    for length in body_size:
        windows = plan_windows(
            -(-length // unit), fit.side // ALIGNMENT, region_overlap(fit.side) // ALIGNMENT
        )
        share *= sum(window.size for window in windows) / windows[-1].stop
    share *= 1 + OUT_OF_CORE_COST * fit.is_out_of_core
    return share * (1 + SHORT_CLIP_COST / (fit.length - 1))


def whole_bytes(body_size: tuple[int, int], length: int, steps: int, costs: Costs = HALF) -> int:
    """What clips of so many whole frames take."""
    return _networks_bytes(body_size, length, steps, costs) + costs.fixed


def region_bytes(
    body_size: tuple[int, int],
    length: int,
    side: int,
    steps: int,
    costs: Costs = HALF,
    *,
    on_disk: bool,
    out_of_core: bool = False,
) -> int:
    """What clips of so many frames take, in regions of so many latent pixels."""
    reach = LATENT_STRIDE // BODY_STRIDE * side
    region = (min(reach, body_size[0]), min(reach, body_size[1]))
    known = MERGED_PER_PIXEL_AND_FRAME - PLANE_PER_PIXEL + costs.source  # of this clip and the next
    if out_of_core:
        merged = MERGED_PER_PIXEL + PLANE_PER_PIXEL + length * known // 2
    else:
        merged = MERGED_PER_PIXEL + length * (PLANE_PER_PIXEL + known)
    states = 0 if on_disk else 2 * _state_bytes(body_size, steps, costs)
    in_region = _networks_bytes(region, length, steps, costs) + costs.fixed_in_regions
    return states + in_region + body_size[0] * body_size[1] * merged


def region_overlap(side: int) -> int:
    """Latent pixels that neighbouring regions share: less where they themselves are small."""
    return min(TILE_OVERLAP, side * 3 // 8)


def _why_tiles(config: UpscaleConfig, length: int, side: int, out_of_core: bool) -> str:
    merged = f"merged{' on disk' if out_of_core else ''} with 11 bits a sample"
    if config.tile is None:
        size = LATENT_STRIDE * side
        return f"tiles of {size} pixels, {merged}: two whole frames do not fit into the free memory"
    if length < config.clip.length:
        return f"tiles are {merged}; clip length {length}: what fits into the free memory"
    return f"tiles are {merged}"


def _networks_bytes(size: tuple[int, int], length: int, steps: int, costs: Costs) -> int:
    """What networks take that see clips of so many frames, or regions, of that size."""
    num_pixels = size[0] * size[1]
    frames = num_pixels * (costs.once + length * (costs.frame + costs.source))
    latents = num_pixels // (LATENT_STRIDE // BODY_STRIDE) ** 2
    denoised = min(length * latents, max(MOST_LATENTS, latents))
    return frames + denoised * costs.denoised + _state_bytes(size, steps, costs)


def _state_bytes(body_size: tuple[int, int], steps: int, costs: Costs) -> int:
    return body_size[0] * body_size[1] * (steps * costs.step + costs.memory)


def _too_large(body_size: tuple[int, int], budget: int, how: str, other: str) -> DeviceError:
    width, height = BODY_STRIDE * body_size[1], BODY_STRIDE * body_size[0]
    return DeviceError(
        f"a target of {width}x{height} does not fit into memory",
        why=f"two frames {how} need more than the {budget / 1e9:.1f} GB that may be used",
        hint=f"free memory, take {other}, or use another `--device`",
    )
