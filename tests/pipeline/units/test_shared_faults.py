"""Workers on a full disk, and what a job that is shared on one machine must not open."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.runs import upscale_video
from tests.pipeline.units.clips import digest, packets, tiny_config, write_shots
from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import VsrError
from vsr_cli.events import Event, UnitState
from vsr_cli.pipeline.resume.folder import job_folder

LENGTHS = (50, 30, 25, 52)  # three units

pytestmark = pytest.mark.slow


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_shots(tmp_path / "in.mkv", LENGTHS)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of 32 megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32M", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)):
                pass
        except OSError:
            return path
    raise AssertionError("the disk has no end")


def test_a_disk_that_is_full_for_workers_ends_the_job_which_goes_on_when_there_is_room(
    tmp_path: Path, source: Path, model_file: Path, small_disk: Path
) -> None:
    config = on_disk(tiny_config(model_file, checkpoint=0), None)
    upscale_video(source, tmp_path / "one.mp4", config)
    both, target = on_disk(config, small_disk), tmp_path / "out.mp4"
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        done = [e for e in events if isinstance(e, UnitState) and e.state == "done"]
        if len(done) == 1 and not (small_disk / "filler").exists():
            fill(small_disk)

    with pytest.raises(VsrError) as failed:
        upscale_video(source, target, both, report=report)
    assert failed.value.exit_code == 4
    assert not target.exists()
    assert (job_folder(target, both.job) / "manifest.json").exists()
    (small_disk / "filler").unlink()
    again: list[Event] = []
    upscale_video(source, target, both, report=again.append)
    assert digest(target) == digest(tmp_path / "one.mp4")
    assert len([e for e in again if isinstance(e, UnitState) and e.state == "done"]) < 3


def write_damaged(path: Path) -> Path:
    """Some bytes in the middle of the picture are others."""
    data = bytearray(write_shots(path, LENGTHS).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_shots(
            path, LENGTHS, options={"preset": "medium", "x264-params": "open-gop=1"}
        ),
        lambda path: write_shots(path, LENGTHS, times=[n + n // 7 for n in range(sum(LENGTHS))]),
        lambda path: write_shots(path, LENGTHS, options={"x264-params": "tff=1"}),
        write_damaged,
    ],
    ids=["open GOP", "VFR", "interlaced", "damaged"],
)
def test_whatever_the_source_is_workers_make_what_one_makes(
    tmp_path: Path, model_file: Path, write: Callable[[Path], Path]
) -> None:
    source = write(tmp_path / "in.mkv")
    config = on_disk(tiny_config(model_file), None)
    upscale_video(source, tmp_path / "one.mp4", config)
    both = replace(config, job=replace(config.job, workers=2))
    upscale_video(source, tmp_path / "out.mp4", both)
    assert digest(tmp_path / "out.mp4") == digest(tmp_path / "one.mp4")


def on_disk(config: UpscaleConfig, folder: Path | None) -> UpscaleConfig:
    """Two workers, and the job on this disk; None: one, beside the target."""
    workers = 1 if folder is None else 2
    return replace(
        config,
        output=replace(config.output, audio="none"),
        job=replace(config.job, workers=workers, folder=folder, chunk_length=50),
    )


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
def test_nothing_that_is_shared_on_one_machine_opens_a_socket(
    tmp_path: Path, source: Path, model_file: Path
) -> None:
    options = [
        *("--model", str(model_file), "--device", "cpu", "--dtype", "float32", "--scale", "2"),
        *("--steps", "1", "--vcodec", "libx264"),
    ]
    one, two = tmp_path / "one.mkv", tmp_path / "two.mkv"
    for words in (
        ["upscale", source, one, *options, "--workers", "2"],
        ["upscale", source, two, *options, "--shard", "1/2"],
        ["upscale", source, two, *options, "--shard", "2/2"],
        ["jobs", "join", two],
    ):
        log = tmp_path / "calls"
        trace = ["strace", "-f", "-qq", "-e", "trace=%net,execve", "-o", str(log)]
        command = [*trace, sys.executable, "-m", "vsr_cli", *map(str, words)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        calls = log.read_text()
        assert len(re.findall(r"execve\(.*= 0", calls)) >= (3 if "--workers" in words else 1)
        assert re.findall(r"\w*socket\w*\(.*", calls) == []
    assert packets(one) == packets(two)
