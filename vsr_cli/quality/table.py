"""The figures of an evaluation, for people and for programs."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean

_MEAN = "mean"
_HEAD = (
    *("degradation", "clip", "restorer", "PSNR-Y", "SSIM"),
    *("LPIPS", "lattice (truth)", "drift", "tLPIPS", "tOF", "warp (truth)", "s/frame"),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a result was made; None where it has no meaning, or where it differs between clips."""

    frames: int | None = None
    seed: int | None = None  # of degradation and noise
    scale: int | None = None  # of the truth to the input
    steps: int | None = None
    latents: str | None = None  # in the place of the sampler's
    motion_scale: float | None = None
    guidance: str | None = None
    fidelity: float | None = None
    color: str | None = None
    memory: str | None = None
    flow: str | None = None
    model: str | None = None  # name of the file
    model_sha256: str | None = None
    device: str | None = None
    dtype: str | None = None
    amount: float | None = None  # of sharpening
    folder: str | None = None  # of another tool's results


@dataclass(frozen=True, kw_only=True)
class Row:
    """The figures of one restorer on one clip; see `metrics` for their meaning."""

    degradation: str
    clip: str  # or "mean"
    restorer: str
    psnr: float  # dB, of BT.601 luma
    ssim: float
    lpips: float | None  # None: no network was given
    lattice: float | None  # dB, of 4 pixels; None: frames are too small
    true_lattice: float | None  # of the truth itself
    drift: float | None  # of LPIPS
    tlpips: float | None
    tof: float  # pixels
    warping_error: float
    true_warping_error: float  # of the truth itself
    seconds: float | None  # per frame; None: made elsewhere
    settings: Settings


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
        """The means and every clip for programs; settings that have no meaning are left out."""
        parts = {"means": self.means(), "clips": self.rows}
        return json.dumps(
            {name: [_as_json(row) for row in rows] for name, rows in parts.items()}, indent=1
        )


def _as_json(row: Row) -> dict[str, object]:
    settings = {name: value for name, value in asdict(row.settings).items() if value is not None}
    return {**asdict(row), "settings": settings}


def _mean(rows: Sequence[Row]) -> Row:
    return Row(
        degradation=rows[0].degradation,
        clip=_MEAN,
        restorer=rows[0].restorer,
        psnr=fmean(row.psnr for row in rows),
        ssim=fmean(row.ssim for row in rows),
        lpips=_mean_known(row.lpips for row in rows),
        lattice=_mean_known(row.lattice for row in rows),
        true_lattice=_mean_known(row.true_lattice for row in rows),
        drift=_mean_known(row.drift for row in rows),
        tlpips=_mean_known(row.tlpips for row in rows),
        tof=fmean(row.tof for row in rows),
        warping_error=fmean(row.warping_error for row in rows),
        true_warping_error=fmean(row.true_warping_error for row in rows),
        seconds=_mean_known(row.seconds for row in rows),
        settings=_shared([row.settings for row in rows]),
    )


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _shared(settings: Sequence[Settings]) -> Settings:
    """What all have in common."""
    values = {field.name: {getattr(s, field.name) for s in settings} for field in fields(Settings)}
    return Settings(**{name: found.pop() for name, found in values.items() if len(found) == 1})


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
            f"{_cell(row.lattice, 1)} ({_cell(row.true_lattice, 1)})",
            _cell(row.drift, 4),
            _cell(row.tlpips, 2),
            f"{row.tof:.2f}",
            f"{row.warping_error:.2f} ({row.true_warping_error:.2f})",
            _cell(row.seconds, 3),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
