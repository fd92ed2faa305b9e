"""Every choice a user can make, with its default and its limits, in one place."""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.pixels import Matrix, Range
from vsr_cli.repair_config import DirtConfig, EraseConfig, FillConfig
from vsr_cli.sharing import check_sharing
from vsr_cli.sizes import TargetSize

MAX_RATE = 1000  # frames per second
NUM_TRAIN_TIMESTEPS = 1000  # of every noise schedule here; a chain has no more steps

Alpha = Literal["auto", "drop"]
Audio = Literal["copy", "none", "aac", "flac"]
ColorFix = Literal["wavelet", "adain", "none"]
Deinterlace = Literal["auto", "off", "frame", "field"]
DtypeChoice = Literal["auto", "float32", "bfloat16", "float16", "int8"]
FlowChoice = Literal["auto", "dis", "raft"]
Guidance = Literal["bounded", "paper"]  # a bounded pull on x0, or the published step
MgldMode = Literal["default", "parity"]  # our way of running it, or the published one
Memory = Literal["warped", "still", "off"]  # along the flow, as if nothing moved, or none
OnDecodeError = Literal["repeat", "fill", "skip", "stop"]
Subs = Literal["copy", "none"]
Verify = Literal["quick", "full", "off"]


MAX_DELAY = 2.0  # seconds that a live picture may be late
LIVE_CLIP_LENGTH = 2  # frames: a longer clip waits for its last frame


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """How a video is cut along time. All counts are in frames."""

    length: int = 8  # sampled together; memory grows with it, the picture does not change
    overlap: int = 1  # shared with the next clip, which needs one to follow the motion

    def __post_init__(self) -> None:
        if self.length < 2 or not 1 <= self.overlap <= self.length // 2:
            raise ConfigError(
                f"an overlap of {self.overlap} does not fit "
                f"clips of {counted(self.length, 'frame')}",
                hint="raise `--clip-length`, 2 is the least",
            )


