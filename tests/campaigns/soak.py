"""Upscales a very long clip, and checks that memory does not grow.

    python -m tests.campaigns.soak [--frames 10000]

The largest resident set of the process at the end must be within 5 % of that after 500 frames.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.campaigns.common import Run, Table, frames_of, write_model
from tests.conftest import write_clip

EARLY = 500  # frames after which everything that is needed has been allocated
LIMIT = 1.05
SIZE = (24, 32)


def peak(pid: int) -> int:
    """The largest resident set of a process so far, in kilobytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise ValueError("the system does not tell")


def main() -> None:
    """Run the campaign and leave with 1 if memory has grown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=10_000)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vsr-soak-"))
    write_model(folder)
    write_clip(folder / "in.mkv", num_frames=arguments.frames, size=SIZE, audio=["aac"])
    options = "--model tiny.safetensors --device cpu --dtype float32 --steps 1 --json"
    command = ["upscale", "in.mkv", "out.mkv", *options.split()]
    table, started = Table((10, 12, 12)), time.monotonic()
    seen: dict[int, int] = {}
    marks = {EARLY, *range(1000, arguments.frames, 1000), arguments.frames}
    with Run(command, folder) as run:
        for frame in frames_of(run):
            if frame in marks:
                seen[frame] = peak(run.pid)
                growth = seen[frame] / seen[EARLY]
                memory = f"{seen[frame] / 1024:.1f} MB"
                table.add(f"{frame} frames", memory, f"{growth:.3f}", good=growth <= LIMIT)
        code = run.wait()
    shutil.rmtree(folder)
    seconds = time.monotonic() - started
    sys.stdout.write(f"exit {code} after {max(seen)} frames, {seconds:.0f} s\n")
    is_good = table.is_good and code == 0 and max(seen) == arguments.frames
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
