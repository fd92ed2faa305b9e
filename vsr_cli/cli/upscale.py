"""`vsr upscale`: options become an `UpscaleConfig`, the pipeline does the work."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import typer

from vsr_cli.cli.console import (
    both,
    json_lines,
    progress_bar,
    say,
    say_json,
    show_debug_log,
    user_errors,
)
from vsr_cli.config import (
    ClipConfig,
    ColorFix,
    DtypeChoice,
    FlowChoice,
    OutputConfig,
    SamplerConfig,
    UpscaleConfig,
)
from vsr_cli.errors import ConfigError
from vsr_cli.events import Event, Notice

SOURCE_DAMAGED = 8  # exit code: finished, but the source was damaged or cut off
DAMAGE = {"W_INPUT_DAMAGED", "W_INPUT_TRUNCATED"}

EXAMPLES = """\b
Examples:
  vsr upscale in.mp4 out.mp4
  vsr upscale in.avi out.mkv --steps 50 --scale 2
  vsr upscale -n --json -- -odd-name.mov out.mp4
"""


def upscale(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Video to read.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Video to write.")],
    *,
    scale: Annotated[
        str,
        typer.Option(
            "--scale", "-s", metavar="N", help="Enlargement per side, 1 to 4, such as 1.5 or 3/2."
        ),
    ] = str(UpscaleConfig.scale),
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Denoising steps.", show_default="the model's own"),
    ] = SamplerConfig.steps,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Same seed, same video.")
    ] = SamplerConfig.seed,
    fidelity: Annotated[
        float, typer.Option(metavar="W", help="0 invents detail, 1 stays with the source.")
    ] = UpscaleConfig.fidelity,
    motion_scale: Annotated[
        float, typer.Option(metavar="X", help="Pull along the motion, 0 to 10; 0 is off.")
    ] = SamplerConfig.motion_scale,
    color: Annotated[
        ColorFix, typer.Option(help="How colours are brought back to the source's.")
    ] = UpscaleConfig.color,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights.", show_default="the shipped one")
    ] = UpscaleConfig.model,
    flow: Annotated[
        FlowChoice, typer.Option(help="Optical flow; `raft` needs `--flow-weights`.")
    ] = UpscaleConfig.flow,
    flow_weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="RAFT weights, a file of yours.")
    ] = UpscaleConfig.flow_weights,
    scene_cut: Annotated[
        bool, typer.Option(help="Start afresh at every cut.")
    ] = UpscaleConfig.scene_cut,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")
    ] = UpscaleConfig.device,
    dtype: Annotated[
        DtypeChoice,
        typer.Option("--dtype", "--precision", help="Number format of networks."),
    ] = UpscaleConfig.dtype,
    clip_length: Annotated[
        int, typer.Option(metavar="N", help="Frames computed together.")
    ] = ClipConfig.length,
    tile: Annotated[
        str, typer.Option(metavar="N", help="auto, off, or a size in output pixels.")
    ] = "auto",
    video_codec: Annotated[
        str | None,
        typer.Option(
            *("--vcodec", "-c:v"),
            metavar="NAME",
            help="Encoder, as FFmpeg names it.",
            show_default="fits target and source",
        ),
    ] = OutputConfig.video_codec,
    crf: Annotated[
        float | None,
        typer.Option(
            *("--crf", "-crf"),
            metavar="X",
            help="Lower is better and larger.",
            show_default="the encoder's",
        ),
    ] = OutputConfig.crf,
    preset: Annotated[
        str | None,
        typer.Option(
            *("--preset", "-preset"),
            metavar="NAME",
            help="The encoder's speed.",
            show_default="the encoder's",
        ),
    ] = OutputConfig.preset,
    pix_fmt: Annotated[
        str | None,
        typer.Option(
            *("--pix-fmt", "-pix_fmt"),
            metavar="NAME",
            help="Pixel format, as FFmpeg names it.",
            show_default="fits the source",
        ),
    ] = OutputConfig.pix_fmt,
    audio: Annotated[
        Literal["copy", "none"], typer.Option(help="What to do with sound.")
    ] = OutputConfig.audio,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace TARGET.")
    ] = OutputConfig.overwrite,
    skip_existing: Annotated[
        bool,
        typer.Option(*("--skip-existing", "-n"), help="Succeed if TARGET exists."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check and say, write nothing."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Events on stdout, as NDJSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only notes and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Upscale the video SOURCE and write it to TARGET, sound and timing kept."""
    with user_errors(verbose=verbose, as_json=as_json):
        if verbose:
            show_debug_log()
        config = UpscaleConfig(
            scale=parse_scale(scale),
            model=model,
            fidelity=fidelity,
            color=color,
            flow=flow,
            flow_weights=flow_weights,
            scene_cut=scene_cut,
            tile=parse_tile(tile),
            device=device,
            dtype=dtype,
            clip=ClipConfig(length=clip_length, overlap=min(ClipConfig.overlap, clip_length // 2)),
            sampler=SamplerConfig(steps=steps, seed=seed, motion_scale=motion_scale),
            output=OutputConfig(
                video_codec=video_codec,
                crf=crf,
                preset=preset,
                pix_fmt=pix_fmt,
                overwrite=overwrite,
                audio=audio,
            ),
        )
        _refuse_pipes(source, target)
        if skip_existing and overwrite:
            raise ConfigError("`-n` and `-y` contradict each other", hint="give one of them")
        if skip_existing and target.exists():
            _skip(target, quiet=quiet, as_json=as_json)
        elif dry_run:
            _show_plan(source, target, config, quiet=quiet, as_json=as_json)
        else:
            run(source, target, config, quiet=quiet, as_json=as_json)


def run(
    source: Path, target: Path, config: UpscaleConfig, *, quiet: bool, as_json: bool = False
) -> None:
    """Upscale one video and show how it goes.

    Raises:
        VsrError: whatever the pipeline refuses.
    """
    from vsr_cli.pipeline.upscale import upscale_video  # loads torch; keeps --help instant

    damage: list[Event] = []

    def notice_damage(event: Event) -> None:
        if isinstance(event, Notice) and event.code in DAMAGE:
            damage.append(event)

    with progress_bar(quiet=quiet) as show:
        report = both(both(show, json_lines) if as_json else show, notice_damage)
        done = upscale_video(source, target, config, report=report)
    report(done)
    if damage:
        raise typer.Exit(SOURCE_DAMAGED)


def parse_scale(text: str) -> Fraction:
    """`2`, `1.5` or `3/2`.

    Raises:
        ConfigError: it is no number.
    """
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            f"`--scale {text}` is not a number", hint="use 1 to 4, such as 2, 1.5 or 3/2"
        ) from error


def parse_tile(text: str) -> int | None:
    """`auto` leaves it to the memory, `off` is 0, a number is the size in output pixels.

    Raises:
        ConfigError: it is none of these.
    """
    if text == "auto":
        return None
    if text == "off":
        return 0
    if not text.isdecimal():
        raise ConfigError(
            f"`--tile {text}` is not a size", hint="use auto, off, or output pixels such as 512"
        )
    return int(text)


def _refuse_pipes(source: Path, target: Path) -> None:
    for name, role in ((source, "source"), (target, "target")):
        if str(name) == "-":
            raise ConfigError(
                f"the {role} cannot be a pipe",
                why="`-` stands for a pipe, and this version reads and writes files only",
                hint="give the name of a file",
            )


def _skip(target: Path, *, quiet: bool, as_json: bool) -> None:
    if not quiet:
        say(f"kept `{target}`: it exists")
    if as_json:
        say_json("skipped", {"out": target})


def _show_plan(
    source: Path, target: Path, config: UpscaleConfig, *, quiet: bool, as_json: bool
) -> None:
    """Check both ends of the job without loading a model: the encoder is opened, and let go.

    Raises:
        VsrError: the source cannot be read, or the target not be written.
    """
    from vsr_cli.media.reader import probe
    from vsr_cli.media.writer import VideoWriter, check_target

    info = probe(source)
    check_target(target, source, config.output)
    size = height, width = config.target_size(info.height, info.width)
    with progress_bar(quiet=quiet) as show:
        report = both(show, json_lines) if as_json else show
        with VideoWriter(target, info, size, config.output, source=source, report=report) as writer:
            codec, pix_fmt = writer.codec, writer.pix_fmt
    if not quiet:
        frames = "" if info.num_frames is None else f", {info.num_frames} frames"
        say(f"`{source}` {info.width}x{info.height}, {info.codec} {info.pix_fmt}{frames}")
        say(f"would write `{target}` {width}x{height}, {codec} {pix_fmt}")
        if info.color_reason:
            say(f"  {info.color_reason}")
    if as_json:
        values = {
            "source": source,
            "target": target,
            "source_size": (info.height, info.width),
            "target_size": (height, width),
            "num_frames": info.num_frames,
            "codec": codec,
            "pix_fmt": pix_fmt,
            "dry_run": True,
        }
        say_json("plan", values)
