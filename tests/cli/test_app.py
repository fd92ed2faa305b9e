"""The command as a shell sees it: a process with signals, pipes and an exit code."""

import os
import select
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import av
import pytest
import torch
from typer.testing import CliRunner

from tests.conftest import MakeClip
from tests.networks import write_tiny_weights
from vsr_cli import __version__
from vsr_cli.cli.app import app
from vsr_cli.cli.versions import version_lines

ROOT = Path(__file__).resolve().parents[2]

# A `vsr` whose pipeline waits in the middle of a job, holding a file as the real one does.
WAITING_VSR = """
import signal, sys, time
from importlib import metadata
from pathlib import Path
from tests.cli.fakes import FakePipeline
from types import ModuleType

# A test run in the background of a script hands down an ignored SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

def wait():
    part = Path("out.mp4.part")
    part.write_text("")
    try:
        print("waiting", file=sys.stderr, flush=True)
        time.sleep(60)
    finally:
        part.unlink()
        {cleanup}

module = ModuleType("vsr_cli.pipeline.upscale")
module.Upscaler = FakePipeline(fail=wait).upscaler
sys.modules[module.__name__] = module
from vsr_cli.cli.app import main
main()
"""


# One that says when it has read all that is in its pipe.
VSR_AT_A_PIPE = """
import select, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores
look = select.select

def look_and_say(*arguments):
    found = look(*arguments)
    if not found[0]:
        print("waiting", file=sys.stderr, flush=True)
    return found

select.select = look_and_say
from vsr_cli.cli.app import main
main()
"""


def start(tmp_path: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, "upscale", "in.mp4", "out.mp4", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_working(process: subprocess.Popen[str], word: str = "waiting") -> None:
    assert process.stderr is not None
    while line := process.stderr.readline():
        if word in line:
            return
    pytest.fail(f"it never said `{word}`")


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["upscale", "-h"], ["weights", "-h"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    statement = (
        "from typer.testing import CliRunner; from vsr_cli.cli.app import app\n"
        f"assert CliRunner().invoke(app, {arguments}).exit_code == 0"
    )
    assert modules_after(statement) & {"torch", "numpy", "av", "cv2", "diffusers", "click"} == set()


@pytest.mark.slow
def test_a_job_of_the_shipped_model_loads_no_library_that_knows_the_network() -> None:
    loaded = modules_after("import vsr_cli.pipeline.upscale")
    assert loaded & {"diffusers", "huggingface_hub", "torchvision", "requests", "httpx"} == set()


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_names_every_command(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    words = ("upscale", "degrade", "evaluate", "demo", "weights", "--version")
    assert all(word in result.stdout for word in words)


def test_it_runs_as_a_module_and_tells_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vsr_cli", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, *others = done.stdout.splitlines()
    assert first == f"vsr {__version__}"
    names = ("Python", "torch", "PyAV", "OpenCV")
    assert [line.split()[0] for line in others[:4]] == list(names)
    assert f"torch {metadata.version('torch')}, built " in done.stdout
    assert f"PyAV {av.__version__}" in others


def test_versions_are_told_without_loading_what_they_are_of() -> None:
    loaded = modules_after("from vsr_cli.cli.versions import version_lines; version_lines()")
    assert loaded & {"torch", "numpy", "av", "cv2"} == set()
    told = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    assert any(told in line for line in version_lines())


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["upsacle"])
    assert result.exit_code == 2
    assert "upsacle" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_job_cleanly(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with start(tmp_path, WAITING_VSR.format(cleanup="")) as process:
        wait_until_working(process)
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
    assert process.returncode == code
    assert error.splitlines()[-1] == "stopped before the end"
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_library_that_makes_another_error_of_a_signal_is_no_bug(tmp_path: Path) -> None:
    """Some raise an error of their own where a handler raises in the midst of them."""
    with start(tmp_path, WAITING_VSR.format(cleanup="raise ValueError('odd type')")) as process:
        wait_until_working(process)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 143
    assert error.splitlines()[-1] == "stopped before the end"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signals here")
@pytest.mark.parametrize(
    ("name", "code", "share"), [("SIGINT", 130, 0), ("SIGTERM", 143, 0.01), ("SIGHUP", 129, 0.5)]
)
def test_a_signal_ends_a_job_whose_pipe_waits(
    tmp_path: Path, make_clip: MakeClip, name: str, code: int, share: float
) -> None:
    """Before the first byte, within the header, and where picture and sound are being written."""
    clip = make_clip(tmp_path / "in.mkv", codec="rawvideo", num_frames=90, audio=["flac"])
    weights = write_tiny_weights(tmp_path / "tiny.safetensors")
    data = clip.read_bytes()
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["-", "out.mkv", "--scale", "1", "--clip-length", "4", "--vcodec", "ffv1"]
    reading, writing = os.pipe()
    with (
        os.fdopen(writing, "wb") as feed,
        subprocess.Popen(
            [sys.executable, "-c", VSR_AT_A_PIPE, "upscale", *arguments, "--model", str(weights)],
            cwd=out,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        os.close(reading)
        feed.write(data[: int(len(data) * share)])
        feed.flush()
        wait_until_working(process)
        time.sleep(1)  # whatever follows waits as well by then
        process.send_signal(getattr(signal, name))
        try:
            assert process.wait(timeout=60) == code
        finally:
            process.kill()
        assert process.stderr is not None
        error = process.stderr.read()
    assert "Traceback" not in error
    assert "ignored" not in error
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    slow = 'print("cleaning", file=sys.stderr, flush=True); time.sleep(60)'
    with start(tmp_path, WAITING_VSR.format(cleanup=slow)) as process:
        wait_until_working(process)
        process.send_signal(signal.SIGINT)
        wait_until_working(process, "cleaning")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == -signal.SIGINT  # a shell shows 130


@pytest.mark.slow
def test_a_second_interrupt_leaves_the_terminal_with_its_cursor(tmp_path: Path) -> None:
    leader, follower = os.openpty()
    code = WAITING_VSR.format(cleanup='print("cleaning", file=sys.stderr); time.sleep(60)')
    command = [sys.executable, "-c", code, "upscale", "in.mp4", "out.mp4"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stderr=follower
    ) as process:
        seen = b""
        try:
            for word in (b"waiting", b"cleaning"):
                while word not in seen:
                    assert select.select([leader], [], [], 60)[0], seen
                    seen += os.read(leader, 1000)
                process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == -signal.SIGINT
        finally:
            process.kill()
    shown = seen.decode(errors="replace")
    os.close(follower)
    os.close(leader)
    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert -1 < shown.find(hide) < shown.find(show)
    assert shown.rfind(hide) < shown.rfind(show)


@pytest.mark.slow
def test_a_reader_that_leaves_ends_the_job_quietly(tmp_path: Path) -> None:
    with start(tmp_path, WAITING_VSR.format(cleanup=""), "--json", "-q") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 141


def test_ctrl_c_before_a_command_begins_ends_without_a_word(tmp_path: Path) -> None:
    code = """
import os, signal
from vsr_cli.cli import app
signal.signal(signal.SIGINT, signal.default_int_handler)
app.with_command = lambda _: os.kill(os.getpid(), signal.SIGINT)
app.main()
"""
    process = start(tmp_path, code)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (-signal.SIGINT, "")
