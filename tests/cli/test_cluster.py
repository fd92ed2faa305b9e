"""`--ray` and `--workers` as they are typed."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.networks import write_tiny_weights
from tests.pipeline.units.clips import digest, write_shots
from vsr_cli.cli.app import app
from vsr_cli.cli.plan_text import plan_lines
from vsr_cli.errors import DeviceError
from vsr_cli.events import Plan
from vsr_cli.pipeline.cluster.connection import _require_answer

FAST = ["--device", "cpu", "--dtype", "float32", "--scale", "2", "--steps", "1", "--audio", "none"]


def vsr(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_without_the_package_one_is_told_how_to_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "ray" else real(name, *rest),
    )
    (tmp_path / "in.mp4").touch()
    upscale = ["upscale", str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4")]
    for command in (upscale, ["batch", str(tmp_path), "-o", str(tmp_path / "up")]):
        result = vsr(*command, "--ray", "auto")
        assert result.exit_code == 2
        assert "pip install 'vsr-cli[cluster]'" in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ray", "here"], "no address"),
        (["--ray", "ray://host:10001"], "no address"),
        (["--ray", "auto", "--shard", "1/2"], "contradict"),
        (["--mixed"], "add `--ray auto`"),
        (["--ray", "auto", "--workers", "0"], "out of range"),
    ],
)
def test_what_makes_no_sense_with_a_cluster_is_refused(words: list[str], said: str) -> None:
    result = vsr("upscale", "in.mp4", "out.mp4", *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_batch_takes_no_shard() -> None:
    assert vsr("batch", "in.mp4", "-o", "up", "--shard", "1/2").exit_code == 2


def test_a_plan_tells_units_workers_and_the_time_of_devices() -> None:
    plan = Plan(
        source="in.mkv",
        target="out.mkv",
        source_size=(48, 64),
        target_size=(96, 128),
        num_frames=100,
        codec="libx264",
        pix_fmt="yuv420p",
        reasons=(),
        seconds=95.0,
        workers=8,
        units=312,
        device_seconds=7200.0,
    )
    assert "312 units for 8 workers, 2:00:00 of devices" in plan_lines(plan)


@pytest.mark.slow
def test_the_package_loads_only_when_asked_for(tmp_path: Path) -> None:
    source = write_shots(tmp_path / "in.mkv", (50, 52))
    model = write_tiny_weights(tmp_path / "tiny.safetensors")
    words = ["upscale", str(source), str(tmp_path / "out.mp4"), "--workers", "2"]
    words += ["--dry-run", "--model", str(model), *FAST]
    code = f"""
import sys
from vsr_cli.cli.app import app
app({words!r}, standalone_mode=False)
assert "torch" in sys.modules
assert "ray" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    source = write_shots(tmp_path / "in.mkv", (50, 52))
    model = write_tiny_weights(tmp_path / "tiny.safetensors")
    words = ["upscale", str(source), str(tmp_path / "out.mp4"), "--model", str(model), *FAST]
    result = vsr(*words, "--ray", "127.0.0.1:9")
    assert result.exit_code == 6
    assert "nobody answers at `127.0.0.1:9`" in result.stderr
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.slow
def test_a_batch_shares_each_of_its_videos(tmp_path: Path) -> None:
    folder = tmp_path / "tapes"
    folder.mkdir()
    for name in ("a.mkv", "b.mkv"):
        write_shots(folder / name, (50, 52))
    model = write_tiny_weights(tmp_path / "tiny.safetensors")
    options = ["--name", "{stem}.mp4", "--model", str(model), *FAST]
    assert vsr("batch", folder, "-o", tmp_path / "one", *options).exit_code == 0
    result = vsr("batch", folder, "-o", tmp_path / "two", *options, "--workers", "2", "--json")
    assert result.exit_code == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    units = [(e["file_index"], e["index"]) for e in events if e["type"] == "unit"]
    assert set(units) == {(1, 0), (1, 1), (2, 0), (2, 1)}
    for name in ("a.mp4", "b.mp4"):
        assert digest(tmp_path / "one" / name) == digest(tmp_path / "two" / name)


@pytest.mark.parametrize("address", ["..:80", "local", "127.0.0.1:99999"])
def test_an_address_that_cannot_be_one_is_told_in_a_line(address: str) -> None:
    with pytest.raises(DeviceError, match="nobody answers at") as refused:
        _require_answer(address)
    assert refused.value.exit_code == 6
