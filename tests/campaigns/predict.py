"""Holds what is predicted of a job against what it takes.

    python -m tests.campaigns.predict VIDEO... [--scale 2] [--duration 3]

Of each video the first seconds are enlarged. `vsr preview` predicts time and size by a few samples;
the plan of `vsr upscale` predicts time, as for the first job on a machine, and memory. Prints a
table for people, in Markdown: what came of it, and each prediction as a share of that.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.campaigns.sizes import print_row, run

COLUMNS = ("video", "frames", "s", "preview's", "plan's", "MB", "preview's", "GB", "plan's", "exit")


def main() -> None:
    """Run the campaign and leave with 1 if a job has failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--scale", default="2")
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of each")
    arguments = parser.parse_args()
    print_row(*COLUMNS)
    print_row(*["---"] * len(COLUMNS))
    codes = [_hold(video, arguments.scale, arguments.duration) for video in arguments.videos]
    sys.exit(1 if any(codes) else 0)


def _hold(video: Path, scale: str, duration: float) -> int:
    """One row of the table; returns the exit code of the job."""
    words = [sys.executable, "-m", "vsr_cli"]
    options = ["--scale", scale, "-t", f"{duration:g}", "--device", "cpu", "-y", "--json"]
    with tempfile.TemporaryDirectory(prefix="vsr-predictions-") as name:
        folder = Path(name)
        # Two caches: nobody has to know from the preview how fast this machine is.
        caches = [{**os.environ, "VSR_CACHE_DIR": str(folder / each)} for each in ("one", "two")]
        source = str(video.absolute())
        told = subprocess.run(
            [*words, "preview", source, "page.html", *options],
            cwd=folder,
            env=caches[0],
            capture_output=True,
            check=True,
        ).stdout
        preview = _last(told, "prediction")
        outcome = run(folder, [*words, "upscale", source, "out.mkv", *options], env=caches[1])
    if outcome.code:
        print_row(video.name, *["-"] * (len(COLUMNS) - 2), outcome.code)
        return outcome.code
    done = _last(outcome.events, "done")
    seconds, num_bytes = float(str(done["seconds"])), int(str(done["num_bytes"]))
    print_row(
        *(video.name, done["frames_out"], f"{seconds:.0f}"),
        *(_ratio(preview["seconds"], seconds), _ratio(outcome.plan.get("seconds"), seconds)),
        *(f"{num_bytes / 1e6:.2f}", _ratio(preview["bytes"], num_bytes)),
        f"{outcome.peak_gb:.2f}",
        _ratio(outcome.plan.get("memory_gb"), outcome.peak_gb),
        outcome.code,
    )
    return outcome.code


def _last(events: bytes, kind: str) -> dict[str, object]:
    """The last event of a kind."""
    found = [json.loads(line) for line in events.splitlines()]
    return [event for event in found if event["type"] == kind][-1]


def _ratio(predicted: object, measured: float) -> str:
    return f"{float(predicted) / measured:.2f}" if isinstance(predicted, float | int) else "-"


if __name__ == "__main__":
    main()
