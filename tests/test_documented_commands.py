"""Every command that is written in README.md and docs/ does what it says, on small clips."""

import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.conftest import write_clip
from tests.networks import write_tiny_weights
from tests.quality.lpips_weights import write_lpips_weights
from vsr_cli.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
# But for `start.md`, which is what commands have said.
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs/start.md"})]

# What needs more than a test can have ends with the code that says what is missing.
EXIT_CODES = {
    "vsr upscale in.mp4 out.mp4 --model mgld": 5,
    "vsr weights info mgld": 5,
    "vsr weights import mgldvsr_unet.ckpt video_vae_cfw.ckpt --flow raft-things.pth": 5,
    "vsr weights import --flow raft-things.pth": 5,
    "vsr upscale in.mp4 out.mp4 --model seedvr2 --size 1080p": 5,
    "vsr weights info seedvr2": 5,
    "vsr weights import seedvr2_ema_3b_fp16.safetensors ema_vae_fp16.safetensors "
    "--text pos_emb.pt": 5,
    "vsr export --verify small-onnx/": 3,  # which nobody has exported
    "vsr export trt/ --engine --size 640x480 --size 1280x720": 6,
    "vsr weights download seedvr2": 2,  # whose licence nobody has accepted
    # No cluster is there; or not even the package.
    "vsr upscale film.mkv /shared/out.mp4 --ray auto": 6 if find_spec("ray") else 2,
}
# What goes on until it is stopped.
ENDED = {"vsr batch inbox/ -o up --watch": " --every 0.2 --exit-when-idle 1"}
# What is about the system that it is typed on, and what `tests/export` does, which takes minutes.
LEFT_OUT = {"vsr --install-completion", "vsr doctor", "vsr export small-onnx/"}
# Programs that are written beside `vsr`: they give a video, or take one.
STUBS = {
    "ffmpeg": 'case "$*" in *"-i -"*) cat > /dev/null;; *) cat in.mkv;; esac',
    "mpv": "cat > /dev/null",
    "x265": "cat > /dev/null",
    "vsr": f'exec {shlex.quote(sys.executable)} -m vsr_cli "$@"',
}


def commands_of(text: str) -> Iterator[str]:
    """Commands in the indented blocks of a page: lines with `vsr`, and loops as a whole."""
    loop: list[str] = []
    for line in re.findall(r"^    (.*)$", text, flags=re.MULTILINE):
        command = re.sub(r"\s{2,}# .*", "", line).rstrip()
        if loop or command.startswith("for "):
            loop.append(command)
            if command == "done":
                yield "\n".join(loop)
                loop = []
        elif re.search(r"(^|\| )vsr ", command) and not re.search(r"\[OPTIONS\]|\.\.\.", command):
            yield command


COMMANDS = sorted({c for page in PAGES for c in commands_of(page.read_text())} - LEFT_OUT)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bin")
    for name, text in STUBS.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(stat.S_IRWXU)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_lpips_weights(folder / "lpips.safetensors")
    return write_tiny_weights(folder / "tiny.safetensors")


