"""Writes `docs/start.md`: the first five minutes, as they went when this was run.

python -m docs.make_start
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vsr_cli.cli.demo_clip import render_scene, write_small_clip

TARGET = Path(__file__).with_name("start.md")
ROOT = Path(__file__).resolve().parents[1]

PAGE = """\
# The first five minutes

<!-- Written by `python -m docs.make_start`, which runs these commands. -->

[Install](install.md) it, and see that it is there:

{version}

Look at a piece of what you have before you wait for the whole. The page that this writes opens in a
browser: drag the line between before and after.

{preview}

Then all of it. Without a name, the target lies beside the source, named by its size. Press Ctrl-C
whenever you need the machine: what is done is kept.

{stopped}

The same command goes on where it was:

{resumed}

And see what it has made of it:

{compare}

On a terminal a bar shows what lines with the time of day say here. If something is missing,
`vsr doctor` tells what. [Recipes](recipes.md) come next.
"""


def main() -> None:
    """Run everything, and write the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_small_clip(folder / "phone.mp4", list(render_scene()))
        page = PAGE.format(
            version=transcript("vsr --version", folder),
            preview=transcript("vsr preview phone.mp4 --seconds 0.3", folder),
            stopped=transcript("vsr upscale phone.mp4", folder, stop=True),
            resumed=transcript("vsr upscale phone.mp4", folder),
            compare=transcript("vsr compare phone.mp4 phone_360p.mp4 -o phone.html", folder),
        )
    TARGET.write_text(page, encoding="utf-8")


def transcript(command: str, folder: Path, *, stop: bool = False) -> str:
    """A command and what it said, as a block; with `stop`, Ctrl-C when some frames are kept."""
    program = [sys.executable, "-m", "vsr_cli", *shlex.split(command)[1:]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    with subprocess.Popen(
        program,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        if stop:
            wait_for_frames(folder, process)
            process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
    if process.returncode not in ((130,) if stop else (0,)):
        raise SystemExit(f"{command}: {process.returncode}\n{said}")
    lines = [f"$ {command}", *said.splitlines()]
    if stop:
        at = next(i for i, line in enumerate(lines) if line.startswith("stopping"))
        lines.insert(at, "^C")
    return "\n".join(f"    {re.sub(re.escape(str(folder)) + '/?', '', line)}" for line in lines)


def wait_for_frames(folder: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until a job has written frames.

    Raises:
        SystemExit: it ends before.
    """
    while not any(path.stat().st_size for path in folder.glob("*.vsr-job/chunk*")):
        if process.poll() is not None:
            raise SystemExit("the job ended before it could be stopped")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
