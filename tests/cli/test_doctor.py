"""The command that looks at the machine says what is wrong, and what mends it."""

import getpass
import json
import re
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import vsr_cli
from tests.networks import write_tiny_weights
from vsr_cli.cli.app import app
from vsr_cli.errors import DeviceError
from vsr_cli.events import Finding
from vsr_cli.media.reading.decoders import missing_decoders
from vsr_cli.models import files
from vsr_cli.pipeline import doctor as examination
from vsr_cli.pipeline import doctor_trial


def run_doctor(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--quick", *arguments])


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file in the place of the shipped weights, with a digest that is right."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    path = folder / files.SHIPPED
    path.write_bytes(b"weights")
    files.record_digest(path)
    monkeypatch.setattr(files, "weights_dir", lambda: folder)
    monkeypatch.setenv("VSR_WEIGHTS_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("VSR_CACHE_DIR", str(tmp_path / "cache"))
    return path


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.state for finding in findings}


def test_all_that_jobs_need_is_looked_at_without_a_network_and_nothing_is_left(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    before = sorted(tmp_path.rglob("*"))
    found = states(vsr_cli.doctor(quick=True))
    assert {"vsr", "Python", "torch", "PyAV", "OpenCV", "cpu", "plan", "cache"} <= set(found)
    assert {"weights small", "encoder libx264", "encoder ffv1", "temporary files"} <= set(found)
    assert {"encoder prores_ks", "decoders", "renaming", "clock"} <= set(found)
    assert "job" not in found
    assert "fail" not in found.values()
    assert sorted(tmp_path.rglob("*")) == before


def test_people_get_a_line_for_each_and_programs_an_event(weights: Path) -> None:
    shown = run_doctor()
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert f"ok    vsr: {vsr_cli.__version__}\n" in shown.stdout
    assert "ok    terminal: none" in shown.stdout
    events = [json.loads(line) for line in run_doctor("--json").stdout.splitlines()]
    assert {event["type"] for event in events} == {"finding"}
    assert len(events) == sum(line[:1] != " " for line in shown.stdout.splitlines())


def test_damaged_weights_are_a_failure_that_the_exit_code_tells(weights: Path) -> None:
    weights.write_bytes(b"other weights")
    shown = run_doctor()
    assert shown.exit_code == 1
    assert "fail  weights small: " in shown.stdout
    assert "is damaged" in shown.stdout
    assert "hint: reinstall vsr" in shown.stdout


def test_missing_weights_are_a_failure(weights: Path) -> None:
    weights.unlink()
    assert states(examination.examine())["weights"] == "fail"


def test_weights_without_a_digest_and_strange_ones_stop_nothing(weights: Path) -> None:
    (weights.parent / "mine\x1b[2J.safetensors").write_bytes(b"?")
    shown = run_doctor()
    assert shown.exit_code == 0
    assert "with no digest to compare" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_only_the_usual_encoder_is_needed(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "why_not", lambda name: "it is not there")
    found = states(examination.examine())
    assert (found["encoder libx264"], found["encoder libsvtav1"]) == ("fail", "warn")


def test_an_encoder_that_is_not_there_says_why() -> None:
    from vsr_cli.media.writing.encoder_trial import why_not

    assert why_not("libx999") == "this build of FFmpeg does not have it"
    assert why_not("aac") == "it does not encode video"
    assert why_not("libx264") is None


def test_a_library_that_does_not_load_is_a_failure(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise ImportError(f"{name}: no such library")

    monkeypatch.setattr(examination, "import_module", fail)
    found = states(examination.examine())
    assert (found["PyAV"], found["OpenCV"]) == ("fail", "fail")


def test_a_folder_that_cannot_be_written_to_is_told(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VSR_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    found = states(examination.examine())
    assert (found["cache"], found["temporary files"]) == ("warn", "fail")


def test_a_disk_or_memory_that_is_nearly_full_is_told(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "_LITTLE_DISK", 2**60)
    monkeypatch.setattr(examination, "_LITTLE_MEMORY", 2**60)
    found = states(examination.examine())
    assert (found["this folder"], found["cpu"]) == ("warn", "warn")


def test_what_is_shown_names_neither_user_nor_machine_unless_it_is_to(
    weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "alice"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("VSR_CACHE_DIR", str(home / "cache"))
    monkeypatch.chdir(home)
    weights.write_bytes(b"damaged")
    text = run_doctor().stdout
    assert "small.safetensors` is damaged" in text
    assert not {"alice", tmp_path.name, "~", socket.gethostname(), getpass.getuser() + "/"} & {
        *re.findall(r"[\w.~-]+/?", text)
    }
    assert "/" + tmp_path.parts[1] not in text
    assert "`~/cache` can be written to" in run_doctor("-v").stdout


def test_paths_in_messages_of_others_are_left_out() -> None:
    finding = Finding(
        subject="x",
        state="fail",
        text="dlopen /home/alice/lib/libx.so.1: no /home/alice at 3/2",
        hint="see `~/notes/a.txt`",
    )
    hidden = examination._without_names(finding)
    assert hidden.text == "dlopen libx.so.1: no FOLDER at 3/2"
    assert hidden.hint == "see `a.txt`"


def test_a_job_is_run_unless_something_is_missing_anyway(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_weights(weights)
    files.record_digest(weights)
    found = {finding.subject: finding for finding in vsr_cli.doctor()}
    assert found["job"].state == "ok"
    assert "4 frames 64x48 -> 256x192, 0." in found["job"].text
    weights.write_bytes(b"damaged")
    assert "job" not in states(vsr_cli.doctor())


@pytest.mark.parametrize(
    "error", [DeviceError("no device", hint="get one"), RuntimeError("illegal\ninstruction")]
)
def test_a_job_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("vsr_cli.pipeline.upscale.Upscaler.upscale", fail)
    found = doctor_trial.try_job()
    assert (found.state, found.hint is not None) == ("fail", True)
    assert "\n" not in found.text


def test_a_codec_that_cannot_be_read_is_told(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing_decoders(["h264", "h999", "aac"]) == ["h999"]
    monkeypatch.setattr(examination, "_DECODERS", ("h264", "h999"))
    assert states(examination.examine())["decoders"] == "warn"


def test_a_clock_that_is_far_behind_is_told(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert examination._clock().state == "warn"


def test_a_torch_that_does_not_load_is_a_finding_and_no_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "vsr_cli.pipeline.doctor", None)
    shown = run_doctor()
    assert shown.exit_code == 1
    assert "fail  Python: vsr_cli.pipeline.doctor does not load" in shown.stdout
    assert "hint: install vsr again" in shown.stdout


def test_settings_that_stop_jobs_are_told_and_whose_they_are_is_not(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    monkeypatch.setenv("VSR_CONFIG", str(file))
    file.write_text("steps = 4")
    monkeypatch.setenv("VSR_STEP", "3")
    result = run_doctor()
    assert result.exit_code == 0
    assert "ok    settings: 1 option is set without being typed" in result.stdout
    assert "warn  settings: `VSR_STEP` of the environment is no option" in result.stdout
    file.write_text("stepz = 4")
    result = run_doctor()
    assert result.exit_code == 1
    assert "fail  settings: there is no option `stepz`\n" in result.stdout
    assert str(file) not in result.stdout
    assert str(file) in run_doctor("-v").stdout
    file.unlink()
    result = run_doctor()
    assert "fail  settings: the file of settings does not exist" in result.stdout
    assert str(file) not in result.stdout
