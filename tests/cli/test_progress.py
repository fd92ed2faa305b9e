import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from vsr_cli.cli import amounts, progress
from vsr_cli.cli.bar import ProgressBar
from vsr_cli.cli.console import print_line
from vsr_cli.cli.plan_text import done_line
from vsr_cli.events import Done, Progress


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
    assert amounts.rate(event) == text


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
    assert amounts.seconds_left(event) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (185, "3:05"), (3785, "1:03:05")],
)
def test_times_are_written_as_people_do(seconds: float, text: str) -> None:
    assert amounts.duration(seconds) == text


def test_the_size_to_come_is_told_once_it_is_known() -> None:
    assert amounts.size_about(at(5, 10.0)) == ""
    assert amounts.size_about(replace(at(5, 10.0), bytes_about=12_300_000)) == "~12.3 MB"


def test_a_log_gets_one_line_in_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = progress.ProgressLines(clock=lambda: now, time_of_day=lambda: "20:15:00")
    for frame in range(1, 26):
        now = float(frame)
        lines(at(frame, now, num_frames=50))
    assert capsys.readouterr().err.splitlines() == [
        "20:15:00 upscale: 10/50 frames (20 %), 40 s left, 1.0 frames/s",
        "20:15:00 upscale: 20/50 frames (40 %), 30 s left, 1.0 frames/s",
    ]


def test_a_terminal_gets_a_bar_with_lines_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with ProgressBar(terminal) as bar:
        bar(at(5, 10.0, num_frames=50))
        print_line("note: [bold]brackets[/bold] stay")
    shown = screen.getvalue()
    assert "upscale" in shown
    assert "10 %  5/50" in shown
    assert "2.0 s/frame" in shown
    assert "1:30 left" in shown
    assert "[bold]brackets[/bold]" in shown


def test_a_bar_needs_no_number_of_frames() -> None:
    screen = io.StringIO()
    with ProgressBar(Console(file=screen, force_terminal=True, width=100)) as bar:
        bar(at(5, 10.0, num_frames=None))
    assert "2.0 s/frame" in screen.getvalue()


def test_where_nobody_counts_frames_their_number_is_told_roughly() -> None:
    event = replace(at(50, 10.0, num_frames=None), about=200)
    assert (amounts.percent(event), amounts.count(event)) == ("25 %", "50/~200")
    longer = replace(at(201, 10.0, num_frames=None), about=200)
    assert (amounts.percent(longer), amounts.phase(longer)) == ("100 %", "upscale")
    assert amounts.count(at(5, 1.0, num_frames=None)) == "5"


@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_fills_the_terminal_and_no_more(width: int) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=width, color_system=None)
    with ProgressBar(terminal) as bar:
        bar(at(12345, 36000.0, num_frames=54321))
    drawn = [line for line in re.split(r"[\r\n]|\x1b\[[0-9?]*[A-Za-z]", screen.getvalue()) if line]
    longest = max(map(len, drawn))
    assert longest == width
    assert any("12345/54321 0 s 34:00:09 left" in line for line in drawn)


def test_a_bar_is_there_before_there_is_anything_to_count() -> None:
    screen = io.StringIO()
    with ProgressBar(Console(file=screen, force_terminal=True, width=80)):
        pass
    assert "loading" in screen.getvalue()


def test_the_last_frame_is_not_yet_the_file() -> None:
    assert amounts.phase(at(99, 10.0)) == "upscale"
    assert amounts.phase(at(100, 10.0)) == "finishing"
    assert amounts.phase(at(100, 10.0, num_frames=None)) == "upscale"


def test_what_was_written_is_told_with_its_size_and_what_was_kept() -> None:
    done = Done(
        target=Path("out.mkv"),
        frames_in=250,
        frames_out=250,
        width=1280,
        height=720,
        seconds=140.0,
        num_bytes=12_400_000,
        streams=("subtitle", "audio", "audio"),
    )
    assert done_line(done) == (
        "wrote `out.mkv`: 250 frames, 1280x720, 12.4 MB, sound and subtitles kept, in 2:20"
    )


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(1, "1 kB"), (812_400, "812 kB"), (12_440_000, "12.4 MB"), (1_300_000_000, "1.3 GB")],
)
def test_sizes_are_written_as_people_do(num_bytes: int, text: str) -> None:
    assert amounts.file_size(num_bytes) == text
