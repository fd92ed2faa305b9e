import io
import json
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console

from tests.cli.fakes import plan_of
from vsr_cli import __version__
from vsr_cli.cli import console
from vsr_cli.cli.bar import Bar
from vsr_cli.errors import InputError
from vsr_cli.events import Done, Note, Progress


def progress(frame: int, seconds: float, num_frames: int | None = 100) -> Progress:
    return Progress(stage="upscale", frame=frame, num_frames=num_frames, seconds=seconds)


@pytest.fixture
def log_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_log_path", lambda *_, **__: tmp_path / "log")
    return tmp_path / "log"


def test_a_bug_prints_its_name_and_where_the_crash_log_is(
    log_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught, console.user_errors():
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
    with pytest.raises(typer.Exit), console.user_errors(verbose=True):
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
    path = console.write_crash_log(ValueError("x"))
    assert path.parent == tmp_path
    assert "ValueError: x" in path.read_text()


def test_what_is_not_given_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), console.user_errors():
        raise InputError("it broke")
    assert capsys.readouterr().err == "error: it broke\n"


def test_an_exit_passes_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, console.user_errors():
        raise typer.Exit(9)
    assert caught.value.exit_code == 9
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (progress(50, 10.0), "5.0 frames/s"),
        (progress(10, 10.0), "1.0 frames/s"),
        (progress(5, 10.0), "2.0 s/frame"),
        (progress(0, 10.0), ""),
        (progress(1, 0.0), ""),
    ],
)
def test_slow_work_is_told_in_seconds_per_frame(event: Progress, text: str) -> None:
    assert console.rate(event) == text


@pytest.mark.parametrize(
    ("event", "seconds"),
    [
        (progress(25, 10.0), 30.0),
        (progress(100, 10.0), 0.0),
        (progress(120, 10.0), 0.0),  # the container had counted too few
        (progress(0, 10.0), None),
        (progress(25, 10.0, num_frames=None), None),
    ],
)
def test_the_time_left_follows_the_pace_so_far(event: Progress, seconds: float | None) -> None:
    assert console.seconds_left(event) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (185, "3:05"), (3785, "1:03:05")],
)
def test_times_are_written_as_people_do(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


def test_a_log_gets_one_line_in_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = console.ProgressLines(clock=lambda: now)
    for frame in range(1, 26):
        now = float(frame)
        lines(progress(frame, now, num_frames=50))
    assert capsys.readouterr().err.splitlines() == [
        "upscale: 10/50 frames, 1.0 frames/s, 40 s left",
        "upscale: 20/50 frames, 1.0 frames/s, 30 s left",
    ]


def test_every_event_becomes_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    odd = "a\nb \udcff.mp4"  # a name that is no UTF-8
    for event in (
        plan_of(Path(odd), Path("out.mp4")),
        Note(code="W_X", text="first\nsecond"),
        progress(0, 0.0, num_frames=None),
        Done(target=Path(odd), frames_in=1, frames_out=1, width=4, height=4, seconds=0.1),
    ):
        console.json_lines(event)
    plan, warning, waiting, done = map(json.loads, capsys.readouterr().out.splitlines())
    assert (plan["source"], done["out"]) == (odd, odd)
    assert warning["text"] == "first\nsecond"
    assert (waiting["frames"], waiting["fps"], waiting["eta_s"]) == (None, None, None)


def test_a_terminal_gets_a_bar_with_lines_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with Bar(terminal) as bar:
        bar(progress(5, 10.0, num_frames=50))
        console.say("note: [bold]brackets[/bold] stay")
    shown = screen.getvalue()
    assert "upscale" in shown
    assert "5/50" in shown
    assert "2.0 s/frame" in shown
    assert "1:30 left" in shown
    assert "[bold]brackets[/bold]" in shown


def test_a_bar_needs_no_number_of_frames() -> None:
    screen = io.StringIO()
    with Bar(Console(file=screen, force_terminal=True, width=100)) as bar:
        bar(progress(5, 10.0, num_frames=None))
    assert "2.0 s/frame" in screen.getvalue()
