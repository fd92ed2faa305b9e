"""One HTML file that shows pictures of several videos at the same instant, and asks no one else.

The script is in the file, and the policy allows it alone, by its digest; videos and pictures are in
the file, too.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

from vsr_cli.viewing.drawing import heat_map
from vsr_cli.viewing.measure import UNITS, Measures, Metric

MEGABYTE = 1_000_000
_MOST_POINTS = 1500  # of a curve
_CURVE_COLORS = ("#6cb2ff", "#ffb454", "#8fdc8a", "#f28fb5")
_BLINK = 500  # milliseconds


@dataclass(frozen=True, kw_only=True)
class StackedVideo:
    """All pictures of an instant in cells of one frame of an MP4.

    data: the file.
    cell: (width, height) of a cell, in pixels.
    columns: how many cells stand side by side.
    starts: when each frame is shown as the file is played, in seconds, and when the last one ends.
    """

    data: bytes
    cell: tuple[int, int]
    columns: int
    starts: Sequence[float]


Stills = Sequence[Sequence[bytes]]  # PNG files, of each instant one for each video


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a page shows.

    title: its heading.
    names: of the videos.
    captions: the same, and how each was enlarged.
    size: (height, width) of the pictures.
    times: of each instant in the first video, in seconds.
    labels: of each instant, what is said before its time; empty: nothing.
    media: the pictures.
    length: seconds of the first video.
    gain: by which differences are multiplied at first.
    measures: curves under the pictures; None: none.
    table: what is said of the videos; the first row is its head.
    notes: sentences under it.
    """

    title: str
    names: Sequence[str]
    captions: Sequence[str]
    size: tuple[int, int]
    times: Sequence[float]
    media: StackedVideo | Stills
    length: float
    gain: float
    labels: Sequence[str] = ()
    measures: Measures | None = None
    table: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def write_page(page: Page) -> str:
    """The whole of the file."""
    script = (resources.files("vsr_cli.viewing") / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; media-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    media = page.media
    stills: list[list[str]] = []
    if not isinstance(media, StackedVideo):
        stills = [[_base64(png) for png in row] for row in media]
    parts = {
        "POLICY": policy,
        "TITLE": html.escape(_safe(page.title)),
        "CURVES": _curves(page),
        "TABLE": _table(page.table),
        "NOTES": "".join(f"<p>{html.escape(_safe(note))}</p>" for note in page.notes),
        "DATA": _json(_data_of(page)),
        "STILLS": _json(stills),
        "VIDEO": _base64(media.data) if isinstance(media, StackedVideo) else "",
        "SCRIPT": f"\n{script}",
    }
    template = (resources.files("vsr_cli.viewing") / "page.html").read_text(encoding="utf-8")
    return re.sub(r"%([A-Z]+)%", lambda found: parts[found[1]], template)


def _data_of(page: Page) -> dict[str, object]:
    """What the script reads."""
    media = page.media
    is_video = isinstance(media, StackedVideo)
    return {
        "kind": "video" if is_video else "stills",
        "names": [_safe(name) for name in page.names],
        "captions": [_safe(caption) for caption in page.captions],
        "size": page.size[::-1],
        "cell": media.cell if isinstance(media, StackedVideo) else page.size[::-1],
        "columns": media.columns if isinstance(media, StackedVideo) else 1,
        "starts": [round(t, 6) for t in media.starts] if isinstance(media, StackedVideo) else [],
        "times": [round(time, 6) for time in page.times],
        "labels": [_safe(label) for label in page.labels],
        "length": round(page.length, 6),
        "gain": page.gain,
        "every": _BLINK,
        "heat": [[*color, 255] for color in heat_map().tolist()],
    }


def _curves(page: Page) -> str:
    """A figure for each metric, one line for each video."""
    measures = page.measures
    if measures is None or len(measures.times) < 2 or not page.length:
        return ""
    return "".join(_figure(page, measures, metric) for metric in measures.metrics)


def _figure(page: Page, measures: Measures, metric: Metric) -> str:
    values = {n: measures.values[n, m] for n, m in measures.values if m == metric}
    low = min(min(line) for line in values.values())
    high = max(max(line) for line in values.values())
    span = (high - low) or 1.0
    lines, legend = [], []
    for place, (number, line) in enumerate(values.items()):
        color = _CURVE_COLORS[place % len(_CURVE_COLORS)]
        points = " ".join(
            f"{1000 * time / page.length:.1f},{100 - 100 * (value - low) / span:.1f}"
            for time, value in _thinned(measures.times, line)
        )
        lines.append(f'<polyline points="{points}" stroke="{color}"/>')
        mean = sum(line) / len(line)
        name = html.escape(_safe(page.names[number]))
        legend.append(f'<span><i style="background:{color}"></i>{name}, mean {mean:.4g}</span>')
    title = html.escape(f"{UNITS[metric]} against {_safe(page.names[measures.reference])}")
    return (
        f"<figure><figcaption><b>{title}</b>{''.join(legend)}</figcaption>"
        f'<div class="plot" role="img" aria-label="{title}, from {low:.4g} to {high:.4g}">'
        f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none">{"".join(lines)}</svg>'
        "<u></u></div>"
        f'<div class="ends"><span>{low:.4g} to {high:.4g}</span>'
        f"<span>{page.length:.2f} s</span></div></figure>"
    )


def _thinned(times: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """As many points as can be seen, each the lowest or highest of those around it in turn."""
    step = -(-len(times) // _MOST_POINTS)
    if step == 1:
        return list(zip(times, values, strict=True))
    found = []
    for number, start in enumerate(range(0, len(times), step)):
        choose = max if number % 2 else min
        places = range(start, min(start + step, len(times)))
        place = choose(places, key=lambda index: values[index])
        found.append((times[place], values[place]))
    return found


def _table(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head, *body = [[html.escape(_safe(cell)) for cell in row] for row in rows]
    first = "".join(f"<th>{cell}</th>" for cell in head)
    lines = "".join(
        f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for name, *cells in body
    )
    return f"<table><thead><tr>{first}</tr></thead><tbody>{lines}</tbody></table>"


def _safe(text: str) -> str:
    """Text as it may be shown: what would begin a new line or turn the writing is spelt out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _json(value: object) -> str:
    """JSON that ends no script, whatever is in it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
