"""The figures of filling and erasing, for people and for programs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

_HEAD = ("case", "clip", "method", "PSNR", "LPIPS", "flicker", "seen", "s/frame")
_MEAN = "mean"


@dataclass(frozen=True, kw_only=True)
class RepairRow:
    """The figures of one method on one case; see `HoleFigures`.

    seen: share of the hole that other frames show; None where that has no meaning.
    seconds: per frame.
    """

    case: str
    clip: str  # or "mean"
    method: str
    psnr: float
    lpips: float | None
    flicker: float | None
    seen: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RepairTable:
    """All rows of one evaluation."""

    rows: tuple[RepairRow, ...]

    def means(self) -> tuple[RepairRow, ...]:
        """One row for each case and method, over the clips."""
        keys = dict.fromkeys((row.case, row.method) for row in self.rows)
        groups = [[row for row in self.rows if (row.case, row.method) == key] for key in keys]
        return tuple(_mean(rows) for rows in groups)

    def markdown(self) -> str:
        """The means, then every clip, as tables a person reads."""
        return "\n".join([*_table(self.means()), "", *_table(self.rows), ""])

    def json(self) -> str:
        """The means and every clip for programs."""
        parts = {"means": self.means(), "clips": self.rows}
        return json.dumps({name: [asdict(row) for row in rows] for name, rows in parts.items()})


def _mean(rows: Sequence[RepairRow]) -> RepairRow:
    def mean(values: Iterator[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return fmean(known) if known else None

    return RepairRow(
        case=rows[0].case,
        clip=_MEAN,
        method=rows[0].method,
        psnr=fmean(row.psnr for row in rows),
        lpips=mean(row.lpips for row in rows),
        flicker=mean(row.flicker for row in rows),
        seen=mean(row.seen for row in rows),
        seconds=fmean(row.seconds for row in rows),
    )


def _table(rows: Sequence[RepairRow]) -> list[str]:
    lines = [f"| {' | '.join(_HEAD)} |", "|" + "---|" * len(_HEAD)]
    for row in rows:
        cells = (
            *(row.case, row.clip, row.method, f"{row.psnr:.2f}"),
            "-" if row.lpips is None else f"{row.lpips:.4f}",
            "-" if row.flicker is None else f"{row.flicker:.1f}",
            "-" if row.seen is None else f"{row.seen:.0%}",
            f"{row.seconds:.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines
