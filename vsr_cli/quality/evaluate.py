"""Restorers compared on a folder of true clips, degraded in ways that never change."""

import json
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Protocol

import torch
from torch import Tensor

from vsr_cli.errors import InputError
from vsr_cli.events import Progress, Report, ignore
from vsr_cli.media.reader import probe, read_frames
from vsr_cli.models.flow import DisFlow
from vsr_cli.ops.resize import crop, resize
from vsr_cli.ops.yuv import to_rgb
from vsr_cli.quality import metrics
from vsr_cli.quality.degrade import SCALE, Degradation, Level
from vsr_cli.quality.metrics import Lpips
from vsr_cli.quality.sheets import compare_clips, save_picture

_SUFFIXES = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".ts")
_MEAN = "mean"
_HEAD = (
    *("degradation", "clip", "restorer", "PSNR-Y", "SSIM"),
    *("LPIPS", "tLPIPS", "tOF", "warp (truth)", "s/frame"),
)


class Restorer(Protocol):
    """Anything that makes a clip four times as large."""

    def __call__(self, lr_frames: Tensor, /) -> Tensor:
        """(T, 3, h, w) in [-1, 1] -> (T, 3, 4 h, 4 w)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Row:
    """The figures of one restorer on one clip; see `metrics` for their meaning."""

    degradation: Level
    clip: str  # or "mean"
    restorer: str
    psnr: float  # dB, of BT.601 luma
    ssim: float
    lpips: float | None  # None: no network was given
    tlpips: float | None
    tof: float  # pixels
    warping_error: float
    true_warping_error: float  # of the truth itself
    seconds: float  # per frame


@dataclass(frozen=True, kw_only=True)
class Table:
    """All rows of one evaluation."""

    rows: tuple[Row, ...]

    def means(self) -> tuple[Row, ...]:
        """One row for each degradation and restorer, over the clips."""
        keys = dict.fromkeys((row.degradation, row.restorer) for row in self.rows)
        return tuple(
            _mean([row for row in self.rows if (row.degradation, row.restorer) == key])
            for key in keys
        )

    def markdown(self) -> str:
        """The means, then every clip, as tables a person reads."""
        return "\n".join([*_table(self.means()), "", *_table(self.rows), ""])

    def json(self) -> str:
        """The means and every clip for programs."""
        parts = {"means": self.means(), "clips": self.rows}
        return json.dumps(
            {name: [asdict(row) for row in rows] for name, rows in parts.items()}, indent=1
        )


def evaluate(
    folder: Path,
    restorers: Mapping[str, Restorer],
    degradations: Sequence[Level],
    *,
    lpips: Lpips | None = None,
    num_frames: int = 12,
    seed: int = 0,
    pictures: Path | None = None,
    report: Report = ignore,
) -> Table:
    """Degrade the clips of a folder, restore them, and measure.

    What a clip is degraded to depends on its name, the level and the seed alone, so tables of
    different days can be compared.

    Args:
        folder: true clips; the first `num_frames` of each are used, cut to multiples of 4.
        restorers: under the names they get in the table.
        degradations: levels.
        lpips: for the two perceptual columns.
        num_frames: 2 or more.
        seed: of the degradation.
        pictures: a folder for one side-by-side sheet of each clip and level: the restorers in
            their order, then the truth.
        report: hears about each finished restoration.

    Raises:
        InputError: if the folder holds no video or one cannot be read.
        ValueError: if a restorer returns another size than it must.
    """
    sources = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not sources:
        raise InputError(f"`{folder}` holds no videos", hint="give a folder of true clips")
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    started = time.monotonic()
    total = len(sources) * len(degradations) * len(restorers)
    for source in sources:
        judge = _Judge(read_clip(source, num_frames), lpips)
        for level in degradations:
            lr_frames = degrade_named(judge.hr_frames, source.stem, level, seed)
            clips: list[Tensor] = []
            for name, restorer in restorers.items():
                begun = time.monotonic()
                sr_frames = to_codes(restorer(lr_frames))
                seconds = (time.monotonic() - begun) / len(sr_frames)
                rows.append(judge.row(sr_frames, level, source.stem, name, seconds))
                clips.append(sr_frames)
                elapsed = time.monotonic() - started
                report(
                    Progress(
                        stage=f"{name}, {level}, {source.stem}",
                        frame=len(rows) * num_frames,
                        num_frames=total * num_frames,
                        seconds=elapsed,
                    )
                )
            if pictures:
                sheet = compare_clips([*clips, judge.hr_frames])
                save_picture(pictures / f"{source.stem}_{level}.png", sheet)
    return Table(rows=tuple(rows))


def read_clip(source: Path, num_frames: int) -> Tensor:
    """The first frames of a video, (T, 3, H, W) in [-1, 1], cut to multiples of 4.

    Raises:
        InputError: if it cannot be read, or holds fewer than two frames.
    """
    frames = list(islice(_read_rgb(source), num_frames))
    if len(frames) < 2:
        raise InputError(f"`{source.name}` holds fewer than two frames", hint="leave it out")
    height, width = frames[0].shape[-2:]
    return crop(torch.stack(frames), (height // SCALE * SCALE, width // SCALE * SCALE))


def _read_rgb(source: Path) -> Iterator[Tensor]:
    for frame in read_frames(source, probe(source), report=ignore):
        planes = [torch.from_numpy(plane) for plane in frame.planes]
        yield to_rgb(planes, frame.layout, frame.color)


def degrade_named(hr_frames: Tensor, name: str, level: Level, seed: int) -> Tensor:
    """Degrade a clip under a seed made from its name."""
    return Degradation(level)(hr_frames, zlib.crc32(f"{name}/{level}/{seed}".encode()))


def to_codes(frames: Tensor) -> Tensor:
    """Clip to [-1, 1] and round as 8-bit video does."""
    return ((frames.float().cpu().clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def bicubic(lr_frames: Tensor) -> Tensor:
    """The `Restorer` everything has to beat."""
    height, width = lr_frames.shape[-2:]
    return resize(lr_frames, (height * SCALE, width * SCALE))


def lanczos(lr_frames: Tensor) -> Tensor:
    """Lanczos resampling with three lobes, a `Restorer`."""
    height, width = lr_frames.shape[-2:]
    rows, columns = _lanczos_matrix(height), _lanczos_matrix(width)
    return rows @ lr_frames.float().cpu() @ columns.T


def _lanczos_matrix(size: int) -> Tensor:
    """Weights of every old sample in every new one, (4 size, size); edges are repeated."""
    places = (torch.arange(size * SCALE) + 0.5) / SCALE - 0.5
    first = places.floor().long() - 2
    matrix = torch.zeros(size * SCALE, size)
    for tap in range(6):
        distance = places - (first + tap)
        weight = torch.sinc(distance) * torch.sinc(distance / 3)
        matrix.scatter_add_(1, (first + tap).clamp(0, size - 1)[:, None], weight[:, None])
    return matrix / matrix.sum(dim=1, keepdim=True)


class _Judge:
    """Measures against one truth, whose motion is estimated once."""

    def __init__(self, hr_frames: Tensor, lpips: Lpips | None) -> None:
        self.hr_frames = hr_frames
        self.lpips = lpips
        self.flow = DisFlow()
        self.flow_forward, self.visible = metrics.motion_of(hr_frames, self.flow)
        self.true_warping_error = self._warping_error(hr_frames)

    def row(self, sr_frames: Tensor, level: Level, clip: str, restorer: str, seconds: float) -> Row:
        hr_frames, lpips = self.hr_frames, self.lpips
        return Row(
            degradation=level,
            clip=clip,
            restorer=restorer,
            psnr=metrics.psnr_y(sr_frames, hr_frames),
            ssim=metrics.ssim(sr_frames, hr_frames),
            lpips=float(lpips(sr_frames, hr_frames).mean()) if lpips else None,
            tlpips=metrics.tlpips(sr_frames, hr_frames, lpips) if lpips else None,
            tof=metrics.tof(sr_frames, hr_frames, self.flow),
            warping_error=self._warping_error(sr_frames),
            true_warping_error=self.true_warping_error,
            seconds=seconds,
        )

    def _warping_error(self, frames: Tensor) -> float:
        return metrics.warping_error(frames, self.flow_forward, self.visible)


def _mean(rows: Sequence[Row]) -> Row:
    lpips = [row.lpips for row in rows if row.lpips is not None]
    change = [row.tlpips for row in rows if row.tlpips is not None]
    return Row(
        degradation=rows[0].degradation,
        clip=_MEAN,
        restorer=rows[0].restorer,
        psnr=fmean(row.psnr for row in rows),
        ssim=fmean(row.ssim for row in rows),
        lpips=fmean(lpips) if lpips else None,
        tlpips=fmean(change) if change else None,
        tof=fmean(row.tof for row in rows),
        warping_error=fmean(row.warping_error for row in rows),
        true_warping_error=fmean(row.true_warping_error for row in rows),
        seconds=fmean(row.seconds for row in rows),
    )


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [f"| {' | '.join(_HEAD)} |", "|" + "---|" * len(_HEAD)]
    for row in rows:
        cells = (
            row.degradation,
            row.clip,
            row.restorer,
            f"{row.psnr:.2f}",
            f"{row.ssim:.4f}",
            _cell(row.lpips, 4),
            _cell(row.tlpips, 2),
            f"{row.tof:.2f}",
            f"{row.warping_error:.2f} ({row.true_warping_error:.2f})",
            f"{row.seconds:.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
