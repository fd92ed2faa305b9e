"""x264's output must not depend on what memory held before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeClip

ROOT = Path(__file__).resolve().parents[3]

WRITE_A_FILE = """
import hashlib
from pathlib import Path
import numpy as np
from vsr_cli.config import OutputConfig
from vsr_cli.events import ignore
from vsr_cli.media.reading.reader import probe, read_frames
from tests.media.writers import open_writer, write_planes
source, target = Path({source!r}), Path({target!r})
size = {size}
config = OutputConfig(overwrite=True, audio="none")
with open_writer(target, probe(source), size, config, source=source) as writer:
    for t, frame in enumerate(read_frames(source, report=ignore)):
        shapes = writer.plan.coding.layout.plane_shapes(*size)
        grids = [np.mgrid[:height, :width] for height, width in shapes]
        planes = tuple(((x * 3 + y * 5 + x * y * t) % 219 + 16).astype(np.uint8) for y, x in grids)
        write_planes(writer, frame, planes)
    writer.finish()
digest = hashlib.sha256()
for frame in read_frames(target, report=ignore):
    for plane in frame.planes:
        digest.update(plane.tobytes())
print(digest.hexdigest())
"""


def run(code: str, perturb: int) -> str:
    """Standard output of a program whose fresh and freed memory is filled with a pattern."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "MALLOC_PERTURB_": str(perturb)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


@pytest.mark.slow
def test_what_memory_held_before_does_not_change_a_target(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=12, size=(32, 48))
    target = tmp_path / "out.mp4"
    code = WRITE_A_FILE.format(source=str(source), target=str(target), size=(128, 192))
    assert len({run(code, perturb) for perturb in (1, 85, 255)}) == 1


ENCODE_TINY = """
import io
from fractions import Fraction
import av
from vsr_cli.config import OutputConfig
from vsr_cli.media.containers import Container
from vsr_cli.media.reading.reader import probe
from vsr_cli.media.writing.encoder_plan import plan_encoder
from pathlib import Path
info = probe(Path({source!r}))
for width in (16, 32, 34, 48, 50, 34, 48):
    size = (34, width)
    coding = plan_encoder(Container(name="matroska"), info, size, OutputConfig())
    assert coding.codec == "libx265"
    with av.open(io.BytesIO(), "w", format="matroska") as output:
        stream = output.add_stream(coding.codec, rate=25, options=dict(coding.options))
        stream.height, stream.width, stream.pix_fmt = *size, coding.pix_fmt
        for pts in range(4):
            picture = av.VideoFrame(width, 34, coding.pix_fmt)
            for plane in picture.planes:
                plane.update(bytes(plane.buffer_size))
            picture.pts = pts
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
print("whole")
"""


def test_x265_writes_nowhere_past_its_memory(tmp_path: Path, make_clip: MakeClip) -> None:
    """The C library is asked to look at each end of what is freed, where it can."""
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuv420p10le")
    done = subprocess.run(
        [sys.executable, "-c", ENCODE_TINY.format(source=str(source))],
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
