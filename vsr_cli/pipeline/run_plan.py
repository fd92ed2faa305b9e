"""Where and in what precision a job runs: chosen once, with the reasons."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vsr_cli.config import DtypeChoice, UpscaleConfig
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError, DeviceError
from vsr_cli.ops.precision import (
    emulates_bfloat16,
    has_int8,
    is_faster_in_bfloat16,
    is_faster_in_int8,
)

SHORTEST_CLIP = 2  # frames
LATENT_STRIDE = 8  # pixels of the target to one of the latents, of every family


@dataclass(frozen=True)
class RunPlan:
    """Where a run computes, in what precision and how much at once, with the reasons."""

    device: torch.device
    dtype: torch.dtype  # int8 is of convolutions, see `choose_dtype`
    clip_length: int
    tile_size: int | None  # latent pixels; None: the whole frame at once
    reasons: tuple[str, ...]
    peak_bytes: int | None = None  # bytes at the peak, as planned
    free_bytes: int | None = None  # bytes of the device, when it was planned
    state_bytes: int = 0  # bytes of what a clip hands on, as a checkpoint keeps it
    is_state_on_disk: bool = False  # whether that lies there between clips, too
    is_out_of_core: bool = False  # whether frames in the making do, and no clip is read ahead
    scratch_bytes: int = 0  # bytes that they then take
    scratch: Path | None = None  # folder for it; None: the system's for temporary files
    smallest_tile: int | None = None  # latent pixels; None: tiles are not taken where memory ends

    @property
    def scratch_folder(self) -> Path:
        """Where files lie that hold what is not in memory."""
        return self.scratch or Path(tempfile.gettempdir())

    @property
    def tile_pixels(self) -> int | None:
        """Pixels of the target along a tile; None: the whole frame at once."""
        return None if self.tile_size is None else LATENT_STRIDE * self.tile_size

    def smaller(self, size: tuple[int, int]) -> "RunPlan | None":
        """What to try where memory has run out: clips half as long, and then tiles half as large.

        Args:
            size: (height, width) of the target.

        Returns:
            None: there is nothing smaller.
        """
        if self.clip_length // 2 >= SHORTEST_CLIP:
            return replace(self, clip_length=self.clip_length // 2)
        side = (self.tile_size or max(size) // LATENT_STRIDE) // 2
        if self.smallest_tile is None or side < self.smallest_tile:
            return None
        return replace(self, tile_size=side, is_state_on_disk=True, is_out_of_core=True)


def native_scale(scales: Sequence[int], config: UpscaleConfig) -> int:
    """The enlargement a model computes: the next that is not below the one which is asked for.

    Args:
        scales: what it was built for; above the largest of them, that one is computed.
        config: asks for an enlargement or, to supersample, for twice that and more.
    """
    wanted = 2 * config.scale if config.supersample else config.scale
    return min((own for own in scales if own >= wanted), default=max(scales))


def why_scale(scales: Sequence[int], config: UpscaleConfig) -> str:
    """What users are told of supersampling; empty where they have not asked for it."""
    if not config.supersample:
        return ""
    scale = native_scale(scales, config)
    if scale == native_scale(scales, replace(config, supersample=False)):
        return f"supersampling changes nothing: the model enlarges at most {scale} times"
    noise = ", which leaves noise as it is" if config.scale == 1 else ""
    return f"supersampling: enlarged {scale} times, then reduced{noise}"


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
                why=f"{counted(count, 'CUDA device')} found",
                hint="use `--device auto` or `--device cpu`",
            )
    elif device.type != "cpu":
        raise ConfigError(f"`--device {name}` is not supported", hint="use auto, cpu or cuda")
    return device, ""


def choose_dtype(
    choice: DtypeChoice, device: torch.device, *, why_no_int8: str = "the model has floats alone"
) -> tuple[torch.dtype, str]:
    """`auto` takes what the hardware computes in the fastest, of what keeps PSNR and LPIPS.

    Args:
        choice: what the user asked for.
        device: of the job.
        why_no_int8: of the model and its options; empty if it can compute in 8-bit integers.

    Returns:
        The number format, and what to say of it; with int8, convolutions have it, and all else the
        floats of `beside_int8`.

    Raises:
        ConfigError: the device or the model cannot compute in it.
    """
    if choice == "float16" and device.type == "cpu":
        raise ConfigError(
            "`--dtype float16` needs a CUDA device", hint="use auto, bfloat16 or float32"
        )
    if choice == "int8":
        _require_int8(device, why_no_int8)
        return torch.int8, ""
    if choice == "bfloat16":
        return torch.bfloat16, slow_in_bfloat16(device)
    if choice != "auto":
        return {"float32": torch.float32, "float16": torch.float16}[choice], ""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16, "dtype bfloat16: the GPU computes in it"
        return torch.float16, "dtype float16: the GPU has no bfloat16"
    if is_faster_in_int8() and not why_no_int8:
        return torch.int8, "dtype int8: this CPU convolves faster in it"
    if is_faster_in_bfloat16():
        return torch.bfloat16, "dtype bfloat16: this CPU computes faster in it"
    return torch.float32, "dtype float32: this CPU is not faster in bfloat16"


def _require_int8(device: torch.device, why_not: str) -> None:
    if device.type != "cpu":
        why_not = "it is for CPUs"
    elif not has_int8():
        why_not = "this CPU has no instructions for it (AVX-512 VNNI)"
    if why_not:
        hint = "use auto, bfloat16 or float32"
        raise ConfigError("`--dtype int8` cannot be used here", why=why_not, hint=hint)


def slow_in_bfloat16(device: torch.device) -> str:
    """What to say of a CPU that has no instructions for it; empty for others."""
    if device.type != "cpu" or not emulates_bfloat16():
        return ""
    return "dtype bfloat16: this CPU emulates it, many times slower than float32"


def dtype_name(dtype: torch.dtype) -> str:
    """How users write a dtype."""
    return str(dtype).removeprefix("torch.")
