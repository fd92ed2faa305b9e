from pathlib import Path

import pytest
import typer

from vsr_cli import __version__
from vsr_cli.cli.failures import report_failures, write_crash_log
from vsr_cli.errors import InputError


@pytest.fixture
def log_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_log_path", lambda *_, **__: tmp_path / "log")
    return tmp_path / "log"


def test_a_bug_prints_its_name_and_where_the_crash_log_is(
    log_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught, report_failures():
        raise ZeroDivisionError("a\nb")
    [log] = log_dir.iterdir()
    error = capsys.readouterr().err
    assert caught.value.exit_code == 1
    assert error.splitlines() == [
        "error: internal error",
        "why: ZeroDivisionError: a b",
        f"hint: please report it with `{log}`",
    ]
    assert "Traceback" in log.read_text()
    assert __version__ in log.read_text()


def test_a_bug_shows_its_traceback_when_asked(
    log_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit), report_failures(verbose=True):
        raise ZeroDivisionError("a")
    assert "Traceback" in capsys.readouterr().err
    assert log_dir.exists()


def test_a_crash_log_finds_a_place_without_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr("platformdirs.user_log_path", lambda *_, **__: blocked / "log")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    path = write_crash_log(ValueError("x"))
    assert path.parent == tmp_path
    assert "ValueError: x" in path.read_text()


def test_what_is_not_given_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), report_failures():
        raise InputError("it broke")
    assert capsys.readouterr().err == "error: it broke\n"


def test_an_exit_passes_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, report_failures():
        raise typer.Exit(9)
    assert caught.value.exit_code == 9
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't start new thread"), OSError(12, "no memory")]
)
def test_a_lack_of_memory_is_no_bug(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, report_failures():
        raise error
    assert caught.value.exit_code == 6
    assert capsys.readouterr().err.startswith("error: memory has run out\n")
