"""Several processes at work on one job make the file that one makes, whatever becomes of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.pipeline.runs import upscale_video
from tests.pipeline.units.clips import digest, packets, tiny_config, write_shots
from tests.pipeline.units.processes import children, links
from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.config import OutputConfig, UpscaleConfig
from vsr_cli.errors import ConfigError, DeviceError, OutputError, VsrError
from vsr_cli.events import Event, Note, Plan, Progress, UnitState, WorkerState, ignore
from vsr_cli.pipeline.resume.folder import job_folder
from vsr_cli.pipeline.resume.job import find_jobs
from vsr_cli.pipeline.resume.unit_listing import list_units
from vsr_cli.pipeline.units.joining import join, read_shared
from vsr_cli.pipeline.upscale import Upscaler

LENGTHS = (50, 30, 25, 52)  # three units

pytestmark = pytest.mark.slow


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_shots(tmp_path / "in.mkv", LENGTHS)


@pytest.fixture
def config(model_file: Path) -> UpscaleConfig:
    return tiny_config(model_file, checkpoint=0)


@pytest.fixture
def expected(source: Path, config: UpscaleConfig, tmp_path: Path) -> str:
    """The digest of what one process makes."""
    upscale_video(source, tmp_path / "one.mp4", with_sound_left_out(config))
    return digest(tmp_path / "one.mp4")


def with_sound_left_out(config: UpscaleConfig) -> UpscaleConfig:
    return replace(config, output=replace(config.output, audio="none"))


def shared(config: UpscaleConfig, **job: object) -> UpscaleConfig:
    config = with_sound_left_out(config)
    return replace(config, job=replace(config.job, **job))  # type: ignore[arg-type]


def units_in(events: list[Event], state: str) -> list[int]:
    return [
        event.index for event in events if isinstance(event, UnitState) and event.state == state
    ]


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_make_the_file_that_one_makes(
    tmp_path: Path, source: Path, config: UpscaleConfig, expected: str, workers: int
) -> None:
    events: list[Event] = []
    target = tmp_path / "out.mp4"
    done = upscale_video(source, target, shared(config, workers=workers), report=events.append)
    assert digest(target) == expected
    assert done.frames_out == sum(LENGTHS)
    (plan,) = [event for event in events if isinstance(event, Plan)]
    assert (plan.workers, plan.units) == (workers, 3)
    assert sorted(units_in(events, "done")) == [0, 1, 2]
    states = [event.state for event in events if isinstance(event, WorkerState)]
    assert states.count("started") == states.count("done") == workers
    frames = [e.frame for e in events if isinstance(e, Progress) and e.stage == "upscale"]
    assert frames == sorted(frames)
    assert frames[-1] == sum(LENGTHS)
    assert list(tmp_path.glob("*.vsr-job")) == []


def test_shards_make_the_file_that_one_makes(
    tmp_path: Path, source: Path, config: UpscaleConfig, expected: str
) -> None:
    target = tmp_path / "out.mp4"
    done = upscale_video(source, target, shared(config, shard=(2, 2)))
    assert (done.shard, done.frames_out) == ("2/2", 55)
    assert not target.exists()
    with pytest.raises(OutputError, match="2 of 3 units") as missing:
        join(target, None, ignore)
    assert "those are 0, 2" in (missing.value.why or "")
    folder, manifest = read_shared(target, None)
    assert [unit.is_complete for unit in list_units(folder, manifest)] == [False, True, False]
    (found,) = find_jobs([tmp_path], recursive=False)
    assert (found.num_frames, found.num_all, found.is_busy) == (55, sum(LENGTHS), False)
    upscale_video(source, target, shared(config, shard=(1, 2)))
    assert join(target, None, ignore).frames_out == sum(LENGTHS)
    assert digest(target) == expected
    assert list(tmp_path.glob("*.vsr-job")) == []


def test_shards_go_on_with_workers_and_without(
    tmp_path: Path, source: Path, config: UpscaleConfig, expected: str
) -> None:
    target = tmp_path / "out.mp4"
    upscale_video(source, target, shared(config, shard=(3, 3)))
    events: list[Event] = []
    upscale_video(source, target, shared(config), report=events.append)
    assert sorted(units_in(events, "done")) == [0, 1]
    assert digest(target) == expected


def kill_once(index: int) -> Callable[[Event], None]:
    """A report that kills the worker of a unit when that has come some frames far."""
    killed: list[int] = []

    def report(event: Event) -> None:
        is_it = isinstance(event, UnitState) and event.state == "begun" and event.index == index
        if is_it and not killed:
            for child in children(os.getpid()):
                if any(f"unit_{index:06}/lock" in link for link in links(child)):
                    killed.append(child)
                    threading.Timer(0.3, os.kill, (child, signal.SIGKILL)).start()

    return report


def test_a_worker_that_is_killed_has_its_unit_taken_up(
    tmp_path: Path, source: Path, config: UpscaleConfig, expected: str
) -> None:
    events: list[Event] = []
    kill = kill_once(1)

    def report(event: Event) -> None:
        events.append(event)
        kill(event)

    target = tmp_path / "out.mp4"
    upscale_video(source, target, shared(config, workers=2), report=report)
    assert digest(target) == expected
    assert units_in(events, "lost") == [1]
    attempts = [e.attempt for e in events if isinstance(e, UnitState) and e.index == 1]
    assert max(attempts) == 2
    assert [e.code for e in events if isinstance(e, Note)].count("W_WORKER_LOST") == 1


def test_a_stopped_job_goes_on_and_computes_nothing_twice(
    tmp_path: Path, source: Path, config: UpscaleConfig, expected: str
) -> None:
    stop, target = StopRequest(), tmp_path / "out.mp4"

    def report(event: Event) -> None:
        if isinstance(event, UnitState) and event.state == "done":
            stop.request()

    both = shared(config, workers=2)
    with pytest.raises(Stopped) as stopped:
        upscale_video(source, target, both, report=report, stop=stop)
    assert stopped.value.num_frames >= 50
    folder = job_folder(target, both.job)
    complete = {
        path: path.stat().st_mtime_ns
        for unit in folder.glob("unit_*")
        for path in unit.glob("chunk_*.mkv")
    }
    assert complete
    seen: dict[Path, int] = {}

    def look(event: Event) -> None:
        if isinstance(event, UnitState):
            seen.update((path, path.stat().st_mtime_ns) for path in complete if path.exists())

    upscale_video(source, target, both, report=look)
    assert all(seen[path] == time for path, time in complete.items() if path in seen)
    assert digest(target) == expected


def test_a_head_that_is_killed_takes_its_workers_with_it_and_the_job_goes_on(
    tmp_path: Path, source: Path, model_file: Path, config: UpscaleConfig, expected: str
) -> None:
    target = tmp_path / "out.mp4"
    words = [
        *(sys.executable, "-m", "vsr_cli", "upscale", str(source), str(target), "--workers", "2"),
        *("--model", str(model_file), "--device", "cpu", "--dtype", "float32", "--scale", "2"),
        *("--steps", "1", "--clip-length", "8", "--vcodec", "libx264", "--checkpoint", "0"),
        *("--audio", "none", "--json"),
    ]
    head = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert head.stdout is not None
    for line in head.stdout:
        if '"unit"' in line and '"done"' in line:
            break
    workers = children(head.pid)
    assert len(workers) == 2
    for pid in (head.pid, *workers):
        assert not [link for link in links(pid) if link.startswith("socket:")]
    head.kill()
    head.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    again = subprocess.run(words, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count('"state": "done", "attempt"') < 3
    assert digest(target) == expected


def test_what_ends_a_worker_for_good_ends_the_job_as_it_would_alone(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    """The folder of a unit cannot be written to, as when a disk is full."""
    target = tmp_path / "out.mp4"
    both = shared(config, workers=2)

    def report(event: Event) -> None:
        if isinstance(event, WorkerState) and event.state == "started" and event.id == 1:
            (job_folder(target, both.job) / "unit_000001").write_text("in the way")

    with pytest.raises(VsrError) as failed:
        upscale_video(source, target, both, report=report)
    assert failed.value.exit_code == 4
    assert not target.exists()
    assert (job_folder(target, both.job) / "manifest.json").exists()


def test_a_unit_that_kills_every_worker_ends_the_job_after_all_others(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        if isinstance(event, UnitState) and event.state == "begun" and event.index == 1:
            for child in children(os.getpid()):
                if any("unit_000001/lock" in link for link in links(child)):
                    os.kill(child, signal.SIGKILL)

    target = tmp_path / "out.mp4"
    with pytest.raises(DeviceError, match="workers have died of unit 1"):
        upscale_video(source, target, shared(config, workers=2), report=report)
    assert units_in(events, "given up") == [1]
    assert sorted(units_in(events, "done")) == [0, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"output": OutputConfig(video_codec="libx264", cfr=Fraction(25))},
        {"scene_cut": False},
        {"fps": Fraction(50)},
    ],
    ids=["cfr", "no cuts", "fps"],
)
def test_what_cannot_be_shared_is_done_by_one_and_that_is_said(
    tmp_path: Path, config: UpscaleConfig, change: dict[str, object]
) -> None:
    source = write_shots(tmp_path / "short.mkv", (10, 50))
    alone = replace(config, **change)  # type: ignore[arg-type]
    upscale_video(source, tmp_path / "one.mkv", alone)
    events: list[Event] = []
    both = replace(alone, job=replace(alone.job, workers=2))
    upscale_video(source, tmp_path / "out.mkv", both, report=events.append)
    assert "W_ONE_READER" in [e.code for e in events if isinstance(e, Note)]
    assert packets(tmp_path / "out.mkv") == packets(tmp_path / "one.mkv")
    shard = replace(alone, job=replace(alone.job, shard=(1, 2)))
    with pytest.raises(ConfigError, match="in shards"):
        upscale_video(source, tmp_path / "other.mkv", shard)


def test_a_job_that_one_has_begun_is_gone_on_with_by_one(
    tmp_path: Path, source: Path, config: UpscaleConfig, expected: str
) -> None:
    stop, target = StopRequest(), tmp_path / "out.mp4"

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.frame == 20:
            stop.request()

    with pytest.raises(Stopped):
        upscale_video(source, target, shared(config), report=report, stop=stop)
    events: list[Event] = []
    upscale_video(source, target, shared(config, workers=2), report=events.append)
    assert "W_ONE_READER" in [e.code for e in events if isinstance(e, Note)]
    assert digest(target) == expected


def test_a_damaged_unit_is_computed_again(
    tmp_path: Path, source: Path, config: UpscaleConfig, expected: str
) -> None:
    target = tmp_path / "out.mp4"
    upscale_video(source, target, shared(config, shard=(1, 2)))
    chunk = job_folder(target, config.job) / "unit_000000" / "chunk_000000.mkv"
    chunk.write_bytes(chunk.read_bytes()[:-10] + bytes(10))
    upscale_video(source, target, shared(config, shard=(2, 2)))
    with pytest.raises(OutputError, match="is damaged"):
        join(target, None, ignore)
    events: list[Event] = []
    upscale_video(source, target, shared(config, shard=(1, 2)), report=events.append)
    assert "W_JOB_DAMAGED" in [e.code for e in events if isinstance(e, Note)]
    join(target, None, ignore)
    assert digest(target) == expected


def test_a_source_that_is_cut_off_gives_what_one_reader_gives(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(source.read_bytes()[: source.stat().st_size * 3 // 4])
    upscale_video(cut, tmp_path / "one.mp4", with_sound_left_out(config))
    events: list[Event] = []
    upscale_video(cut, tmp_path / "out.mp4", shared(config, workers=2), report=events.append)
    assert digest(tmp_path / "out.mp4") == digest(tmp_path / "one.mp4")
    codes = [event.code for event in events if isinstance(event, Note)]
    assert "W_INPUT_TRUNCATED" in codes


def test_split_shots_are_the_same_for_any_number_of_workers_and_are_another_job(
    tmp_path: Path, config: UpscaleConfig
) -> None:
    source = write_shots(tmp_path / "take.mkv", (100,))
    one, two, three = (tmp_path / f"{name}.mp4" for name in ("one", "two", "three"))
    upscale_video(source, one, shared(config, split=40))
    upscale_video(source, two, shared(config, split=40, workers=2))
    for number in (1, 2, 3):
        upscale_video(source, three, shared(config, split=40, shard=(number, 3)))
    with pytest.raises(ConfigError, match="--split 40"):
        upscale_video(source, three, shared(config, split=41, shard=(1, 3)))
    join(three, None, ignore)
    assert digest(one) == digest(two) == digest(three)
    with pytest.raises(ConfigError, match="`--split` cannot be had"):
        upscale_video(
            source, tmp_path / "x.mp4", replace(shared(config, split=40), scene_cut=False)
        )


def test_a_plan_says_units_and_workers_and_leaves_no_file(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    plan = Upscaler(shared(config, workers=2)).plan(source, tmp_path / "out.mp4")
    assert (plan.workers, plan.units) == (2, 3)
    assert list(tmp_path.glob("out*")) == []
