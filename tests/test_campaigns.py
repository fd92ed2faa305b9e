"""A few seconds of each campaign; the whole of them is `make faults`, `make fuzz`, `make soak`."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# In a process of its own: campaigns fork, which threads of other tests would not survive.
FAULTS = """
import signal, sys
from pathlib import Path
from tests.campaigns import faults
from tests.campaigns.common import Table
table = Table((18, 52, 28))
field = faults.prepare(Path(sys.argv[1]), 0, table, codecs=["ffv1"])
faults.signal_at(field, "ffv1", signal.SIGKILL)
faults.signal_at(field, "ffv1", signal.SIGINT)
faults.scarce_memory(field, "ffv1")
sys.exit(0 if table.is_good else 1)
"""
FUZZ = """
import random, sys
from pathlib import Path
from tests.campaigns import fuzz
from tests.campaigns.common import write_model
folder = Path(sys.argv[1])
write_model(folder)
for name in ("mp4", "mkv"):
    source = random.Random(name)
    for found in fuzz.fuzz(folder, name, num_files=10, num_upscaled=1, source=source):
        print(name, found.kind, found.code, found.text)
        assert found.is_documented
"""


@pytest.mark.parametrize("script", [FAULTS, FUZZ], ids=["faults", "fuzz"])
def test_a_part_of_a_campaign_goes_well(tmp_path: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_of_mutation_changes_a_file() -> None:
    from tests.campaigns.fuzz import mutate

    source, data = random.Random(0), bytes(range(256)) * 8
    found = dict(mutate(data, data[::-1], source) for _ in range(200))
    assert len(found) == 7
    assert all(mutated != data for mutated in found.values())
