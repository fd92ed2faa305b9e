"""Filling and erasing on clips whose truth is known, beside what needs no motion."""

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vsr_cli.errors import ConfigError
from vsr_cli.events import Progress, Report, ignore
from vsr_cli.pipeline.repair.erase import Erase
from vsr_cli.pipeline.repair.fill import Fill
from vsr_cli.pipeline.repair.given_masks import GivenMasks
from vsr_cli.pipeline.repair.stage import Entry
from vsr_cli.quality.cases import find_clips
from vsr_cli.quality.clips import Footage, read_footage
from vsr_cli.quality.holes import (
    GAPS,
    HOLES,
    HoleFigures,
    as_frames,
    as_rgb,
    cut_out,
    draw_holes,
    from_neighbours,
    from_rim,
    info_like,
    lost_indices,
    measure_holes,
)
from vsr_cli.quality.metrics import Lpips
from vsr_cli.quality.repair_table import RepairRow, RepairTable
from vsr_cli.repair_config import EraseConfig, FillConfig

if TYPE_CHECKING:
    from torch import Tensor

RepairTask = Literal["erase", "fill"]


@dataclass(frozen=True)
class _Method:
    """A name, and what gives frames (T, 3, H, W) and the share of the hole that was seen."""

    name: str
    run: "Callable[[], tuple[Tensor, float | None]]"


def evaluate_repairs(
    folder: Path,
    task: RepairTask,
    *,
    level: Sequence[str],
    num_frames: int,
    seed: int,
    lpips_weights: Path | None,
    report: Report,
) -> RepairTable:
    """Take parts or frames out of clips, put them back, and measure.

    Args:
        folder: of the clips.
        task: `erase` for holes in frames, `fill` for missing frames.
        level: which cases; empty: all of the task.
        num_frames: taken from each clip, of its middle 384x288 pixels.
        seed: of where dirt is, with the clip's name.
        lpips_weights: for one more column.
        report: hears about each result.

    Raises:
        ConfigError: the task has no such case.
        InputError: a clip cannot be read.
    """
    cases = _choose(task, level)
    lpips = Lpips(lpips_weights) if lpips_weights else None
    clips, rows = find_clips(folder), list[RepairRow]()
    started = time.monotonic()
    for number, source in enumerate(clips):
        footage = read_footage(source, num_frames)
        truth = cut_out(footage.frames.float())
        for case in cases:
            named_seed = zlib.crc32(f"{source.stem}/{case}/{seed}".encode())
            holes, methods = _prepare(task, case, footage, truth, named_seed)
            for method in methods:
                begun = time.monotonic()
                found, seen = method.run()
                seconds = (time.monotonic() - begun) / len(truth)
                figures = measure_holes(found, truth, holes, lpips)
                rows.append(_row(case, source.stem, method.name, figures, seen, seconds))
        report(
            Progress(
                stage=f"{task}, {source.stem}",
                frame=number + 1,
                num_frames=len(clips),
                seconds=time.monotonic() - started,
                unit="clips",
            )
        )
    return RepairTable(rows=tuple(rows))


def _choose(task: RepairTask, level: Sequence[str]) -> list[str]:
    known = [str(name) for name in (HOLES if task == "erase" else GAPS)]
    for name in level:
        if name not in known:
            raise ConfigError(
                f"`--level {name}` is no case of `--task {task}`", hint="use " + ", ".join(known)
            )
    return list(dict.fromkeys(level)) or known


def _prepare(
    task: RepairTask, case: str, footage: Footage, truth: "Tensor", seed: int
) -> "tuple[Tensor, list[_Method]]":
    """Masks of what is missing, and the methods that are compared."""
    if task == "erase":
        (kind,) = (name for name in HOLES if name == case)
        holes = draw_holes(kind, len(truth), (truth.shape[-2], truth.shape[-1]), seed)
        damaged = truth * (1 - holes) - holes  # black, so that nothing of it leaks
        return holes, [
            _Method("source", lambda: (damaged, None)),
            _Method("telea", lambda: (from_rim(damaged, holes, method="telea"), None)),
            _Method("ns", lambda: (from_rim(damaged, holes, method="ns"), None)),
            _Method("vsr", partial(_erase, footage, damaged, holes)),
        ]
    (gap,) = (name for name in GAPS if name == case)
    lost = lost_indices(gap, len(truth))
    holes = truth[:, :1] * 0
    holes[lost] = 1
    return holes, [
        _Method("copy", lambda: (from_neighbours(truth, lost, blended=False), None)),
        _Method("blend", lambda: (from_neighbours(truth, lost, blended=True), None)),
        _Method("vsr", partial(_fill, footage, truth, lost)),
    ]


def _erase(footage: Footage, damaged: "Tensor", holes: "Tensor") -> "tuple[Tensor, float | None]":
    config = EraseConfig(mask=footage.source, grow=0, feather=0, reach=len(damaged))
    masks = GivenMasks([hole[0].numpy() > 0 for hole in holes])
    stage = Erase(config, info_like(footage.info, damaged), masks, ignore, scene_cut=False)
    found = as_rgb(list(stage.run(iter(as_frames(damaged)), Entry())))
    return found, 1 - stage.share_unseen


def _fill(footage: Footage, frames: "Tensor", lost: Sequence[int]) -> "tuple[Tensor, float | None]":
    config = FillConfig(find=(), frames=tuple((index, index) for index in lost))
    stage = Fill(config, info_like(footage.info, frames), ignore, scene_cut=False)
    black = frames.clone()
    black[list(lost)] = -1
    found = as_rgb(list(stage.run(iter(as_frames(black)), Entry())))
    return found, stage.counts["made"] / max(len(lost), 1)


def _row(
    case: str, clip: str, method: str, figures: HoleFigures, seen: float | None, seconds: float
) -> RepairRow:
    return RepairRow(
        case=case, clip=clip, method=method, seen=seen, seconds=seconds, **asdict(figures)
    )
