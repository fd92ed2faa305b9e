"""One clip made smaller and degraded, as a file of its own."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vsr_cli.counting import counted
from vsr_cli.errors import DeviceError, InputError
from vsr_cli.events import DegradationDrawn, Done, Note, Report
from vsr_cli.media.reading.reader import probe
from vsr_cli.ops.resize import crop
from vsr_cli.pipeline.memory import free_memory
from vsr_cli.pipeline.run_plan import choose_device
from vsr_cli.quality.clips import open_lossless, read_footage, write_all
from vsr_cli.quality.degrade import Degradation

if TYPE_CHECKING:
    from vsr_cli.media.frame import VideoInfo

Level = Literal["clean", "mild", "heavy", "mixed"]

SMALLEST_SIDE = 16  # pixels of the source
# Bytes at the peak for each pixel of the source and frame, the clip itself included; at scale 1,
# where it is most.
BYTES_PER_PIXEL = {"clean": 80, "mild": 180, "heavy": 260, "mixed": 260}


def degrade_clip(
    source: Path,
    target: Path,
    *,
    level: Level,
    scale: int,
    seed: int,
    num_frames: int,
    overwrite: bool,
    report: Report,
) -> Done:
    """Degrade a clip; see `vsr_cli.api.degrade` for the arguments and errors."""
    started = time.monotonic()
    info = probe(source)
    height, width = info.height // scale, info.width // scale
    if min(info.height, info.width) < SMALLEST_SIDE:
        raise InputError(
            f"`{source}` is too small to be degraded",
            why=f"it is {info.width}x{info.height}",
            hint=f"give a clip of {SMALLEST_SIDE} pixels a side or more",
        )
    with open_lossless(target, source, info, (height, width), overwrite=overwrite) as writer:
        _require_memory(info, num_frames, level)
        footage = read_footage(source, num_frames, report=report)
        if not footage.is_whole:
            text = "the source goes on: only the first "
            text += f"{counted(num_frames, 'frame is taken', 'frames are taken')}"
            report(Note(code="W_SOURCE_CUT", text=f"{text}, see `--frames`"))
        hr_frames = crop(footage.frames, (height * scale, width * scale))
        lr_frames, steps = Degradation(level, scale=scale).explained(hr_frames, seed)
        report(DegradationDrawn(level=level, scale=scale, seed=seed, steps=tuple(steps)))
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
    return done


def _require_memory(info: "VideoInfo", most: int, level: Level) -> None:
    """Refuse what would not fit: strengths drift along the clip, so all of it is held at once.

    Raises:
        DeviceError: the frames that will be read need more than is free.
    """
    known = info.num_frames
    if known is None and info.duration is not None:
        known = math.ceil(info.duration * info.rate)
    num_frames = most if known is None else min(most, known)
    free = free_memory(choose_device("cpu")[0])
    each = info.height * info.width * BYTES_PER_PIXEL[level]
    if num_frames * each > free:
        fit = free // each
        raise DeviceError(
            f"{counted(num_frames, 'frame does', 'frames do')} not fit into memory",
            why=f"they need about {num_frames * each / 1e9:.1f} GB, {free / 1e9:.1f} GB are free",
            hint=f"use `--frames {fit}`" if fit else "give a smaller clip",
        )
