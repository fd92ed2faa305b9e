"""`vsr degrade`: the kind of small clip that users bring, made of a good one."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vsr_cli.cli.console import print_line
from vsr_cli.cli.damage import DamageWatch
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import report_as_json, write_event
from vsr_cli.cli.options import AsJson, WholeScale
from vsr_cli.cli.progress import progress_bar, tee
from vsr_cli.errors import DeviceError, InputError
from vsr_cli.events import Done, Note
from vsr_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from vsr_cli.media.frame import VideoInfo

Level = Literal["clean", "mild", "heavy", "mixed"]

MOST_FRAMES = 1000
SMALLEST_SIDE = 16  # pixels of the source
# Bytes at the peak for each pixel of the source and frame, the clip itself included; at scale 1,
# where it is most.
BYTES_PER_PIXEL = {"clean": 80, "mild": 180, "heavy": 260, "mixed": 260}


def degrade(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", readable=False, help="Video to read.")
    ],
    target: Annotated[
        Path, typer.Argument(readable=False, metavar="TARGET", help="Video to write, `.mkv`.")
    ],
    *,
    level: Annotated[
        Level,
        typer.Option(
            help="clean only shrinks; mild and heavy blur, add noise and compress; mixed draws one."
        ),
    ] = "mild",
    scale: Annotated[
        WholeScale,
        typer.Option(
            *("--scale", "-s"), metavar="1|2|4", help="How much smaller it becomes, per side."
        ),
    ] = "4",
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**63 - 1, help="Same seed, same clip.")
    ] = 0,
    num_frames: Annotated[
        int,
        typer.Option(
            "--frames", metavar="N", min=1, max=MOST_FRAMES, help="Taken from the start, at most."
        ),
    ] = 100,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace TARGET.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a smaller, degraded clip of SOURCE, without sound, and write it losslessly."""
    with report_failures(as_json=as_json):
        from vsr_cli.media.reading.reader import probe
        from vsr_cli.ops.resize import crop
        from vsr_cli.quality.clips import open_lossless, read_footage, write_all
        from vsr_cli.quality.degrade import Degradation

        started = time.monotonic()
        damage = DamageWatch()
        info = probe(source)
        factor = int(scale)
        height, width = info.height // factor, info.width // factor
        if min(info.height, info.width) < SMALLEST_SIDE:
            raise InputError(
                f"`{source}` is too small to be degraded",
                why=f"it is {info.width}x{info.height}",
                hint=f"give a clip of {SMALLEST_SIDE} pixels a side or more",
            )
        with progress_bar(quiet=False) as render:
            report = tee(tee(render, report_as_json) if as_json else render, damage)
            with open_lossless(
                target, source, info, (height, width), overwrite=overwrite
            ) as writer:
                _require_memory(info, num_frames, level)
                footage = read_footage(source, num_frames, report=report)
                if not footage.is_whole:
                    text = f"the source goes on: only its first {num_frames} frames are taken"
                    report(Note(code="W_SOURCE_CUT", text=f"{text}, see `--frames`"))
                print_line(f"degrading {len(footage.frames)} frames of {info.width}x{info.height}")
                hr_frames = crop(footage.frames, (height * factor, width * factor))
                lr_frames, lines = Degradation(level, scale=factor).explained(hr_frames, seed)
                for line in (f"seed {seed}, {lines[0]}", *lines[1:]):
                    print_line(line)
                if as_json:
                    drawn = {"level": level, "scale": factor, "seed": seed, "steps": lines}
                    write_event("degradation", drawn)
                write_all(writer, footage.headers, lr_frames)
        done = Done(
            target=target,
            frames_in=len(hr_frames),
            frames_out=len(lr_frames),
            width=width,
            height=height,
            seconds=time.monotonic() - started,
        )
        report(done)
        if damage.has_damage:
            raise typer.Exit(ExitCode.SOURCE_DAMAGED)


def _require_memory(info: "VideoInfo", most: int, level: Level) -> None:
    """Refuse what would not fit: strengths drift along the clip, so all of it is held at once.

    Raises:
        DeviceError: the frames that will be read need more than is free.
    """
    from vsr_cli.pipeline.memory import free_memory
    from vsr_cli.pipeline.run_plan import choose_device

    known = info.num_frames
    if known is None and info.duration is not None:
        known = math.ceil(info.duration * info.rate)
    num_frames = most if known is None else min(most, known)
    free = free_memory(choose_device("cpu")[0])
    each = info.height * info.width * BYTES_PER_PIXEL[level]
    if num_frames * each > free:
        fit = free // each
        raise DeviceError(
            f"{num_frames} frames do not fit into memory",
            why=f"they need about {num_frames * each / 1e9:.1f} GB, {free / 1e9:.1f} GB are free",
            hint=f"use `--frames {fit}`" if fit else "give a smaller clip",
        )
