"""The log of a training run: a CSV for programs and its curves for people."""

import csv
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from vsr_cli.training import distributed

LOG, CURVES = "log.csv", "curves.png"
_HEAD = ("iteration", "seconds", "name", "value")
_PANEL = (320, 200)  # pixels, width and height
_COLUMNS = 3
_MARGIN = 24  # above and below the curve, for text


class Log:
    """Means of named values, one line of `log.csv` for each name and interval."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = defaultdict(int)
        folder.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        """Start a new log."""
        with (self.folder / LOG).open("w", newline="") as file:
            csv.writer(file).writerow(_HEAD)

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Count one iteration; nothing waits for a GPU here."""
        for name, value in values.items():
            known = self.sums.get(name)
            now = value.detach().float()
            self.sums[name] = now if known is None else known + now
            self.counts[name] += 1

    def write(self, iteration: int, seconds: float) -> None:
        """Write the means since the last call."""
        if distributed.rank() == 0:
            if not (self.folder / LOG).exists():  # a state that was brought without its log
                self.clear()
            with (self.folder / LOG).open("a", newline="") as file:
                for name, total in self.sums.items():
                    mean = float(total) / self.counts[name]
                    csv.writer(file).writerow((iteration, f"{seconds:.0f}", name, f"{mean:.6g}"))
        self.sums.clear()
        self.counts.clear()

    def draw(self) -> None:
        """Draw one panel for each name into `curves.png`."""
        curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
        with (self.folder / LOG).open(newline="") as file:
            for row in csv.DictReader(file):
                curves[row["name"]].append((float(row["iteration"]), float(row["value"])))
        if curves:
            draw_curves(curves).save(self.folder / CURVES)


def draw_curves(curves: Mapping[str, list[tuple[float, float]]]) -> Image.Image:
    """One small panel for each curve of (x, y) points, each on its own scale."""
    width, height = _PANEL
    rows = math.ceil(len(curves) / _COLUMNS)
    picture = Image.new("RGB", (width * _COLUMNS, height * rows), "white")
    for number, (name, points) in enumerate(curves.items()):
        place = (number % _COLUMNS * width, number // _COLUMNS * height)
        picture.paste(_draw_panel(name, points), place)
    return picture


def _draw_panel(name: str, points: list[tuple[float, float]]) -> Image.Image:
    width, height = _PANEL
    panel = Image.new("RGB", _PANEL, "white")
    pen = ImageDraw.Draw(panel)
    pen.rectangle((0, 0, width - 1, height - 1), outline="lightgrey")
    known = [(x, y) for x, y in points if math.isfinite(y)]
    if not known:
        pen.text((8, 6), f"{name}: never finite", fill="black")
        return panel
    low, high = min(y for _, y in known), max(y for _, y in known)
    last = known[-1][0]
    pen.text((8, 6), f"{name}: last {known[-1][1]:.4g}", fill="black")
    pen.text((8, height - 18), f"{low:.4g} to {high:.4g}, {last:.0f} iterations", fill="grey")
    across = (width - 16) / last
    up = (height - 2 * _MARGIN) / ((high - low) or 1)
    line = [(8 + across * x, height - _MARGIN - up * (y - low)) for x, y in known]
    if len(line) > 1:
        pen.line(line, fill="steelblue", width=2)
    return panel
