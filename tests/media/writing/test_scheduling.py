"""An encoder computes beside what else the machine does, not before it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeClip

if not hasattr(os, "sched_setscheduler"):
    pytest.skip("only Linux has such scheduling", allow_module_level=True)

# SVT-AV1 as it is, then as it is opened here; in processes of their own, which may turn real-time.
PLAIN = """
import os
from fractions import Fraction
from av.codec import CodecContext
context = CodecContext.create("libsvtav1", "w")
context.height = context.width = 64
context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
context.open()
print(os.sched_getscheduler(0))
"""
OURS = """
import os, sys
from pathlib import Path
from tests.media.writers import open_writer
from vsr_cli.config import OutputConfig
from vsr_cli.events import ignore
from vsr_cli.media.reading.reader import probe
from vsr_cli.media.writing.encoder_trial import why_not
source, target = map(Path, sys.argv[1:])
assert why_not("libsvtav1") is None
print(os.sched_getscheduler(0))
before = len(list(Path("/proc/self/task").iterdir()))
with open_writer(
    target, probe(source), (48, 64), OutputConfig(), source=source, report=ignore
) as writer:
    assert writer.plan.coding.codec == "libsvtav1"
    threads = [int(path.name) for path in Path("/proc/self/task").iterdir()]
    assert len(threads) > before, "the encoder has no threads"
    print(*{os.sched_getscheduler(thread) for thread in threads})
"""


def run(program: str, *arguments: Path) -> list[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("policy", [os.SCHED_OTHER, os.SCHED_BATCH])
def test_no_thread_of_an_encoder_becomes_real_time(
    tmp_path: Path, make_clip: MakeClip, policy: int
) -> None:
    if run(PLAIN) != [str(os.SCHED_FIFO)]:
        pytest.skip("this encoder, or this user, does not make threads real-time")
    source = make_clip(tmp_path / "in.mp4")
    usual = os.sched_getscheduler(0)
    os.sched_setscheduler(0, policy, os.sched_param(0))  # which a new process inherits
    try:
        found = run(OURS, source, tmp_path / "out.webm")
    finally:
        os.sched_setscheduler(0, usual, os.sched_param(0))
    assert found == [str(policy), str(policy)]
