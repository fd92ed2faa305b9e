"""How far videos are from one of them, frame by frame."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vsr_cli.errors import ConfigError
from vsr_cli.events import Note, Report
from vsr_cli.quality.metrics import Lpips, psnr, ssim
from vsr_cli.viewing.footage import Picture
from vsr_cli.viewing.xpsnr import LEAST_SIDE, Xpsnr, has_xpsnr

Metric = Literal["psnr", "ssim", "xpsnr", "lpips"]
METRICS: tuple[Metric, ...] = ("psnr", "ssim", "xpsnr", "lpips")
UNITS: Mapping[Metric, str] = {
    **{"psnr": "PSNR in dB", "ssim": "SSIM"},
    **{"xpsnr": "XPSNR in dB", "lpips": "LPIPS"},
}
_LEAST_SIDE: Mapping[Metric, int] = {  # pixels
    **{"psnr": 1, "ssim": 11, "xpsnr": LEAST_SIDE, "lpips": 32},
}


@dataclass
class Measures:
    """What was measured; one figure of each metric, video and frame.

    names: of all videos.
    reference: which of them the others are held against.
    metrics: which.
    times: of each frame, in seconds.
    values: by number of the video and metric, one for each frame; none of the reference.
    """

    names: Sequence[str]
    reference: int
    metrics: Sequence[Metric]
    times: list[float] = field(default_factory=list)
    values: dict[tuple[int, Metric], list[float]] = field(default_factory=dict)

    def means(self) -> dict[str, dict[str, float]]:
        """The mean over all frames, by name and metric."""
        found: dict[str, dict[str, float]] = {}
        for (number, metric), values in self.values.items():
            name = self.names[number]
            found.setdefault(name, {})[metric] = round(sum(values) / max(1, len(values)), 4)
        return found

    def as_csv(self) -> str:
        """One row for each frame, one column for each video and metric."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        keys = list(self.values)
        rows.writerow(["frame", "time", *(f"{self.names[n]} {metric}" for n, metric in keys)])
        for index, time in enumerate(self.times):
            figures = [f"{self.values[key][index]:.5f}" for key in keys]
            rows.writerow([index, f"{time:.6f}", *figures])
        return text.getvalue()

    def as_json(self) -> str:
        """The same, and the means."""
        frames = [
            {
                "frame": index,
                "time": round(time, 6),
                "values": [
                    {
                        "name": self.names[number],
                        metric: round(self.values[number, metric][index], 5),
                    }
                    for number, metric in self.values
                ],
            }
            for index, time in enumerate(self.times)
        ]
        head = {"reference": self.names[self.reference], "means": self.means()}
        return json.dumps({**head, "frames": frames}, indent=1) + "\n"


class Meter:
    """Measures pictures as they come."""

    def __init__(
        self,
        names: Sequence[str],
        reference: int,
        metrics: Sequence[Metric],
        lpips_weights: Path | None,
        rate: Fraction,
    ) -> None:
        """Read the weights of LPIPS, if that is asked for.

        Args:
            names: of all videos.
            reference: number of the one that the others are held against.
            metrics: which.
            lpips_weights: for one of them.
            rate: frames per second, of the moments that come.

        Raises:
            WeightsError: they are missing, or no such weights.
        """
        self._lpips = None
        if "lpips" in metrics and lpips_weights is not None:
            self._lpips = Lpips(lpips_weights)
        self._rate, self._xpsnr = rate, dict[int, Xpsnr]()  # by number of the video
        self.measures = Measures(names, reference, metrics)

    def add(self, time: float, pictures: Sequence[Picture]) -> None:
        """Measure all pictures of a moment, of one size."""
        measures = self.measures
        measures.times.append(time)
        truth = _as_frames(pictures[measures.reference])
        for number, picture in enumerate(pictures):
            if number != measures.reference:
                frames = _as_frames(picture)
                for metric in measures.metrics:
                    if metric == "xpsnr":
                        value = self._measure_xpsnr(number, picture, pictures[measures.reference])
                    else:
                        value = self._measure(metric, frames, truth)
                    measures.values.setdefault((number, metric), []).append(value)

    def _measure(self, metric: Metric, frames: Tensor, truth: Tensor) -> float:
        if metric == "psnr":
            return psnr(frames, truth)
        if metric == "ssim":
            return ssim(frames, truth)
        assert self._lpips is not None
        return float(self._lpips(frames, truth)[0])

    def _measure_xpsnr(self, number: int, picture: Picture, truth: Picture) -> float:
        height, width, _ = picture.shape
        if number not in self._xpsnr:
            self._xpsnr[number] = Xpsnr((height, width), self._rate)
        return self._xpsnr[number](picture, truth)


def available_metrics(metrics: Sequence[Metric], report: Report) -> tuple[Metric, ...]:
    """Those that can be measured here; `report` is told of what cannot."""
    if "xpsnr" not in metrics or has_xpsnr():
        return tuple(metrics)
    text = "XPSNR is left out: the FFmpeg in use was built without its filter"
    report(Note(code="W_METRIC_LEFT_OUT", text=text))
    return tuple(metric for metric in metrics if metric != "xpsnr")


def parse_metrics(value: str | Iterable[str]) -> tuple[Metric, ...]:
    """Read names of metrics, such as `psnr,ssim`.

    Raises:
        ConfigError: there is no such metric.
    """
    names = value.split(",") if isinstance(value, str) else list(value)
    for name in names:
        if name not in METRICS:
            why = "it is not in the FFmpeg that comes with PyAV" if name == "vmaf" else None
            raise ConfigError(
                f"`--metrics {name}` is not known", why=why, hint="use psnr, ssim, xpsnr or lpips"
            )
    return tuple(metric for metric in METRICS if metric in names)


def require_measurable(
    metrics: Sequence[Metric], size: tuple[int, int], lpips_weights: Path | None
) -> None:
    """Refuse what cannot be measured.

    Args:
        metrics: that are asked for.
        size: (height, width) of what is measured.
        lpips_weights: for one of them.

    Raises:
        ConfigError: weights are missing, or pictures too small.
    """
    if "lpips" in metrics and lpips_weights is None:
        raise ConfigError("`--metrics lpips` needs weights", hint="give `--lpips-weights FILE`")
    for metric in metrics:
        if min(size) < _LEAST_SIDE[metric]:
            raise ConfigError(
                f"`--metrics {metric}` needs {_LEAST_SIDE[metric]} pixels a side",
                why=f"the pictures are {size[1]}x{size[0]}",
                hint="leave it out, or give a larger `--crop`",
            )


def _as_frames(picture: Picture) -> Tensor:
    """(H, W, 3) -> (1, 3, H, W) in [-1, 1]."""
    codes = torch.from_numpy(picture.copy()).permute(2, 0, 1)
    return codes.float()[None] / 127.5 - 1
