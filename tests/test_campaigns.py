"""A few seconds of each campaign; the whole of them is `make faults`, `fuzz`, `mutants`, `soak`."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaigns.containers import KINDS, Kind, write_file
from tests.campaigns.mutants import MutationError, is_good, misfits, run_mutations, score
from tests.campaigns.mutate import MUTATIONS as DAMAGES
from tests.campaigns.mutate import mutate
from tests.campaigns.mutations import MUTATIONS, Mutation
from tests.campaigns.structures import READERS

ROOT = Path(__file__).resolve().parents[1]

# In a process of its own: campaigns fork, which threads of other tests would not survive.
FAULTS = """
import signal, sys
from pathlib import Path
from tests.campaigns import disturbances, field as fields
from tests.campaigns.common import Table
table = Table((18, 52, 28))
field = fields.prepare(Path(sys.argv[1]), 0, table, codecs=["ffv1"])
disturbances.signal_at(field, "ffv1", signal.SIGKILL)
disturbances.signal_at(field, "ffv1", signal.SIGINT)
disturbances.scarce_memory(field, "ffv1")
sys.exit(0 if table.is_good else 1)
"""
GROUND = """
import sys
from pathlib import Path
from tests.campaigns import ground, power, rot
from tests.campaigns.common import Table
table = Table((18, 52, 28))
small = ground.prepare_ground(Path(sys.argv[1]), 0, table)
power.cut_power(small, 8)
power.kill_everywhere(small, 4)
rot.flip_bits(small, 9)
sys.exit(0 if table.is_good else 1)
"""
FUZZ = """
import random, sys
from pathlib import Path
from tests.campaigns import fuzz
from tests.campaigns.common import write_model
folder = Path(sys.argv[1])
write_model(folder)
for kind in fuzz.KINDS:
    source = random.Random(kind.name)
    num_upscales = int(kind.name in ("mp4", "png"))
    for case in fuzz.fuzz(folder, kind, num_reads=10, num_upscales=num_upscales, source=source):
        print(kind.name, case.damage, case.outcomes)
        assert case.is_documented
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(FAULTS, id="faults", marks=pytest.mark.slow),
        pytest.param(GROUND, id="power", marks=pytest.mark.slow),
        pytest.param(FUZZ, id="fuzz", marks=pytest.mark.slow),
    ],
)
def test_a_part_of_a_campaign_goes_well(tmp_path: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_container_has_numbers_and_every_kind_of_damage_changes_it(
    tmp_path: Path, kind: Kind
) -> None:
    data = write_file(kind, tmp_path).read_bytes()
    structure = READERS[kind.structure](data)
    assert len(structure.numbers) > 10
    assert len(structure.parts) > 2
    source, changed = random.Random(0), set[str]()
    for _ in range(150):
        damage, mutated = mutate(data, structure, kind.structure, data[::-1], source)
        changed |= {damage} if mutated != data else set()
    assert changed >= set(DAMAGES)


def test_every_mutation_fits_the_program_as_it_is() -> None:
    assert misfits(MUTATIONS) == []
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
    assert {
        test for mutation in MUTATIONS for test in mutation.tests if not (ROOT / test).exists()
    } == set()


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """A program of one line, and a test that looks at a half of it."""
    for folder in ("vsr_cli", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "vsr_cli/sums.py").write_text("def add(a, b):\n    return a + b + 0\n")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    (tmp_path / "tests/test_sums.py").write_text(
        "from vsr_cli.sums import add\n\ndef test_add():\n    assert add(2, 3) == 5\n"
    )
    return tmp_path


def change(name: str, old: str, new: str) -> Mutation:
    return Mutation(name, "vsr_cli/sums.py", old, new, ("tests/test_sums.py",))


@pytest.mark.slow
def test_mutants_are_killed_survive_or_are_broken_and_the_checkout_stays_as_it_is(
    small_tree: Path,
) -> None:
    before = (small_tree / "vsr_cli/sums.py").read_bytes()
    mutations = [
        change("times", "a + b", "a * b"),
        change("unseen", "+ 0", "- 0"),
        change("nonsense", "return", "retrun"),
    ]
    results = list(run_mutations(mutations, small_tree))
    verdicts = [result.verdict for result in results]
    assert verdicts == ["killed", "survived", "broken"]
    assert score(results) == 1 / 3
    assert not is_good(results)
    assert not is_good([*[results[0]] * 20, results[2]])
    assert is_good([*[results[0]] * 17, *[results[1]] * 3])
    assert not is_good([*[results[0]] * 16, *[results[1]] * 3])
    assert (small_tree / "vsr_cli/sums.py").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "says"), [("a - b", "0 times"), ("a", "3 times"), ("+ 0", "changes nothing")]
)
def test_a_mutation_that_does_not_fit_the_program_is_an_error(
    small_tree: Path, old: str, says: str
) -> None:
    with pytest.raises(MutationError, match=says):
        next(run_mutations([change("x", old, "+ 0")], small_tree))


@pytest.mark.slow
@pytest.mark.slow
def test_tests_that_fail_without_a_mutation_measure_nothing(small_tree: Path) -> None:
    (small_tree / "tests/test_sums.py").write_text("def test_it():\n    assert 0\n")
    with pytest.raises(MutationError, match="fail without any mutation"):
        next(run_mutations([change("x", "a + b", "a * b")], small_tree))
