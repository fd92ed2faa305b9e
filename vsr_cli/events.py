"""What a running job tells the outside; layers below `cli` report and never print."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that was chosen, said once before the first frame."""

    source: str  # a path, or `-`
    target: str  # likewise
    source_size: tuple[int, int]  # (height, width)
    target_size: tuple[int, int]  # (height, width)
    num_frames: int | None  # of the target; null where the container does not say
    codec: str  # the encoder, as FFmpeg names it
    pix_fmt: str
    reasons: tuple[str, ...]  # why, one line for each choice that was not the user's
    repairs: tuple[str, ...] = ()  # what is done before the model: fill, dirt, erase, rate
    duration: float | None = None  # seconds, of all of the source; null where a part is read
    rate: Fraction | None = None  # frames per second that are made for, as `60000/1001`; else null
    model: str = "none"  # the file of weights; without a model the next ones mean nothing
    device: str = "cpu"  # or cuda:N
    dtype: str = "none"  # number format of the networks
    steps: int | None = None  # of denoising
    seed: int | None = None
    motion_scale: float | None = None
    fidelity: float | None = None
    strength: float | None = None
    color: str | None = None
    flow: str | None = None
    clip_length: int | None = None  # frames
    tile: str | None = None  # `off`, or the size in output pixels and the reason
    memory_gb: float | None = None  # of the device at the peak, as planned
    free_memory_gb: float | None = None  # of the device, before the job
    disk_gb: float | None = None  # of unfinished work at the most, the coded video not counted
    free_disk_gb: float | None = None  # where that lies, before the job
    seconds: float | None = None  # for the frames that are left; null: unknown
    is_trial: bool = False  # whether that is told from a few small frames, not from an earlier job
    workers: int | None = None  # processes that share the job; null: it is not shared
    device_seconds: float | None = None  # of all their devices together; null: unknown, not shared
    units: int | None = None  # parts of the source that they take; null: it is not shared


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who is at work on a job in units, and how many units are done."""

    alive: int  # workers
    lost: int  # workers that have died
    units_done: int
    units: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the job is."""

    stage: str  # what is being done: "upscale", "fill", "erase", "fill+rate", or a restorer's name
    frame: int  # frames written so far
    num_frames: int | None
    seconds: float  # since this run of the job has begun to work
    first: int = 0  # frames that an earlier run had written
    unit: str = "frames"  # or what else is counted
    ahead: float = 0.0  # what is done of the frames after these, as a number of frames
    left: float | None = None  # seconds to the end; None: what the pace so far comes to
    crew: Crew | None = None  # None: the job is not shared
    about: int | None = None  # what `num_frames` is by length and rate, where nobody has counted
    bytes_about: int | None = None  # of the whole picture, coded, by what there is; null: unknown


