"""Writes the table of `docs/cluster.md`: how long a film takes more and more workers, on paper.

    python -m docs.make_scaling

Nothing is measured here. Six figures are assumed, and are named in the page; the rest is how units
are made and handed out, as the program does it.
"""

import heapq
import random
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr_cli.pipeline.cluster.dispatch import WINDOW
from vsr_cli.pipeline.resume.units import starts_unit
from vsr_cli.pipeline.units.glances import WARM_UP
from vsr_cli.pipeline.units.scan import WORTHWHILE

TARGET = Path(__file__).parent / "cluster.md"
BEGIN, END = "<!-- written by docs/make_scaling.py -->\n", "<!-- end -->\n"
COUNTS = (1, 8, 32, 100, 320, 1000)
SPLIT = 240  # frames


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What is not known before a job, in seconds and frames.

    shots: mean and deviation of the logarithm of a shot's length, in frames.
    """

    num_frames: int = 2 * 3600 * 24
    shots: tuple[float, float] = (4.4, 0.85)
    start: float = 25.0  # seconds until workers have loaded
    index: float = 10_000.0  # frames a second, of which packets are read
    scan: float = 150.0  # frames a second, by each process
    frame: float = 0.010  # seconds that a worker takes for one
    join: tuple[float, float] = (8000.0, 10.0)  # frames a second, and seconds beside


GPU, CPU = Assumptions(), Assumptions(frame=0.6)


def draw_shots(assumed: Assumptions) -> list[int]:
    """Draw the lengths of the shots of a film, in frames; the same ones each time."""
    generator, lengths = random.Random(0), list[int]()
    while sum(lengths) < assumed.num_frames:
        lengths.append(min(max(int(generator.lognormvariate(*assumed.shots)), 8), 4000))
    lengths[-1] -= sum(lengths) - assumed.num_frames
    return lengths


def find_costs(shots: Sequence[int], split: int = 0) -> list[int]:
    """Make units of shots as the scan does; returns the frames that each has computed.

    Args:
        shots: lengths, in frames.
        split: frames after which a unit is closed within a shot; 0: never.
    """
    costs: list[int] = []
    start = entry = frame = 0  # of the unit: the first frame, the first computed, and the next one
    for length in shots:
        shot = frame
        if frame and starts_unit(frame, start):
            costs.append(frame - entry)
            start = entry = frame
        frame += length
        while split and frame - start > split:
            costs.append(start + split - entry)
            start += split
            entry = max(start - WARM_UP, shot)
    costs.append(frame - entry)
    return costs


def spread(costs: Sequence[int], num_workers: int) -> int:
    """Frames of the worker that has most, where the longest of the next units goes first."""
    loads, waiting = [0] * num_workers, list(costs)
    while waiting:
        index = max(range(min(WINDOW, len(waiting))), key=waiting.__getitem__)
        heapq.heapreplace(loads, loads[0] + waiting.pop(index))
    return max(loads)


def total_seconds(assumed: Assumptions, costs: Sequence[int], num_workers: int) -> float:
    """Seconds from the start to the target."""
    frames_a_second, beside = assumed.join
    num_frames = assumed.num_frames
    num_scanners = min(num_workers, num_frames // WORTHWHILE)
    scan = num_frames / assumed.scan / num_scanners
    scan += num_frames / assumed.index if num_scanners > 1 else 0
    join = num_frames / frames_a_second + beside
    return assumed.start + scan + assumed.frame * spread(costs, num_workers) + join


def scaling_text() -> str:
    """The table, with what it assumes."""
    shots = draw_shots(GPU)
    ways = (find_costs(shots), find_costs(shots, SPLIT))
    rows = []
    for count in COUNTS:
        cells = []
        for assumed in (GPU, CPU):
            for costs in ways:
                seconds = total_seconds(assumed, costs, count)
                cells.append(f"{_time(seconds)} ({_times(assumed, ways[0], seconds)})")
        rows.append(f"| {count:,} | {' | '.join(cells)} |")
    return "\n".join([_head(shots, *map(len, ways)), *rows, "", _foot()])


def _head(shots: Sequence[int], num_units: int, num_split: int) -> str:
    film = f"{GPU.num_frames:,} frames in {len(shots):,} shots of up to {max(shots):,}"
    text = f"""
        On paper, from the command to the target, and how many times as fast as one worker: a film
        of two hours, {film}; {num_units:,} units, or {num_split:,} with `--split {SPLIT}`.
    """
    table = "| workers | GPU, shots | GPU, split | CPU, shots | CPU, split |\n|---|---|---|---|---|"
    return f"{_wrapped(text)}\n\n{table}"


def _foot() -> str:
    mean, deviation = GPU.shots
    serial = GPU.num_frames / GPU.index + GPU.num_frames / GPU.join[0] + GPU.join[1] + GPU.start
    alone = GPU.num_frames / GPU.scan / 60
    frames_a_second, beside = GPU.join
    text = f"""
        None of this was measured on a cluster; six figures are assumed. Workers have loaded after
        {GPU.start:g} s; one process reads packets of {GPU.index:,.0f} frames a second, and then
        each worker scans {GPU.scan:g} frames a second, but no more than one of them for each
        {WORTHWHILE:,} frames;
        a frame takes a GPU {GPU.frame:g} s, and a worker of two cores {CPU.frame:g} s;
        shots are log-normal (mean {mean:g} and deviation {deviation:g} of the logarithm of frames);
        the join does {frames_a_second:,.0f} frames a second, and takes {beside:g} s beside. What
        one process does alone, {serial:.0f} s with the start, is what bounds one film on GPUs, and
        the longest shot on many CPUs. A source that has to be scanned by one process takes
        {alone:.0f} minutes for that alone.
    """
    return f"{_wrapped(text)}\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), width=100, break_on_hyphens=False)


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 2 * 3600 else f"{seconds / 60:.1f} min"


def _times(assumed: Assumptions, costs: Sequence[int], seconds: float) -> str:
    """How many times as fast as one worker."""
    return f"x{total_seconds(assumed, costs, 1) / seconds:.0f}"


def page() -> str:
    """The page with the table as it comes out now."""
    text = TARGET.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{scaling_text()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