@dataclass(frozen=True, kw_only=True)
class Chain:
    """How a chain of the sampler is taken, whatever the number of its steps."""

    noise_scale: float = 1.0  # of what each step adds, 0 to 1
    latent_scale: float = 1.0  # of the latents at its end, 0 to 1
    time_power: float = 1.0  # >= 1; above it times are denser where noise is low


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How latents are drawn."""

    steps: int | None = None  # None: the model's own default
    seed: int = 0
    motion_scale: float = 1.0  # >= 0, 0 is off
    guidance: Guidance | None = None  # of the shipped family alone; None: `bounded`

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= NUM_TRAIN_TIMESTEPS:
            raise ConfigError(
                f"`--steps {self.steps}` is out of range", hint=f"use 1 to {NUM_TRAIN_TIMESTEPS}"
            )
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"`--seed {self.seed}` is out of range", hint="use 0 to 2^63 - 1")
        if not 0 <= self.motion_scale <= 10:
            raise ConfigError(
                f"`--motion-scale {self.motion_scale}` is out of range", hint="use 0 (off) to 10"
            )


@dataclass(frozen=True, kw_only=True)
class GivenLatents:
    """What a decoder is given instead of sampled latents, to tell its faults from the sampler's.

    Only an evaluation can give it, for only that has the truth.
    """

    is_true: bool  # those the encoder makes of the truth; else zeros
    deviation: float = 0.0  # of noise on the true ones, which have unit size

    def __post_init__(self) -> None:
        if not 0 <= self.deviation < math.inf:
            raise ConfigError(
                f"noise of deviation {self.deviation} is out of range", hint="use 0 or more"
            )
        if self.deviation and not self.is_true:
            raise ConfigError("zeros take no noise", hint="use `zero`, or `noisy:S` for true ones")

    @property
    def name(self) -> str:
        """How users write it."""
        if not self.is_true:
            return "zero"
        return f"noisy:{self.deviation:g}" if self.deviation else "true"


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """What of the source is read, and how it is understood; None leaves that to the source."""

    start: Fraction | None = None  # seconds after the source's own start, as `stop`
    stop: Fraction | None = None
    duration: Fraction | None = None  # seconds, instead of `stop`
    frames: tuple[int, int | None] | None = None  # first, and the one after the last
    video_stream: int | None = None  # which picture, counted from 0 among the pictures
    matrix: Matrix | None = None
    range: Range | None = None
    primaries: int | None = None  # H.273, table 2
    transfer: int | None = None  # H.273, table 3
    deinterlace: Deinterlace = "auto"
    alpha: Alpha = "auto"
    on_decode_error: OnDecodeError = "repeat"  # in the place of a picture that is lost
    format: str | None = None  # FFmpeg's name of the container
    raw_size: tuple[int, int] | None = None  # (height, width) of raw video
    raw_pix_fmt: str | None = None
    raw_rate: Fraction | None = None  # frames per second of sources without times, as images
    first_index: int = 0  # that the first frame has for the noise: a preview is a part of a job

    def __post_init__(self) -> None:
        if self.stop is not None and self.duration is not None:
            raise ConfigError("`--to` and `--duration` contradict each other", hint="give one")
        if self.frames and (self.start, self.stop, self.duration) != (None, None, None):
            raise ConfigError(
                "`--frames` and times contradict each other", hint="give either frames or times"
            )
        first, last = self.frames or (0, None)
        if first < 0 or (last is not None and last <= first):
            raise ConfigError(
                "`--frames` holds no frame", hint="give it as `A:B`, with A less than B"
            )
        start = self.start or Fraction(0)
        if start < 0 or (self.stop is not None and self.stop <= start):
            raise ConfigError(
                "the part to read ends before it starts", hint="`--start` goes before `--to`"
            )
        if self.duration is not None and self.duration <= 0:
            raise ConfigError("`--duration` is not above 0", hint="give seconds")
        if self.video_stream is not None and self.video_stream < 0:
            raise ConfigError("`--video-stream` is below 0", hint="pictures count from 0")
        if self.raw_rate is not None and self.raw_rate <= 0:
            raise ConfigError("`--input-fps` is not above 0", hint="give frames per second")
        if self.format == "rawvideo" and None in (self.raw_size, self.raw_pix_fmt):
            raise ConfigError(
                "raw video does not say what it is",
                hint="give `--raw-size WxH` and `--raw-pix-fmt NAME`",
            )


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """How the target is written; None leaves the choice to container and source."""

    video_codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    options: tuple[tuple[str, str], ...] = ()  # of the encoder, as FFmpeg names them
    lossless: bool = False
    format: str | None = None  # FFmpeg's name of the container; None: by the extension
    cfr: Fraction | None = None  # frames per second of a constant rate; None: the source's times
    overwrite: bool = False
    audio: Audio = "copy"  # aac and flac encode it again
    subs: Subs = "copy"
    chapters: bool = True
    attachments: bool = True  # fonts and covers
    metadata: bool = True  # titles and other tags; languages are always kept
    low_delay: bool = False  # hold no frame back to code it better
    strict_copy: bool = False  # refuse a container that cannot hold every stream as it is
    verify: Verify = "quick"  # full also decodes every picture of the finished file

    def __post_init__(self) -> None:
        if self.lossless and self.crf is not None:
            raise ConfigError("`--lossless` and `--crf` contradict each other", hint="give one")
        if self.cfr is not None and not 0 < self.cfr <= MAX_RATE:
            raise ConfigError(f"`--cfr {self.cfr}` is out of range", hint=f"use up to {MAX_RATE}")


@dataclass(frozen=True, kw_only=True)
class JobConfig:
    """How unfinished work is kept on disk, so that the same job can go on later."""

    folder: Path | None = None  # where its files lie; None: beside the target
    fresh: bool = False  # drop what an earlier run has left
    keep: bool = False  # leave the files there when the target is complete
    checkpoint: float = 60.0  # seconds of work between two places to go on from
    chunk_length: int = 240  # frames in each chunk of the target, which starts with a key frame
    workers: int | None = 1  # processes that share it on this machine; None: one for each GPU
    split: int = 0  # frames after which a shot goes on in another unit; 0: shots stay whole
    ray: str | None = None  # address of the cluster that computes it; None: this machine does
    mixed: bool = False  # whether workers of a cluster may have devices of several kinds
    shard: tuple[int, int] | None = None  # which part of it is computed here, from 1, of how many
    # That goes on with it, to be told to people.
    command: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.checkpoint <= 86400:
            raise ConfigError(
                f"`--checkpoint {self.checkpoint:g}` is out of range",
                hint="use 0 (after every clip) to 86400 seconds",
            )
        if not 1 <= self.chunk_length <= 100_000:
            raise ConfigError(
                f"`--chunk-length {self.chunk_length}` is out of range", hint="use 1 to 100000"
            )
        check_sharing(
            self.workers,
            self.shard,
            self.split,
            fresh=self.fresh,
            ray=self.ray,
            mixed=self.mixed,
        )


@dataclass(frozen=True, kw_only=True)
class UpscaleConfig:
    """One job."""

    has_model: bool = True  # else frames are only repaired, and keep their size
    fill: FillConfig | None = None  # None: frames are taken as they are
    dirt: DirtConfig | None = None  # None: dirt stays
    erase: EraseConfig | None = None  # None: nothing is taken out
    fps: Fraction | None = None  # frames are made for this rate; None: the source's times

    scale: Fraction = Fraction(4)  # per side, 1 to 4
    size: TargetSize | None = None  # of the target, and then `for_source` tells the scale
    model: Path | None = None  # a weights file; None: the shipped one
    supersample: bool = False  # compute at least twice as large, where the model can, and reduce
    fidelity: float = 1.0  # CFW weight: share of the source's features, 0 to 1
    strength: float = 1.0  # share of the result in the picture; 0 is the source, resized
    color: ColorFix = "wavelet"
    memory: Memory | None = None  # of the shipped family's decoder; None: `warped`
    flow: FlowChoice = "auto"  # RAFT where the model brings its weights, else DIS
    flow_weights: Path | None = None
    scene_cut: bool = True
    tile: int | None = None  # output pixels; None: only when memory demands; 0: never
    mgld_mode: MgldMode | None = None  # of imported models alone; None: `default`
    device: str = "auto"
    dtype: DtypeChoice = "auto"
    compile: bool = False  # networks of the shipped family, for the sizes that a job has
    clip: ClipConfig = field(default_factory=ClipConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    input: InputConfig = field(default_factory=InputConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    max_delay: float | None = None  # seconds that a live picture may be late; None: not live
    job: JobConfig = field(default_factory=JobConfig)

    @property
    def inputs(self) -> dict[str, Path | None]:
        """Files that a job reads beside its source, by what users call them."""
        return {
            "the mask": self.erase.mask if self.erase is not None else None,
            "the model": self.model,
            "the flow's weights": self.flow_weights,
        }

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= 4:
            raise ConfigError(f"`--scale {self.scale}` is out of range", hint="use 1 to 4")
        if not 0 <= self.fidelity <= 1:
            raise ConfigError(f"`--fidelity {self.fidelity}` is out of range", hint="use 0 to 1")
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"`--strength {self.strength:g}` is out of range", hint="use 0 to 1")
        if self.max_delay is not None and not 0.1 <= self.max_delay <= 60:
            raise ConfigError(
                f"`--max-delay {self.max_delay:g}` is out of range", hint="use 0.1 to 60 seconds"
            )
        if self.fps is not None and not 0 < self.fps <= MAX_RATE:
            raise ConfigError(f"`--fps {self.fps}` is out of range", hint=f"use up to {MAX_RATE}")
        if self.fps is not None and self.output.cfr is not None:
            raise ConfigError(
                "`--fps` and `--cfr` contradict each other",
                why="`--fps` makes frames for a constant rate, `--cfr` repeats or leaves out some",
                hint="give one",
            )
        if self.tile is not None and self.tile != 0 and self.tile < 256:
            raise ConfigError(
                f"`--tile {self.tile}` is too small", hint="use 256 output pixels or more, or off"
            )
        if self.flow == "dis" and self.flow_weights is not None:
            raise ConfigError(
                "`--flow dis` and `--flow-weights FILE` contradict each other",
                why="only RAFT has weights",
                hint="leave one of them out",
            )

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the target: `size`, or `scale` times the source, halves rounded up.

        Raises:
            ConfigError: a source of this size does not come to `size`.
        """
        if self.size is not None:
            return self.size.fit(height, width)
        return int(height * self.scale + Fraction(1, 2)), int(width * self.scale + Fraction(1, 2))

    def for_source(self, height: int, width: int) -> "UpscaleConfig":
        """The same for a source of this size, with the scale that `size` comes to.

        Raises:
            ConfigError: it does not come to `size`.
        """
        return self if self.size is None else replace(self, scale=self.size.scale(height, width))