@dataclass(frozen=True, kw_only=True)
class UnitState:
    """What has become of a unit of a job: some frames of the source, from a cut to a cut."""

    index: int
    start: int  # frames, half-open
    stop: int
    state: Literal["begun", "done", "lost", "given up"]  # lost: the worker has died, others take it
    attempt: int  # of this run of the job, from 1
    worker: int  # that has it, from 1
    seconds: float | None = None  # that it took, where it is done


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """What has become of a process that shares a job."""

    id: int  # from 1; whoever takes the place of one that died has a number of its own
    node: str  # the name of its machine
    device: str  # cpu, or cuda:N
    state: Literal["started", "done", "lost"]


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something the user should know; `code` is stable, see `NOTE_CODES`."""

    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Live:
    """How a live source is kept up with, every ten seconds."""

    delay: float  # seconds that the picture is late
    fps: float  # frames a second, of the last ten seconds
    share_plain: float  # of these frames, enlarged without the model


@dataclass(frozen=True, kw_only=True)
class TimeSpent:
    """Where the time of a run has gone, after its last frame; not of a job that is shared.

    Reading, motion and encoding go on while the model computes: what is told of them is how long
    the model had to wait.
    """

    seconds: float  # of the run, its start and the end of the video not counted
    frames: int  # that it has made
    stages: Mapping[str, float]  # seconds of read, sample, decode, color, write


@dataclass(frozen=True, kw_only=True)
class Done:
    """The job is complete and verified."""

    target: Path
    frames_in: int  # of the source
    frames_out: int  # in the target
    width: int  # of the target, in pixels
    height: int
    seconds: float  # that this run of the job took
    num_bytes: int | None = None  # of the target; null where it is a pipe or images
    streams: tuple[str, ...] = ()  # beside the picture, in order: audio, subtitle, attachment
    shard: str | None = None  # as `3/20`: these frames are done, and the target is not made yet


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that `doctor` has looked at; `fail` is what a job cannot do without."""

    subject: str
    state: Literal["ok", "warn", "fail"]
    text: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """What a frame costs here.

    Seconds cover everything from RGB in to RGB out (flow, sampling, decoding, colour), not
    reading and encoding video. Flow is estimated while networks compute, so that shares of all
    stages may sum to more than 1.
    """

    lr_size: tuple[int, int]  # (height, width)
    scale: str  # of the target against that, per side
    steps: int
    tflop: float  # of one frame
    seconds: float  # likewise
    shares: Mapping[str, float]  # of that time, by stage: flow, sample, decode, color
    ceiling: float  # TFLOP a second that a convolution of this device reaches
    peak_gb: float | None  # of the device, or of the whole process on a CPU
    planned_gb: float | None  # the same, as a job would plan it
    device: str  # cpu, or cuda:N
    dtype: str  # number format of the networks


@dataclass(frozen=True, kw_only=True)
class DegradationDrawn:
    """What was drawn by chance to degrade a clip."""

    level: str
    scale: int  # by how much it becomes smaller, per side
    seed: int
    steps: tuple[str, ...]  # in words, one line for each


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison of videos has found."""

    sources: tuple[str, ...]  # paths
    out: str | None  # what was written; null: nothing
    frames: int  # of the first video, that were compared
    frames_of: tuple[int, ...]  # of each video; empty where they were not read to the end
    reference: str | None = None  # the name of the one that others are held against
    is_truth: bool = False  # whether that was named the truth: else figures tell no quality
    means: Mapping[str, Mapping[str, float]]  # over all frames, by name and metric
    seconds: float  # that it took


@dataclass(frozen=True, kw_only=True)
class PreviewSample:
    """A part of a source that a preview has enlarged, or found where an earlier one had kept it."""

    variant: str  # the settings it has of its own, as `steps=4`; empty: none
    at: float  # seconds, of its first frame in the source
    frames: int  # that are shown
    size: tuple[int, int]  # (height, width) of what is shown
    s_per_frame: float  # seconds that a frame took
    is_kept: bool  # whether an earlier preview had computed it


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the whole job would cost, by the samples of a preview."""

    variant: str  # as in `PreviewSample`
    frames: int | None  # of the whole target; null: unknown
    seconds: float | None  # for all of them, here
    s_per_frame: float
    bytes: int | None  # of the target, about, without sound; null: samples are too short to tell
    memory_gb: float | None  # at the peak, as planned
    free_memory_gb: float | None
    free_disk_gb: float | None  # where the preview was written


@dataclass(frozen=True, kw_only=True)
class GraphWritten:
    """A graph of an export is written."""

    graph: str
    file: str  # within the folder
    num_bytes: int  # without the weights, which all graphs share
    nodes: int


