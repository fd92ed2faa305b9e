"""Where and how the published family runs: device, dtype, and what fits into memory.

Peaks of the published model in float16, counted on its networks, with and without those that wait
in the memory of the CPU; what CUDA itself and its libraries take comes on top, about 1 GB:

| target | sampling, one tile at a time | decoding | with networks waiting |
|---|---|---|---|
| 1280x720 | 2.8 GB | 7.3 GB | 5.4 GB |
| 1920x1080 | 3.1 GB | 13.8 GB | 11.8 GB |
| 3840x2160 | 4.6 GB | 48.5 GB | 46.5 GB, or 5.4 GB in tiles of 768 pixels |
"""

from dataclasses import dataclass, replace
from math import ceil

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError, DeviceError
from vsr_cli.models.files import Header
from vsr_cli.models.flow import FLOW_PREFIX
from vsr_cli.models.mgld.config import LATENT_STRIDE, MgldConfig
from vsr_cli.ops.windows import Grid
from vsr_cli.pipeline.memory import memory_budget
from vsr_cli.pipeline.run_plan import RunPlan, choose_device, choose_dtype

DECODER_OVERLAP = 24  # latent pixels shared by tiles of the decoder
SMALLEST_TILE = 64  # latent pixels
MOST_TILES = 16  # in one call of the denoiser; beyond, a GPU is busy anyway

# Values alive at the peaks of the networks, as multiples of their base widths; counted.
_DENOISER_WIDTHS = 27.2  # for each latent pixel of each frame
_DECODER_WIDTHS = 17.1  # for each pixel of a clip of five frames
_COPIES = 4  # of a clip's frames: LR ones, decoded pieces, merged, matched in colour


@dataclass(frozen=True)
class MgldRunPlan(RunPlan):
    """How an imported model runs.

    tile_size: of the decoder; the denoiser's tiles are what it was trained on.
    tile_batch: how many of its tiles the denoiser sees in one call.
    offload: whether networks wait in the memory of the CPU for their turn.
    """

    tile_batch: int = 1
    offload: bool = False


@dataclass(frozen=True)
class Needs:
    """Bytes that a model takes at its peaks, beside what CUDA and its libraries take."""

    weights: int
    denoiser: int  # of the weights
    denoise_tile: int  # for each tile in a call of the denoiser
    decode_pixel: int  # for each pixel of the frame or tile that is decoded
    keep_pixel: int  # for each pixel of the frame, decoded in tiles or not

    @classmethod
    def of(cls, config: MgldConfig, *, num_values: int, in_denoiser: int, item: int) -> "Needs":
        """What a model of these widths needs.

        Args:
            config: of the model.
            num_values: of all its weights.
            in_denoiser: how many of them are the denoiser's.
            item: bytes of a number.
        """
        tile = config.tile_size**2 * config.clip_length * config.denoiser_channels[0]
        width, half, quarter, _ = config.autoencoder_channels
        features = config.clip_length * (
            half / 4 + quarter / 16
        )  # of the LR frames, kept meanwhile
        return cls(
            weights=num_values * item,
            denoiser=in_denoiser * item,
            denoise_tile=int(tile * _DENOISER_WIDTHS * item),
            decode_pixel=int((width * _DECODER_WIDTHS + features) * item),
            keep_pixel=config.clip_length * 3 * torch.float32.itemsize * _COPIES,
        )


def describe_needs(header: Header, config: MgldConfig) -> list[str]:
    """What imported weights need in half precision, for people: a line for each size."""
    needs = _needs(header, config, torch.float16)
    lines = []
    for height, width in ((720, 1280), (1080, 1920), (2160, 3840)):
        most = needs.weights + height * width * (needs.decode_pixel + needs.keep_pixel)
        least = most - needs.denoiser
        lines.append(
            f"{width}x{height}: {most / 1e9:.1f} GB, {least / 1e9:.1f} GB with networks waiting"
        )
    return lines


def _needs(header: Header, config: MgldConfig, dtype: torch.dtype) -> Needs:
    sizes = header.num_values
    return Needs.of(
        config,
        num_values=sum(n for name, n in sizes.items() if not name.startswith(FLOW_PREFIX)),
        in_denoiser=sum(n for name, n in sizes.items() if name.startswith("denoiser.")),
        item=dtype.itemsize,
    )


def work_size(config: UpscaleConfig, lr_size: tuple[int, int], least: int) -> tuple[int, int]:
    """(height, width) the networks work on: the target's, or larger where that is too small.

    They were trained on squares of `least` pixels and have never seen less.
    """
    height, width = config.target_size(*lr_size)
    factor = max(1.0, least / min(height, width))
    return round(height * factor), round(width * factor)


