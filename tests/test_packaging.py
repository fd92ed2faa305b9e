"""What is installed is the whole program, and what is said of it is true."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.weights
def test_a_wheel_holds_every_module_the_mark_of_types_and_the_weights(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    listed = ["vsr_cli", "weights", "pyproject.toml", "README.md", "LICENSE", "docs"]
    source.mkdir()
    for name in listed:  # a link to each, for building leaves files beside them
        (source / name).symlink_to(ROOT / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "vsr_cli").rglob("*.py")}
    weights = {f"vsr_cli/_weights/{n}" for n in ("small.safetensors", "SHA256SUMS", "README.md")}
    pages = {f"vsr_cli/viewing/page.{suffix}" for suffix in ("html", "js")}
    assert modules | weights | pages | {"vsr_cli/py.typed"} <= names
    manual = {name for name in names if name.endswith(".data/data/share/man/man1/vsr.1")}
    assert len(manual) == 1
    others = {name for name in names if not re.match(r"vsr_cli(/|-.*\.dist-info/)", name)}
    assert others == manual


def test_versions_of_python_are_the_same_wherever_they_are_told() -> None:
    project = PYPROJECT["project"]
    told = [
        name.rsplit(" ", 1)[1] for name in project["classifiers"] if re.search(r":: 3\.\d+$", name)
    ]
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    (matrix,) = re.findall(r"python-version: \[(.*)\]", workflow)
    assert re.findall(r"[\d.]+", matrix) == told
    assert project["requires-python"] == f">={told[0]}"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == told[0]
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{told[0].replace('.', '')}"


def test_the_workflow_runs_targets_of_the_makefile_alone() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"- run: (.*)", workflow)
    targets = [command.removeprefix("make ") for command in commands]
    assert sorted(targets) == ["check", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
