"""Where and how SeedVR2 runs: device, dtype, and what fits into memory.

Peaks of the published model in float16 with clips of 45 frames, counted on its networks; what CUDA
and its libraries take comes on top, about 1 GB. The autoencoder's decoder takes the most.

| target | as a whole | with the transformer waiting | waiting, in tiles of 512 pixels |
|---|---|---|---|
| 1280x720 | 22.2 GB | 15.9 GB | 4.5 GB |
| 1920x1080 | 40.9 GB | 34.6 GB | 4.9 GB |
| 2560x1440 | 67.1 GB | 60.7 GB | 5.5 GB |
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

import torch

from vsr_cli.config import ClipConfig, UpscaleConfig
from vsr_cli.errors import DeviceError
from vsr_cli.models.files import Header
from vsr_cli.models.seedvr2.config import (
    FRAME_STRIDE,
    LATENT_STRIDE,
    SIZE_MULTIPLE,
    SeedVr2Config,
)
from vsr_cli.models.seedvr2.denoiser import MOST_TOKENS
from vsr_cli.pipeline.memory import memory_budget
from vsr_cli.pipeline.run_plan import RunPlan, choose_device, choose_dtype

CLIP_LENGTH = 45  # frames, where the user names no other number
SHORTEST_CLIP = 9  # frames: the least that has frames which the clip before has not
LARGEST_TILE, SMALLEST_TILE, TILE_STEP = 128, 32, 16  # latent pixels
TILE_OVERLAP = 16  # latent pixels that tiles of the autoencoder share

# Values alive at the peaks of the networks, as multiples of their base widths; counted.
_ENCODER_WIDTHS = 30  # for each pixel of a frame
_DECODER_WIDTHS = 48
_REMEMBERED_WIDTHS = 33  # of the decoder's, what it keeps from clip to clip
_STREAM_BYTES = 6  # for each token and channel, of the video as it goes through the layers
_LAYER_WIDTHS = 11  # for each token that a layer works on at once
_FRAMES = 8  # of the target's size and in float32 that are held meanwhile


@dataclass(frozen=True)
class SeedVr2RunPlan(RunPlan):
    """How SeedVR2 runs.

    tile_size: of the autoencoder; the transformer always sees the whole clip.
    offload: whether its blocks wait in the memory of the CPU for their turn.
    """

    offload: bool = False

    @property
    def clip_overlap(self) -> int:
        """Frames that a clip shares with the next one: of one latent frame or two, and one more."""
        return overlap_of(self.clip_length)

    def smaller(self, size: tuple[int, int]) -> "SeedVr2RunPlan | None":
        """See `RunPlan.smaller`: smaller tiles, with blocks that wait, and then shorter clips."""
        side = min(self.tile_size or LARGEST_TILE * 2, ceil(max(size) / LATENT_STRIDE)) // 2
        if side >= SMALLEST_TILE:
            return replace(self, tile_size=side, offload=True)
        length = usual_length(self.clip_length // 2)
        return replace(self, clip_length=length) if length < self.clip_length else None


def overlap_of(clip_length: int) -> int:
    """How many frames clips of this length share."""
    return 1 + FRAME_STRIDE * (2 if clip_length >= 29 else 1)


def usual_length(num_frames: int) -> int:
    """The next larger length that a clip may have: 4n+1 frames, and no less than the shortest."""
    return max(SHORTEST_CLIP, FRAME_STRIDE * ceil((num_frames - 1) / FRAME_STRIDE) + 1)


@dataclass(frozen=True)
class Needs:
    """Bytes that a model takes at its peaks, beside what CUDA and its libraries take."""

    weights: int
    blocks: int  # of the weights, those of the transformer's blocks
    block: int  # of the largest of these
    token: int  # for each token of a clip
    layer: int  # for the tokens that are worked on at once
    encode_pixel: int  # for each pixel of the frame or tile
    decode_pixel: int
    remember_pixel: int  # of these, what is kept from clip to clip where frames are whole

    @classmethod
    def of(cls, header: Header, config: SeedVr2Config, item: int) -> "Needs":
        """What a file's model needs in numbers of `item` bytes."""
        by_block: dict[str, int] = {}
        for name, count in header.num_values.items():
            if name.startswith("denoiser.blocks."):
                block = name.split(".")[2]
                by_block[block] = by_block.get(block, 0) + count * item
        pixel = config.autoencoder_channels[0] * item
        return cls(
            weights=sum(header.num_values.values()) * item,
            blocks=sum(by_block.values()),
            block=max(by_block.values(), default=0),
            token=_STREAM_BYTES * config.width,
            layer=MOST_TOKENS * config.width * _LAYER_WIDTHS * item,
            encode_pixel=_ENCODER_WIDTHS * pixel,
            decode_pixel=_DECODER_WIDTHS * pixel,
            remember_pixel=_REMEMBERED_WIDTHS * pixel,
        )

    def peak(
        self,
        size: tuple[int, int],
        length: int,
        tile_size: int | None,
        *,
        offload: bool,
        lr_pixels: int = 0,
    ) -> int:
        """Bytes for a target of (height, width).

        Args:
            size: of the target.
            length: frames in a clip.
            tile_size: of the autoencoder, in latent pixels; None: whole frames.
            offload: whether blocks wait.
            lr_pixels: of a frame of the source, where clips lie in the same memory.
        """
        height, width = size
        weights = self.weights - (self.blocks - self.block if offload else 0)
        num_latents = (length - 1) // FRAME_STRIDE + 1
        tokens = num_latents * ceil(height / SIZE_MULTIPLE) * ceil(width / SIZE_MULTIPLE)
        side = LATENT_STRIDE * tile_size if tile_size else max(size)
        area = min(side, height) * min(side, width)
        sampling = tokens * self.token + self.layer
        work = max(sampling, area * self.encode_pixel)
        if tile_size is None:
            work += area * self.remember_pixel
        work = max(work, area * self.decode_pixel)
        frames = 3 * height * width * torch.float32.itemsize
        clips = 2 * length * 3 * lr_pixels * torch.float32.itemsize
        merged = length * frames // 2 if tile_size else 0
        return weights + work + _FRAMES * frames + clips + merged


