"""Where and in what precision a job runs: chosen once, with the reasons."""

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch

from vsr_cli.config import DtypeChoice, UpscaleConfig
from vsr_cli.errors import ConfigError, DeviceError
from vsr_cli.models.small.model import BODY_STRIDE
from vsr_cli.ops.windows import Grid

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
ASSUMED_MEMORY = 8 * 10**9  # bytes, where the system does not tell
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
SMALLEST_TILE = 64  # latent pixels; the overlap of smaller ones would cost more than they save
TILE_OVERLAP = 24  # latent pixels; beyond that the denoiser's view of a pixel hardly reaches


@dataclass(frozen=True)
class Runtime:
    """Device, dtype and clip length of a job, and why."""

    device: torch.device
    dtype: torch.dtype
    clip_length: int
    tile_size: int | None  # latent pixels; None: the whole frame at once
    reasons: tuple[str, ...]
    needed: int | None = None  # bytes at the peak, as planned
    free: int | None = None  # bytes of the device, when it was planned


def native_scale(scales: Sequence[int], scale: Fraction) -> int:
    """The enlargement a model computes for a target `scale` times the source: the next larger.

    Args:
        scales: what it was built for.
        scale: per side; above the largest of them, that one is computed.
    """
    return min((own for own in scales if own >= scale), default=max(scales))


def plan_runtime(
    config: UpscaleConfig, lr_size: tuple[int, int], steps: int, scales: Sequence[int]
) -> Runtime:
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
    needed = width * _bytes_needed(body_size, length, tile, steps)
    return Runtime(device, dtype, length, tile, reasons, needed, free)


def choose_device(name: str) -> tuple[torch.device, str]:
    """`auto` takes CUDA if there is one, else the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), f"device cuda: {torch.cuda.get_device_name()} found"
        return torch.device("cpu"), "device cpu: no CUDA device found"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"`--device {name}` is not a device", hint="use auto, cpu, cuda or cuda:0"
        ) from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise DeviceError(
                f"no device `{name}` here",
                why=f"{count} CUDA devices found",
                hint="use `--device auto` or `--device cpu`",
            )
    elif device.type != "cpu":
        raise ConfigError(f"`--device {name}` is not supported", hint="use auto, cpu or cuda")
    return device, ""


def choose_dtype(choice: DtypeChoice, device: torch.device) -> tuple[torch.dtype, str]:
    """`auto` takes bfloat16 where the hardware computes in it, else what is exact and fast."""
    if choice == "float16" and device.type == "cpu":
        raise ConfigError(
            "`--dtype float16` needs a CUDA device", hint="use auto, bfloat16 or float32"
        )
    if choice != "auto":
        return {
            "float32": torch.float32,
            "bfloat16": torch.bfloat16,
            "float16": torch.float16,
        }[choice], ""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16, "dtype bfloat16: the GPU computes in it"
        return torch.float16, "dtype float16: the GPU has no bfloat16"
    if torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16, "dtype bfloat16: the CPU computes in it"
    return torch.float32, "dtype float32: the CPU has no bfloat16 instructions"


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


def reuse_memory() -> None:
    """Have the C library keep freed memory for the next tensor, on Linux with glibc.

    By default it gives every large block back to the system and takes fresh, zeroed pages for the
    next one, which made up 40 % of the time of a frame on the CPU. The price is memory lost in
    holes between blocks that live long: the plan counts it in, and what lives longest, the
    sampler's trajectory, lies in a few blocks for that reason.
    """
    with suppress(OSError, AttributeError):  # another system or C library: nothing to mend
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            mallopt(parameter, 2**31 - 1)


def free_memory(device: torch.device) -> int:
    """Bytes of a device that may be taken now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = [_available_memory()]
    with suppress(OSError, ValueError):  # a container's own limit, where there is one
        most = int(Path("/sys/fs/cgroup/memory.max").read_text())
        limits.append(most - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return min(limits)


def _available_memory() -> int:
    """Free memory of the machine, file caches included, which give way."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(value.split()[0])
    return ASSUMED_MEMORY
