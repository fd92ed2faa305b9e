"""What a running job tells the outside; layers below `cli` report and never print."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that was chosen, said once before the first frame."""

    source: str
    target: str
    model: str
    device: str
    dtype: str
    steps: int
    seed: int
    motion_scale: float
    fidelity: float
    color: str
    flow: str
    clip_length: int  # frames
    tile: str  # "off", or the size in output pixels and the reason
    source_size: tuple[int, int]  # (height, width)
    target_size: tuple[int, int]  # (height, width)
    num_frames: int | None  # None where the container does not say
    codec: str
    pix_fmt: str
    reasons: tuple[str, ...]  # why, one line for each choice that was not the user's
    memory_gb: float | None = None  # of the device at the peak, as planned
    free_memory_gb: float | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the job is."""

    stage: str  # what is being done: "upscale", or a restorer's name in an evaluation
    frame: int  # frames written so far
    num_frames: int | None
    seconds: float  # since this run of the job began
    first: int = 0  # frames that an earlier run had written
    unit: str = "frames"  # or what else is counted


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something the user should know; `code` is stable (`W_...`)."""

    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """The job is complete and verified."""

    target: Path
    frames_in: int
    frames_out: int
    width: int
    height: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """What a frame costs here: LR size (height, width), steps, TFLOP and seconds for each.

    Seconds cover everything from RGB in to RGB out (flow, sampling, decoding, colour), not
    reading and encoding video. `peak_gb` is the device's peak, None on the CPU.
    """

    lr_size: tuple[int, int]
    steps: int
    tflop: float
    seconds: float
    peak_gb: float | None


Event = Plan | Progress | Note | Done | BenchResult
Report = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A `Report` for callers who do not listen."""