def write_source(path: Path, command: str) -> None:
    """A clip as long, or as large, as the command needs it to be."""
    if "1610" in command or "1920" in command:
        write_clip(path, num_frames=8, size=(1080, 1920), rate=Fraction(1, 2))
    elif "--at" in command:
        write_clip(path, num_frames=50, size=(240, 400), rate=Fraction(1, 2))
    elif "-ss" in command:
        write_clip(path, num_frames=100, size=(32, 32), rate=Fraction(1), audio=["aac"])
    elif "300-303" in command:
        write_clip(path, num_frames=305, size=(32, 32))
    elif "1080p" in command:
        write_clip(path, num_frames=3, size=(272, 480), audio=["aac"])
    elif "-260" in command:
        write_clip(path, num_frames=3, size=(180, 320))
    elif path.suffix == ".avi":
        write_clip(path, num_frames=4, codec="mpeg4")
    else:
        write_clip(path, num_frames=4, audio=["aac"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Whatever the command names as its source is there, and it is begun there."""
    command = request.node.callspec.params["command"]
    words = re.sub(r"(-o|--show-mask) \S+", "", command)  # but for what is written
    for name in sorted(set(re.findall(r"(?<!\S)-?[\w/-]+\.(?:mp4|mov|avi|mkv)", words))):
        is_target = re.match(r"(out|up|look|both)\b|\w+_(big|clean)\b|tape50|small", name)
        if (not is_target or "compare" in command) and not name.startswith("/"):
            write_source(tmp_path / name, command)
    if "*.avi" in command:
        write_source(tmp_path / "one.avi", command)
    if "ffmpeg" in command or command.startswith("for "):  # which take it
        write_source(tmp_path / "in.mkv", command)
    tapes, truth, frames = tmp_path / "tapes", tmp_path / "DIR", tmp_path / "frames"
    for made in (tapes, truth, frames, tmp_path / "up", tmp_path / "inbox"):
        made.mkdir()
    write_source(tapes / "one.mp4", "")
    write_source(tapes / "two.mp4", "")
    write_clip(truth / "clip.mkv", num_frames=3, size=(64, 96), codec="ffv1")
    picture = np.zeros((48, 64, 3), np.uint8)
    for number in range(3):
        Image.fromarray(cv2.circle(picture.copy(), (20 + number, 20), 9, (200, 90, 9), -1)).save(
            frames / f"{number:05d}.png"
        )
    for suffix in ("png", "jpg"):
        Image.fromarray(picture).save(tmp_path / f"photo.{suffix}")
    Image.fromarray(cv2.circle(picture[..., 0].copy(), (40, 30), 5, 255, -1)).save(
        tmp_path / "mask.png"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared").mkdir()
    if "jobs join" in command:  # what others have done
        write_source(tmp_path / "film.mkv", command)
        words = f"upscale {tmp_path}/film.mkv {tmp_path}/shared/out.mp4 --shard 1/1 --model"
        model = str(request.getfixturevalue("weights"))
        assert CliRunner().invoke(app, [*words.split(), model]).exit_code == 0
    if "--lr lr" in command:  # what the command before it in the page has left
        words = "evaluate DIR --write-lr lr"
        assert CliRunner().invoke(app, words.split()).exit_code == 0
        (tmp_path / "results").mkdir()
        for path in (tmp_path / "lr").iterdir():
            shutil.copy(truth / "clip.mkv", tmp_path / "results" / path.name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_documented_can_be_typed(
    command: str, folder: Path, stubs: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSR_MODEL", str(weights))
    monkeypatch.setenv("VSR_WEIGHTS_DIR", str(folder / "none"))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    typed = (command + ENDED.get(command, "")).replace(" /shared/", f" {folder}/shared/")
    typed = typed.replace(" FILE", f" {weights.with_name('lpips.safetensors')}")
    if re.search(r"[|;&$*]|^vsr (in|photo)", command):  # as a shell has it; without a command, too
        path = f"{stubs}:/usr/bin:/bin"
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", typed],
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": path,
                "HOME": str(folder),
                "VSR_MODEL": str(weights),
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(ROOT),
            },
        )
        code, said = run.returncode, run.stderr
    else:
        result = CliRunner().invoke(app, shlex.split(typed)[1:])
        code, said = result.exit_code, result.stderr
    assert code == EXIT_CODES.get(command, 0), said
    assert not (folder / "failed.txt").exists(), said


def test_commands_are_found_in_pages() -> None:
    blocks = ("vsr in.mp4      # said", "cat x | vsr - y.mkv", "make x", "for f in *; do")
    text = "Text.\n\n" + "".join(f"    {line}\n" for line in (*blocks, '    vsr "$f"', "done"))
    assert list(commands_of(text)) == [
        "vsr in.mp4",
        "cat x | vsr - y.mkv",
        'for f in *; do\n    vsr "$f"\ndone',
    ]
    assert len(COMMANDS) > 50
    assert set(EXIT_CODES) <= set(COMMANDS)
