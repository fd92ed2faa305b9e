"""How much memory is free, within every limit that was set."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vsr_cli.pipeline import memory
from vsr_cli.pipeline.memory import counted_once, free_memory, memory_budget

CPU = torch.device("cpu")
GB = 10**9


def write_group(folder: Path, names: tuple[str, str], most: object, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (most, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"cache 7\ninactive_file {cached}\n")


@pytest.mark.parametrize("version", [1, 2])
def test_the_narrowest_group_around_a_process_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    names = ("memory.max", "memory.current")
    root, line = tmp_path, "0::/job/step"
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        root, line = tmp_path / "memory", "4:cpu,memory:/job/step"
    write_group(root / "job/step", names, 900 * GB, 0, 0)
    write_group(root / "job", names, 3 * GB, 2 * GB, GB // 2)
    write_group(root, names, "max", 5 * GB, 0)
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    read_text = Path.read_text

    def read(path: Path) -> str:
        return f"1:pids:/\n{line}\n" if str(path) == "/proc/self/cgroup" else read_text(path)

    monkeypatch.setattr(Path, "read_text", read)
    assert free_memory(CPU) == 3 * GB // 2


def test_memory_that_was_counted_stays_free_until_the_end_of_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: dict[str, int] = {}
    monkeypatch.setattr(memory, "_available_memory", lambda: 2 * GB)
    monkeypatch.setattr(memory, "_left_in_groups", lambda: ())
    with counted_once(counted):
        assert free_memory(CPU) == 2 * GB
    monkeypatch.setattr(memory, "_available_memory", lambda: GB)
    assert free_memory(CPU) == GB
    with counted_once(counted):
        assert free_memory(CPU) == 2 * GB


@pytest.mark.slow
def test_a_limit_of_the_shell_counts() -> None:
    script = (
        "import resource, torch; from vsr_cli.pipeline.memory import free_memory;"
        "resource.setrlimit(resource.RLIMIT_DATA, (3 * 10**9,) * 2);"
        "print(free_memory(torch.device('cpu')))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 0 < int(run.stdout) < 3 * GB


def test_where_more_is_taken_than_allowed_nothing_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_left_in_groups", lambda: iter([-GB]))
    assert free_memory(CPU) == 0


def test_what_runs_beside_networks_may_leave_them_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr_cli.pipeline.memory.free_memory", lambda device: 10 * GB)
    assert memory_budget(CPU, 2 * GB) == (int(0.85 * 8 * GB), 10 * GB)
    assert memory_budget(CPU, 12 * GB) == (0, 10 * GB)
    assert memory_budget(torch.device("cuda"), 12 * GB) == (int(0.85 * 10 * GB), 10 * GB)