def describe_needs(header: Header, config: SeedVr2Config) -> list[str]:
    """What imported weights need in half precision, for people: a line for each size."""
    needs = Needs.of(header, config, torch.float16.itemsize)
    lines = []
    for size in ((720, 1280), (1080, 1920), (1440, 2560)):
        most, waiting, least = (
            needs.peak(size, CLIP_LENGTH, tile, offload=offload) / 1e9
            for tile, offload in ((None, False), (None, True), (64, True))
        )
        lines.append(
            f"{size[1]}x{size[0]}: {most:.1f} GB, {waiting:.1f} GB with the transformer waiting, "
            f"{least:.1f} GB in tiles of 512 pixels, too"
        )
    return lines


def plan_seedvr2(
    header: Header,
    seedvr2: SeedVr2Config,
    config: UpscaleConfig,
    lr_size: tuple[int, int],
    *,
    reserved: int = 0,
) -> SeedVr2RunPlan:
    """Choose device, dtype, and what is worked on at once.

    Args:
        header: of the weights.
        seedvr2: the config in it.
        config: what the user asked for.
        lr_size: (height, width) of the source.
        reserved: bytes of the machine's memory that are for others.

    Raises:
        ConfigError: options contradict each other.
        DeviceError: the device is absent, or too small.
    """
    device, why_device = choose_device(config.device)
    dtype, why_dtype = choose_dtype(config.dtype, device)
    if config.dtype == "auto" and device.type == "cuda":
        dtype, why_dtype = torch.float16, "dtype float16: what the weights were published in"
    asked = config.clip.length
    length = CLIP_LENGTH if asked == ClipConfig.length else usual_length(asked)
    reasons = tuple(why for why in (why_device, why_dtype) if why)
    run_plan = SeedVr2RunPlan(
        device, dtype, length, config.tile // LATENT_STRIDE if config.tile else None, reasons
    )
    budget, free = memory_budget(device, reserved)
    needs = Needs.of(header, seedvr2, dtype.itemsize)
    size = config.target_size(*lr_size)
    lr_pixels = lr_size[0] * lr_size[1] if device.type == "cpu" else 0
    fitted = fit_memory(
        run_plan, needs, size, budget, may_tile=config.tile is None, lr_pixels=lr_pixels
    )
    return replace(fitted, free_bytes=free)


def fit_memory(
    run_plan: SeedVr2RunPlan,
    needs: Needs,
    size: tuple[int, int],
    budget: int,
    *,
    may_tile: bool,
    lr_pixels: int = 0,
) -> SeedVr2RunPlan:
    """Have blocks wait, then use tiles, and then shorter clips, only where memory demands it.

    Args:
        run_plan: as asked for.
        needs: of the model.
        size: (height, width) of the target.
        budget: bytes.
        may_tile: whether the autoencoder may work in tiles that were not asked for.
        lr_pixels: of a frame of the source, where clips lie in the same memory.

    Raises:
        DeviceError: the least does not fit.
    """
    least = 0
    for length, side, offload in _choices(run_plan, size, may_tile=may_tile):
        least = needs.peak(size, length, side, offload=offload, lr_pixels=lr_pixels)
        if least > budget:
            continue
        reasons = list(run_plan.reasons)
        if offload:
            reasons.append("the transformer waits in the CPU's memory, layer by layer: what fits")
        if side != run_plan.tile_size:
            reasons.append(
                f"the autoencoder works in tiles of {LATENT_STRIDE * (side or 0)} pixels"
            )
        if length != run_plan.clip_length:
            reasons.append(f"clip length {length}: what fits into the free memory")
        return replace(
            run_plan,
            clip_length=length,
            tile_size=side,
            offload=offload,
            reasons=tuple(reasons),
            peak_bytes=least,
        )
    raise DeviceError(
        f"this model does not fit into the memory of `{run_plan.device}`",
        why=f"{budget / 1e9:.1f} GB may be used, and at the least {least / 1e9:.1f} GB are needed",
        hint="free memory, take a smaller `--scale`, or use another `--device`",
    )


def _choices(
    run_plan: SeedVr2RunPlan, size: tuple[int, int], *, may_tile: bool
) -> Iterator[tuple[int, int | None, bool]]:
    """Clip length, tile size and whether blocks wait, from the best to the most frugal."""
    sides: list[int | None] = [run_plan.tile_size]
    if may_tile:
        largest = min(LARGEST_TILE, max(size) // LATENT_STRIDE)
        sides += range(largest, SMALLEST_TILE - 1, -TILE_STEP)
    for length in range(run_plan.clip_length, SHORTEST_CLIP - 1, -FRAME_STRIDE):
        for side in sides:
            for offload in (False, True):
                yield length, side, offload
