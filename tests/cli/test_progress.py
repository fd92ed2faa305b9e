import io
import sys

import pytest
from rich.console import Console

from vsr_cli.cli import progress
from vsr_cli.cli.console import print_line
from vsr_cli.events import Progress


def at(frame: int, seconds: float, num_frames: int | None = 100) -> Progress:
    return Progress(stage="upscale", frame=frame, num_frames=num_frames, seconds=seconds)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (at(50, 10.0), "5.0 frames/s"),
        (at(10, 10.0), "1.0 frames/s"),
        (at(5, 10.0), "2.0 s/frame"),
        (at(0, 10.0), ""),
        (at(1, 0.0), ""),
    ],
)
def test_slow_work_is_told_in_seconds_per_frame(event: Progress, text: str) -> None:
    assert progress.rate(event) == text


@pytest.mark.parametrize(
    ("event", "seconds"),
    [
        (at(25, 10.0), 30.0),
        (at(100, 10.0), 0.0),
        (at(120, 10.0), 0.0),  # the container had counted too few
        (at(0, 10.0), None),
        (at(25, 10.0, num_frames=None), None),
    ],
)
def test_the_time_left_follows_the_pace_so_far(event: Progress, seconds: float | None) -> None:
    assert progress.seconds_left(event) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (185, "3:05"), (3785, "1:03:05")],
)
def test_times_are_written_as_people_do(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_a_log_gets_one_line_in_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = progress.ProgressLines(clock=lambda: now)
    for frame in range(1, 26):
        now = float(frame)
        lines(at(frame, now, num_frames=50))
    assert capsys.readouterr().err.splitlines() == [
        "upscale: 10/50 frames, 1.0 frames/s, 40 s left",
        "upscale: 20/50 frames, 1.0 frames/s, 30 s left",
    ]


def test_a_terminal_gets_a_bar_with_lines_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with progress.ProgressBar(terminal) as bar:
        bar(at(5, 10.0, num_frames=50))
        print_line("note: [bold]brackets[/bold] stay")
    shown = screen.getvalue()
    assert "upscale" in shown
    assert "5/50" in shown
    assert "2.0 s/frame" in shown
    assert "1:30 left" in shown
    assert "[bold]brackets[/bold]" in shown


def test_a_bar_needs_no_number_of_frames() -> None:
    screen = io.StringIO()
    with progress.ProgressBar(Console(file=screen, force_terminal=True, width=100)) as bar:
        bar(at(5, 10.0, num_frames=None))
    assert "2.0 s/frame" in screen.getvalue()
