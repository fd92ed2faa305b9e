"""Upscales a very long clip, and checks that memory does not grow.

    python -m tests.campaigns.soak [--frames 10000] [--units 500]

The largest resident set of the process at the end must be within 5 % of that after 500 frames. With
`--units` a clip of so many shots of 8 frames is shared by two workers, each shot a unit: the
largest resident set of the process that has them must then be within 5 % of that after 50 units.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.campaigns.common import Run, Table, frames_of, write_model
from tests.conftest import write_clip
from tests.pipeline.units.clips import write_shots

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = [
    "--model",
    "tiny.safetensors",
    "--device",
    "cpu",
    "--dtype",
    "float32",
    "--steps",
    "1",
    "--json",
]
EARLY = 500  # frames after which everything that is needed has been allocated
LIMIT = 1.05
SIZE = (24, 32)
EARLY_UNITS = 50
UNIT = 8  # frames
# `vsr` with shorter units than it would ever make.
SHORT_UNITS = f"""
import sys
from vsr_cli.pipeline.resume import units
units.FEWEST_FRAMES = {UNIT}
from vsr_cli.cli.app import main
main()
"""


def peak(pid: int) -> int:
    """The largest resident set of a process so far, in kilobytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise ValueError("the system does not tell")


def soak_frames(folder: Path, num_frames: int, table: Table) -> bool:
    """Upscale one long shot; returns whether it has come to its end."""
    write_clip(folder / "in.mkv", num_frames=num_frames, size=SIZE, audio=["aac"])
    command = ["upscale", "in.mkv", "out.mkv", *OPTIONS]
    seen: dict[int, int] = {}
    marks = {EARLY, *range(1000, num_frames, 1000), num_frames}
    with Run(command, folder) as run:
        for frame in frames_of(run):
            if frame in marks:
                seen[frame] = peak(run.pid)
                add(table, f"{frame} frames", seen[frame], seen[EARLY])
        return run.wait() == 0 and max(seen) == num_frames


def soak_units(folder: Path, num_units: int, table: Table) -> bool:
    """Have two workers upscale many short shots; returns whether all were done."""
    write_shots(folder / "in.mkv", [UNIT] * num_units, size=(48, 64))
    words = ["upscale", "in.mkv", "out.mkv", *OPTIONS, "--workers", "2"]
    command = [sys.executable, "-c", SHORT_UNITS, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    seen: dict[int, int] = {}
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment
    ) as run:
        assert run.stdout is not None
        num_done = 0
        for line in run.stdout:
            event = json.loads(line)
            num_done += event["type"] == "unit" and event["state"] == "done"
            if num_done and num_done % EARLY_UNITS == 0 and num_done not in seen:
                seen[num_done] = peak(run.pid)
                add(table, f"{num_done} units", seen[num_done], seen[EARLY_UNITS])
    return run.returncode == 0 and num_done == num_units


def add(table: Table, what: str, now: int, early: int) -> None:
    """A line of the table."""
    growth = now / early
    table.add(what, f"{now / 1024:.1f} MB", f"{growth:.3f}", good=growth <= LIMIT)


def main() -> None:
    """Run the campaign and leave with 1 if memory has grown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=0)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vsr-soak-"))
    write_model(folder)
    table, started = Table((10, 12, 12)), time.monotonic()
    if arguments.units:
        is_whole = soak_units(folder, arguments.units, table)
    else:
        is_whole = soak_frames(folder, arguments.frames, table)
    shutil.rmtree(folder)
    how = "came to its end" if is_whole else "did not come to its end"
    sys.stdout.write(f"the job {how} after {time.monotonic() - started:.0f} s\n")
    sys.exit(0 if table.is_good and is_whole else 1)


if __name__ == "__main__":
    main()