@dataclass(frozen=True, kw_only=True)
class GraphChecked:
    """An output of an exported graph was held against what torch computes."""

    graph: str  # `all_xN`: all of them in their order, on a small video
    output: str
    runtime: str  # onnxruntime or tensorrt
    error: float  # the largest, or of a video the mean
    tolerance: float
    unit: Literal["range", "codes"]  # shares of the range of the output, or codes of 8 bits

    @property
    def passed(self) -> bool:
        """Whether the error is tolerated; one that is not a number is not."""
        return self.error <= self.tolerance


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A folder of graphs is complete, and in its place."""

    folder: str
    graphs: int
    engines: int
    checks: int  # outputs that were checked; 0: none was
    num_bytes: int  # of all files
    seconds: float  # that it took


# Every code a note may have; scripts depend on them, so none is renamed or means something else.
NOTE_CODES: Mapping[str, str] = {
    "W_LIVE_BEHIND": "A live source is faster than the model: frames are enlarged without it.",
    "W_INPUT_DAMAGED": "Packets of the source do not decode; the exit code will be 8.",
    "W_INPUT_TRUNCATED": "The source ends before its header says; the exit code will be 8.",
    "W_AUDIO_DAMAGED": "Packets of the sound do not decode; the exit code will be 8.",
    "W_STREAM_CUT": "The target takes no more of a stream, or none of it; the exit code will be 8.",
    "W_TIMESTAMPS_FIXED": "Frames without a time of their own, or a later one, were given one.",
    "W_CLOCK_JUMPS": "The clock of a stream jumps; the target goes on without a gap.",
    "W_PICTURE_CHANGES": "The picture changes midway and is fitted to what it was at first.",
    "W_CROPPED": "The picture is cropped, as the container asks.",
    "W_DEINTERLACED": "Two fields become a frame, or each of them does.",
    "W_NO_RATE": "The source tells no rate, so a usual one is taken.",
    "W_IMAGE_RATE": "Images tell no rate, so a usual one is taken.",
    "W_IMAGES_PUT_ASIDE": "What is left of an earlier sequence of images has a folder of its own.",
    "W_PAGES_DROPPED": "A TIFF has more pages than the first, which alone is read.",
    "W_IMAGE_SIZES": "Images of other sizes are fitted to that of the first.",
    "W_SOURCE_CUT": "The source goes on: only its first frames are taken.",
    "W_LAST_FRAME": "The target cannot tell how long its last frame is shown: it is shown shorter.",
    "W_JOB_DAMAGED": "What an earlier run has left is damaged: it is computed again.",
    "W_ONE_READER": "The job cannot be shared, and one process does all of it.",
    "W_WORKER_LOST": "A process that shared the job has died; others take up what it had.",
    "W_MIXED": "With `--mixed`: workers have devices of several kinds, and frames differ a little.",
    "W_RAY_OPEN": "The cluster asks for no token: whoever reaches it can run programs on it.",
    "W_RESUMED": "The job goes on where an earlier run has ended.",
    "W_CFR": "A constant frame rate repeats some frames and leaves out others.",
    "W_PIX_FMT": "The target cannot have the source's pixel format.",
    "W_ALPHA_DROPPED": "The target cannot hold the transparency of the source.",
    "W_HDR_DROPPED": "The target cannot say that the picture is HDR, or how it was mastered.",
    "W_DYNAMIC_HDR_DROPPED": "HDR10+ or Dolby Vision metadata is left out.",
    "W_ROTATION_DROPPED": "The container cannot say that the picture is turned when it is shown.",
    "W_ASPECT_DROPPED": "The target cannot say that pixels are not square.",
    "W_STEREO_DROPPED": "The mark that the picture is stereoscopic is left out.",
    "W_SPHERICAL_DROPPED": "The mark that the picture is spherical is left out.",
    "W_CAPTIONS_DROPPED": "Closed captions inside the picture's stream are left out.",
    "W_VIDEO_DROPPED": "Pictures beside the main one are left out.",
    "W_AUDIO_ENCODED": "The container cannot hold the sound as it is, so it is encoded again.",
    "W_AUDIO_MIXED": "The channels of the sound are mixed, as the encoder does not have as many.",
    "W_AUDIO_DROPPED": "The container cannot hold the sound, which is left out.",
    "W_SUBS_CONVERTED": "The container cannot hold the subtitles as they are: they are rewritten.",
    "W_SUBS_ENDLESS": "Subtitles without an end are ended with the picture.",
    "W_SUBS_DROPPED": "The container cannot hold the subtitles, which are left out.",
    "W_CHAPTERS_DROPPED": "The container cannot hold chapters, which are left out.",
    "W_ATTACHMENTS_DROPPED": "The container cannot hold attached files, which are left out.",
    "W_COVER_DROPPED": "The container cannot hold the cover, which is left out.",
    "W_DATA_DROPPED": "Data streams are left out.",
    "W_TAGS_DROPPED": "The container cannot hold some of the tags, which are left out.",
    "W_MEMORY_RETRIED": "Memory has run out; caches were given back, and the same is tried again.",
    "W_MEMORY_FRAMES": "Memory has run out; networks see fewer frames at a time from here on.",
    "W_MEMORY_BATCH": "Memory has run out; the denoiser sees fewer tiles at a time from here on.",
    "W_MEMORY_TILES": "Memory has run out; networks see tiles, which differ near their edges.",
    "W_MEMORY_CLIPS": "Memory has run out; the job goes back to its checkpoint, in shorter clips.",
    "W_FILLED": "Frames were damaged, black, frozen or listed, and were made of their neighbours.",
    "W_FILL_FAR": "Frames could not be made of their neighbours, which are too far or too unlike.",
    "W_FILL_IDLE": "No frame was found that is damaged, black, frozen or listed.",
    "W_FRAMES_ABSENT": "Frames were listed that the source does not have: it ends before them.",
    "W_REPEATS_KEPT": "Frames repeat in a pattern, as pull-down does, and are left alone.",
    "W_RATE_REPEATS": "A cut, a pause or too much motion: frames of a higher rate repeat others.",
    "W_DIRT": "Dirt was found on frames, and replaced by what their neighbours show.",
    "W_DIRT_LEFT": "Too much of some frames looked like dirt, and they are left as they were.",
    "W_MASK_RESIZED": "The mask has another size than the picture, and is resized.",
    "W_MASK_SHORT": "The mask ends before the source; nothing is erased after its end.",
    "W_MASK_EMPTY": "Nothing is white in the mask, so nothing is erased by it.",
    "W_BOX_IDLE": "No frame that was read lies in the times of a box: nothing is erased there.",
    "W_UNSEEN": "Some of what was erased is seen in no other frame, and is a guess from its rim.",
    "W_SIZES_DIFFER": "Videos that are compared have other sizes; the smaller ones are enlarged.",
    "W_CODES_DIFFER": "HDR is measured against SDR, or PQ against HLG, by their unlike codes.",
    "W_RATES_DIFFER": "Videos that are compared have other frame rates; times decide.",
    "W_COUNTS_DIFFER": "Videos that are compared have other numbers of frames.",
    "W_PROFILE_CUT": "A temporal profile ends before the videos do: it would be too tall.",
    "W_PAGE_SAMPLED": "All frames would make a page too large, which shows samples instead.",
    "W_PREVIEW_LONG": "A preview will take some minutes; a piece of the picture would be faster.",
    "W_ENGINES_UNCHECKED": "Engines were not checked: TensorRT, or their GPU, is not here.",
    "W_VARIABLE_UNKNOWN": "A variable `VSR_...` of the environment is no option, and sets nothing.",
    "W_TONE_MAPPED": "HDR is tone mapped where it is shown; jobs and figures keep its codes.",
    "W_METRIC_LEFT_OUT": "A comparison cannot measure one of its metrics here.",
    "W_CLIP_LEFT_OUT": "An evaluation has no input for a clip.",
    "W_SHARPEN_LEFT_OUT": "An evaluation cannot choose how much to sharpen, and does not.",
}

Event = (
    Plan
    | Progress
    | UnitState
    | WorkerState
    | Note
    | Live
    | TimeSpent
    | Done
    | BenchResult
    | DegradationDrawn
    | Comparison
    | PreviewSample
    | Prediction
    | GraphWritten
    | GraphChecked
    | Exported
)
Report = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A `Report` for callers who do not listen."""