def plan_mgld(
    header: Header,
    mgld: MgldConfig,
    config: UpscaleConfig,
    lr_size: tuple[int, int],
    *,
    reserved: int = 0,
) -> MgldRunPlan:
    """Choose device, dtype, and what is worked on at once.

    Args:
        header: of the weights.
        mgld: the config in it.
        config: what the user asked for.
        lr_size: (height, width) of the source.
        reserved: bytes of the machine's memory that are for others.

    Raises:
        ConfigError: options contradict each other.
        DeviceError: the device is absent, or too small.
    """
    parity = config.mgld_mode == "parity"
    if parity and config.tile is not None:
        raise ConfigError(
            "`--mgld-mode parity` and `--tile` contradict each other",
            why=f"the published program has tiles of {mgld.pixel_tile} pixels",
            hint="leave one of them out",
        )
    device, why_device = choose_device(config.device)
    dtype, why_dtype = choose_dtype(config.dtype, device)
    if config.dtype == "auto" and device.type == "cuda":
        dtype, why_dtype = torch.float16, "dtype float16: what the weights were published for"
    least = mgld.least_side
    height, width = work_size(config, lr_size, least)
    if parity:
        height, width = (min(side + 32, mgld.pixel_tile) for side in (height, width))
    size = ceil(height / LATENT_STRIDE), ceil(width / LATENT_STRIDE)
    length = mgld.clip_length if parity else mgld.clip_length - 1
    frames = counted(mgld.clip_length, "frame")
    why_length = f"clip length {length}: the networks see {frames} at a time"
    run_plan = MgldRunPlan(
        device,
        dtype,
        length,
        config.tile // LATENT_STRIDE if config.tile else None,
        (why_device, why_dtype, why_length),
    )
    budget, free = memory_budget(device, reserved)
    may_tile = config.tile is None and not parity
    needs = _needs(header, mgld, dtype)
    fitted = fit_memory(run_plan, needs, size, budget, mgld, may_tile=may_tile)
    return replace(fitted, reasons=tuple(why for why in fitted.reasons if why), free_bytes=free)


def fit_memory(
    run_plan: MgldRunPlan,
    needs: Needs,
    size: tuple[int, int],
    budget: int,
    config: MgldConfig,
    *,
    may_tile: bool,
) -> MgldRunPlan:
    """Offload networks, and then decode in tiles, only where memory demands it.

    Args:
        run_plan: as asked for.
        needs: of the model.
        size: (height, width) of the latents.
        budget: bytes.
        config: of the model.
        may_tile: whether frames may be decoded in tiles.

    Raises:
        DeviceError: the least does not fit.
    """
    asked = run_plan.tile_size
    room = budget - size[0] * size[1] * LATENT_STRIDE**2 * needs.keep_pixel
    stride = config.tile_size - config.tile_overlap
    num_tiles = len(Grid.step(size, config.tile_size, stride).tiles)
    smaller = range(max(size) - 1, SMALLEST_TILE - 1, -1) if may_tile else ()
    can_offload = run_plan.device.type == "cuda"
    for offload, sides in (
        (False, (asked,) if can_offload else (asked, *smaller)),
        (True, (asked, *smaller) if can_offload else ()),
    ):
        sampling = room - (needs.denoiser if offload else needs.weights)
        decoding = room - (needs.weights - needs.denoiser if offload else needs.weights)
        batch = min(MOST_TILES, num_tiles, sampling // needs.denoise_tile)
        for side in sides:
            area = min(side or size[0], size[0]) * min(side or size[1], size[1])
            decoded = area * LATENT_STRIDE**2 * needs.decode_pixel
            if batch < 1 or decoded > decoding:
                continue
            left = min(sampling - batch * needs.denoise_tile, decoding - decoded)
            reasons = list(run_plan.reasons)
            if offload:
                reasons.append("networks wait in the CPU's memory: the GPU has too little for all")
            if side != asked:
                reasons.append(
                    f"decoded in tiles of {LATENT_STRIDE * (side or 0)} pixels: what fits"
                )
            return replace(
                run_plan,
                tile_size=side,
                tile_batch=batch,
                offload=offload,
                reasons=tuple(reasons),
                peak_bytes=budget - left,
            )
    raise DeviceError(
        f"this model does not fit into the memory of `{run_plan.device}`",
        why=f"{budget / 1e9:.1f} GB may be used, and its networks alone are "
        f"{needs.weights / 1e9:.1f} GB",
        hint="free memory, take a smaller `--scale`, or use another `--device`",
    )
