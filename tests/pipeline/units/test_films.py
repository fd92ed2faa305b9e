"""Films of a batch are computed in one queue, and each becomes what it becomes alone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.runs import upscale_video
from tests.pipeline.units.clips import digest, tiny_config, write_shots
from tests.pipeline.units.processes import children, links
from vsr_cli.api import Upscaler
from vsr_cli.events import Event, Note, UnitState

FILMS = {"one.mkv": (50, 50, 60), "two.mkv": (60, 50)}  # frames of their shots, a unit each
OPTIONS = [
    *("--device", "cpu", "--dtype", "float32", "--scale", "2", "--steps", "1", "--audio", "none"),
    *("--clip-length", "8", "--vcodec", "libx264", "--checkpoint", "0"),
]

pytestmark = pytest.mark.slow


@pytest.fixture
def expected(tmp_path: Path, model_file: Path) -> dict[str, str]:
    """Digests of what becomes of the films alone; they lie in a folder `in`."""
    (tmp_path / "in").mkdir()
    config = tiny_config(model_file, checkpoint=0)
    config = replace(config, output=replace(config.output, audio="none"))
    found = {}
    for name, lengths in FILMS.items():
        source, target = write_shots(tmp_path / "in" / name, lengths), tmp_path / f"{name}.mp4"
        upscale_video(source, target, config)
        found[name] = digest(target)
    return found


def batch(folder: Path, *options: str) -> list[str]:
    """A command that upscales the films there into a folder `up`."""
    return [
        *(sys.executable, "-m", "vsr_cli", "batch", str(folder / "in"), "-o", str(folder / "up")),
        *("--model", str(folder / "tiny.safetensors"), "--name", "{name}.mp4", "--workers", "2"),
        *(*OPTIONS, "--json", *options),
    ]


def run(command: list[str]) -> tuple[int, list[dict[str, object]]]:
    """Exit code and events of a command."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def worker_at(folder: Path, unit: int) -> int:
    """The process that has a unit of the job in a folder."""
    (found,) = [
        child for child in children(os.getpid()) if f"{folder}/unit_{unit:06}/lock" in links(child)
    ]
    return found


def is_last_of_one(name: str, event: Event) -> bool:
    """Whether a worker has begun with the last unit of the first film, and nobody before it."""
    seen = (event.index, event.state, event.attempt) if isinstance(event, UnitState) else None
    return name == "one.mkv" and seen == (2, "begun", 1)


def both(tmp_path: Path, model_file: Path, watch: Callable[[str, Event], None]) -> None:
    """Upscale both films; `watch` receives the name of each, and what is reported of it."""
    files = {name: (tmp_path / "in" / name, tmp_path / "up" / f"{name}.mp4") for name in FILMS}
    (tmp_path / "up").mkdir()
    upscaler = Upscaler(
        model=model_file,
        device="cpu",
        dtype="float32",
        scale=2,
        steps=1,
        audio="none",
        clip_length=8,
        vcodec="libx264",
        checkpoint=0,
        workers=2,
    )
    with upscaler.kept():
        source, target = files["one.mkv"]
        following = lambda: files["two.mkv"]  # noqa: E731
        upscaler.upscale(
            source, target, report=lambda event: watch("one.mkv", event), following=following
        )
        upscaler.upscale(*files["two.mkv"], report=lambda event: watch("two.mkv", event))


def test_a_worker_without_work_begins_the_next_film_and_bytes_stay_the_same(
    tmp_path: Path, model_file: Path, expected: dict[str, str]
) -> None:
    """The last unit of the first film is held up until the second film is begun."""
    one, two = (tmp_path / "up" / f"{name}.mp4.vsr-job" for name in FILMS)
    begun_before_joined: list[bool] = []

    def hold(worker: int) -> None:
        deadline = time.monotonic() + 120
        while not list(two.glob("unit_*/chunk_*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        begun_before_joined.append(bool(list(two.glob("unit_*"))) and one.exists())
        os.kill(worker, signal.SIGCONT)

    def watch(name: str, event: Event) -> None:
        if is_last_of_one(name, event):
            worker = worker_at(one, 2)
            os.kill(worker, signal.SIGSTOP)
            threading.Thread(target=hold, args=(worker,)).start()

    both(tmp_path, model_file, watch)
    assert begun_before_joined == [True]
    assert {name: digest(tmp_path / "up" / f"{name}.mp4") for name in FILMS} == expected
    assert list((tmp_path / "up").glob("*.vsr-job")) == []


def test_a_worker_that_is_killed_has_its_unit_taken_up(
    tmp_path: Path, model_file: Path, expected: dict[str, str]
) -> None:
    events: list[tuple[str, Event]] = []

    def watch(name: str, event: Event) -> None:
        events.append((name, event))
        if is_last_of_one(name, event):
            os.kill(worker_at(tmp_path / "up/one.mkv.mp4.vsr-job", 2), signal.SIGKILL)

    both(tmp_path, model_file, watch)
    assert {name: digest(tmp_path / "up" / f"{name}.mp4") for name in FILMS} == expected
    lost = [(name, e.code) for name, e in events if isinstance(e, Note) and "LOST" in e.code]
    assert lost == [("one.mkv", "W_WORKER_LOST")]
    names = [name for name, _ in events]
    assert names == sorted(names)  # all of one film, and then all of the other


def test_a_film_that_cannot_be_read_stops_no_other(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    (tmp_path / "in" / "onf.mkv").write_bytes(b"no film")
    code, events = run(batch(tmp_path))
    files = [event for event in events if event["type"] == "file"]
    assert [(event["file_index"], event["status"], event["exit"]) for event in files] == [
        (1, "done", 0),
        (2, "failed", 3),
        (3, "done", 0),
    ]
    assert code == 9
    indices = [event["file_index"] for event in events if "file_index" in event]
    assert indices == sorted(indices, key=str)
    assert {name: digest(tmp_path / "up" / f"{name}.mp4") for name in FILMS} == expected


def test_nothing_is_begun_ahead_where_the_first_failure_ends_the_batch(
    tmp_path: Path, expected: dict[str, str]
) -> None:
    """The first film fails at its end, where the next would have been begun."""
    (tmp_path / "up/one.mkv.mp4.vsr-job/unit_000001").mkdir(parents=True)
    (tmp_path / "up/one.mkv.mp4.vsr-job/lock").touch()
    (tmp_path / "up/one.mkv.mp4.vsr-job/unit_000001/strange").touch()
    code, events = run(batch(tmp_path, "--fail-fast"))
    assert [event["status"] for event in events if event["type"] == "file"] == ["failed"]
    assert code == 9
    assert list((tmp_path / "up").glob("two*")) == []


def test_a_batch_that_is_stopped_goes_on(tmp_path: Path, expected: dict[str, str]) -> None:
    head = subprocess.Popen(batch(tmp_path), stdout=subprocess.PIPE, text=True)
    assert head.stdout is not None
    for line in head.stdout:
        if '"unit"' in line and '"done"' in line:
            head.send_signal(signal.SIGINT)
            break
    for _ in head.stdout:
        pass
    assert head.wait() == 130
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "up").rglob("chunk_*.mkv")}
    assert kept
    code, events = run(batch(tmp_path))
    assert code == 0
    done = [event for event in events if event["type"] == "unit" and event["state"] == "done"]
    assert len(done) < sum(map(len, FILMS.values()))
    assert {name: digest(tmp_path / "up" / f"{name}.mp4") for name in FILMS} == expected
