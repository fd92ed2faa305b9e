"""The options of a job by the names users know, from the command line or from Python."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TypeVar, cast, get_type_hints

from vsr_cli.config import (
    LIVE_CLIP_LENGTH,
    MAX_DELAY,
    Alpha,
    Audio,
    ClipConfig,
    ColorFix,
    Deinterlace,
    DtypeChoice,
    FlowChoice,
    Guidance,
    InputConfig,
    JobConfig,
    Memory,
    MgldMode,
    OnDecodeError,
    OutputConfig,
    SamplerConfig,
    Subs,
    UpscaleConfig,
    Verify,
)
from vsr_cli.errors import ConfigError, find_nearest
from vsr_cli.option_types import checked
from vsr_cli.pixels import MATRIX_NAMES, PRIMARIES_NAMES, RANGE_NAMES, TRANSFER_NAMES
from vsr_cli.repair_options import (
    RepairOptions,
    Task,
    Time,
    dirt_config,
    erase_config,
    fill_config,
    parse_time,
)
from vsr_cli.sharing import parse_shard, parse_workers
from vsr_cli.sizes import TargetSize, parse_target_size
from vsr_cli.values import (
    Number,
    parse_frames,
    parse_name,
    parse_rate,
    parse_scale,
    parse_settings,
    parse_size,
    parse_tile,
)

T = TypeVar("T")

_OF_MODELS = frozenset(
    {
        *("scale", "size", "height", "steps", "seed", "fidelity", "strength", "motion_scale"),
        *("color", "model", "flow", "flow_weights", "mgld_mode", "guidance", "memory"),
        *("supersample", "device", "dtype", "compile", "clip_length", "tile", "live"),
        *("max_delay", "split", "workers", "shard", "ray", "mixed"),
    }
)


PathLike = str | Path


class Options(RepairOptions, total=False):
    """Every option of a job by its long name on the command line, `-` replaced by `_`.

    `guidance` and `memory`, of the shipped family, are for experiments, and Python only. What is
    left out, or None, has the default that `vsr upscale --help-all` shows.
    """

    scale: Number | None
    size: str | tuple[int, int] | None  # text as `1080p` or `WxH`, or (width, height)
    height: int | None
    supersample: bool | None
    steps: int | None
    seed: int | None
    fidelity: float | None
    strength: float | None
    motion_scale: float | None
    color: ColorFix | None
    model: str | Path | None
    flow: FlowChoice | None
    flow_weights: str | Path | None
    scene_cut: bool | None
    mgld_mode: MgldMode | None
    guidance: Guidance | None
    memory: Memory | None
    device: str | None
    dtype: DtypeChoice | None
    compile: bool | None
    clip_length: int | None
    tile: int | str | None

    start: Time | None
    to: Time | None
    duration: Time | None
    frames: str | tuple[int, int | None] | None
    video_stream: int | None
    in_matrix: str | None
    in_range: str | None
    in_primaries: str | None
    in_transfer: str | None
    deinterlace: Deinterlace | None
    alpha: Alpha | None
    in_format: str | None
    raw_size: str | tuple[int, int] | None
    raw_pix_fmt: str | None
    input_fps: Number | None

    vcodec: str | None
    crf: float | None
    preset: str | None
    pix_fmt: str | None
    enc_opt: Sequence[str] | Mapping[str, str] | None  # one text is a list of it
    lossless: bool | None
    format: str | None
    cfr: Number | None
    fps: Number | None
    audio: Audio | None
    subs: Subs | None
    chapters: bool | None
    attachments: bool | None
    metadata: bool | None
    strict_copy: bool | None
    verify: Verify | None
    overwrite: bool | None

    live: bool | None
    max_delay: float | None

    fresh: bool | None
    keep_job: bool | None
    job_dir: str | Path | None
    checkpoint: float | None
    chunk_length: int | None

    split: int | None
    workers: int | str | None
    shard: str | tuple[int, int] | None
    ray: str | None
    mixed: bool | None


def make_config(options: Options, task: Task = "upscale") -> UpscaleConfig:
    """Check and read options; text is read as on the command line.

    Args:
        options: by their names.
        task: what they are for; without a model frames keep their size.

    Raises:
        ConfigError: a value is of another kind or out of range, or two contradict each other.
        WeightsError: no model is called so.
        TypeError: there is no such option.
    """
    if unknown := set(options) - set(Options.__annotations__):
        nearest = find_nearest(min(unknown), Options.__annotations__)
        question = f"; did you mean `{nearest}`?" if nearest else ""
        raise TypeError(f"there is no option `{min(unknown)}`{question}")
    options = cast(Options, checked(options, _hints()))
    if task != "upscale":
        _refuse_options_of_models(options, task)
    usual_length = LIVE_CLIP_LENGTH if options.get("live") else ClipConfig.length
    length = _or(options.get("clip_length"), usual_length)
    return UpscaleConfig(
        has_model=task == "upscale",
        fill=fill_config(options, task),
        dirt=dirt_config(options),
        erase=erase_config(options, task),
        fps=parse_rate("--fps", options.get("fps")),
        scale=parse_scale(options.get("scale")) if task == "upscale" else Fraction(1),
        size=_target_size(options),
        supersample=_or(options.get("supersample"), UpscaleConfig.supersample),
        model=_find_model(options.get("model")),
        fidelity=_or(options.get("fidelity"), UpscaleConfig.fidelity),
        strength=_or(options.get("strength"), UpscaleConfig.strength),
        color=_or(options.get("color"), UpscaleConfig.color),
        memory=options.get("memory"),
        flow=_or(options.get("flow"), UpscaleConfig.flow),
        flow_weights=_as_path(options.get("flow_weights")),
        scene_cut=_or(options.get("scene_cut"), UpscaleConfig.scene_cut),
        tile=parse_tile(options.get("tile")),
        mgld_mode=options.get("mgld_mode"),
        device=_or(options.get("device"), UpscaleConfig.device),
        dtype=_or(options.get("dtype"), UpscaleConfig.dtype),
        compile=_or(options.get("compile"), UpscaleConfig.compile),
        clip=ClipConfig(length=length, overlap=min(ClipConfig.overlap, length // 2)),
        sampler=SamplerConfig(
            steps=options.get("steps"),
            seed=_or(options.get("seed"), SamplerConfig.seed),
            motion_scale=_or(options.get("motion_scale"), SamplerConfig.motion_scale),
            guidance=options.get("guidance"),
        ),
        max_delay=_max_delay(options),
        input=_input_config(options, "fill" if task == "fill" else InputConfig.on_decode_error),
        output=_output_config(options),
        job=JobConfig(
            folder=_as_path(options.get("job_dir")),
            fresh=_or(options.get("fresh"), JobConfig.fresh),
            keep=_or(options.get("keep_job"), JobConfig.keep),
            checkpoint=_or(options.get("checkpoint"), JobConfig.checkpoint),
            chunk_length=_or(options.get("chunk_length"), JobConfig.chunk_length),
            split=_or(options.get("split"), JobConfig.split),
            workers=parse_workers(options.get("workers"), ray=options.get("ray")),
            ray=options.get("ray"),
            mixed=_or(options.get("mixed"), JobConfig.mixed),
            shard=parse_shard(options.get("shard")),
        ),
    )


@cache
def _hints() -> dict[str, object]:
    return get_type_hints(Options)


def _refuse_options_of_models(options: Options, task: Task) -> None:
    for name, value in options.items():
        if name in _OF_MODELS and value is not None:
            raise ConfigError(
                f"`--{name.replace('_', '-')}` means nothing to `vsr {task}`",
                why="it is a choice of a model, and there is none",
                hint="leave it out, or use `vsr upscale`",
            )


def _max_delay(options: Options) -> float | None:
    """Seconds that a live picture may be late; None for all other sources."""
    if options.get("live"):
        return _or(options.get("max_delay"), MAX_DELAY)
    return None


def _input_config(options: Options, on_decode_error: OnDecodeError) -> InputConfig:
    return InputConfig(
        start=parse_time("--start", options.get("start")),
        stop=parse_time("--to", options.get("to")),
        duration=parse_time("--duration", options.get("duration")),
        frames=parse_frames(options.get("frames")),
        video_stream=options.get("video_stream"),
        matrix=parse_name("--in-matrix", options.get("in_matrix"), MATRIX_NAMES),
        range=parse_name("--in-range", options.get("in_range"), RANGE_NAMES),
        primaries=parse_name("--in-primaries", options.get("in_primaries"), PRIMARIES_NAMES),
        transfer=parse_name("--in-transfer", options.get("in_transfer"), TRANSFER_NAMES),
        deinterlace=_or(options.get("deinterlace"), InputConfig.deinterlace),
        alpha=_or(options.get("alpha"), InputConfig.alpha),
        on_decode_error=_or(options.get("on_decode_error"), on_decode_error),
        format=options.get("in_format"),
        raw_size=parse_size("--raw-size", options.get("raw_size")),
        raw_pix_fmt=options.get("raw_pix_fmt"),
        raw_rate=parse_rate("--input-fps", options.get("input_fps")),
    )


def _output_config(options: Options) -> OutputConfig:
    return OutputConfig(
        video_codec=options.get("vcodec"),
        crf=options.get("crf"),
        preset=options.get("preset"),
        pix_fmt=options.get("pix_fmt"),
        options=parse_settings(options.get("enc_opt")),
        lossless=_or(options.get("lossless"), OutputConfig.lossless),
        format=options.get("format"),
        cfr=parse_rate("--cfr", options.get("cfr")),
        overwrite=_or(options.get("overwrite"), OutputConfig.overwrite),
        audio=_or(options.get("audio"), OutputConfig.audio),
        subs=_or(options.get("subs"), OutputConfig.subs),
        chapters=_or(options.get("chapters"), OutputConfig.chapters),
        attachments=_or(options.get("attachments"), OutputConfig.attachments),
        metadata=_or(options.get("metadata"), OutputConfig.metadata),
        low_delay=bool(options.get("live")),
        strict_copy=_or(options.get("strict_copy"), OutputConfig.strict_copy),
        verify=_or(options.get("verify"), OutputConfig.verify),
    )


def _target_size(options: Options) -> TargetSize | None:
    size = parse_target_size(options.get("size"), options.get("height"))
    if size is not None and (scale := options.get("scale")) is not None:
        raise ConfigError(
            f"`{size.text}` and `--scale {scale}` contradict each other",
            why="each says how large the target is",
            hint="give one of them, to `vsr upscale`",
        )
    return size


def _as_path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _find_model(name: str | Path | None) -> Path | None:
    """The file of a model; None leaves it to the pipeline.

    Raises:
        WeightsError: no model is called so.
    """
    from vsr_cli.models.files import find_weights

    return None if name is None else find_weights(str(name))


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
