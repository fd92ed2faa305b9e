"""A cluster on this machine makes the file that one process makes, whatever becomes of it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.pipeline.runs import upscale_video
from tests.pipeline.units.clips import digest, tiny_config, write_shots
from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.cli.app import app
from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import DeviceError, OutputError
from vsr_cli.events import Event, Note, Plan, Progress, UnitState, WorkerState
from vsr_cli.pipeline.cluster.connection import load_ray
from vsr_cli.pipeline.cluster.upscaler import ClusterUpscaler
from vsr_cli.pipeline.resume.folder import job_folder
from vsr_cli.pipeline.units.films import FilmQueue

pytest.importorskip("ray")
pytestmark = [pytest.mark.cluster, pytest.mark.slow]

LENGTHS = (50, 30, 25, 52)  # three units
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of one machine, which tests may add to."""
    load_ray()
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args=NODE)
    yield found
    found.shutdown()


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:  # noqa: ANN401
    """Another machine of it."""
    node = cluster.add_node(**{**NODE, "include_dashboard": None})
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_shots(tmp_path / "in.mkv", LENGTHS)


@pytest.fixture
def config(model_file: Path) -> UpscaleConfig:
    config = tiny_config(model_file, checkpoint=0)
    return replace(config, output=replace(config.output, audio="none"))


@pytest.fixture
def expected(source: Path, config: UpscaleConfig, tmp_path: Path) -> str:
    upscale_video(source, tmp_path / "one.mp4", config)
    return digest(tmp_path / "one.mp4")


def on(cluster: Any, config: UpscaleConfig, **job: object) -> UpscaleConfig:  # noqa: ANN401
    changes: dict[str, Any] = {"ray": cluster.address, "workers": None, **job}
    return replace(config, job=replace(config.job, **changes))


def run(
    source: Path,
    target: Path,
    config: UpscaleConfig,
    report: Callable[[Event], None],
    stop: StopRequest | None = None,
) -> None:
    ClusterUpscaler(config, stop=stop).upscale(source, target, report=report)


def holder_of(index: int, job: str = "") -> int | None:
    """The process that has a unit, of the job in a folder of that name."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::" not in (process / "cmdline").read_bytes():
                continue
            links = [str(path.readlink()) for path in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(f"{job}/unit_{index:06}/lock" in link for link in links):
            return int(process.name)
    return None


@contextmanager
def striking(index: int, number: signal.Signals, times: int = 1) -> Iterator[list[int]]:
    """Within, workers of a unit get a signal as soon as they have it; gives their processes."""
    struck: list[int] = []
    has_ended = threading.Event()

    def strike() -> None:
        while len(struck) < times and not has_ended.wait(0.02):
            process = holder_of(index)
            if process is not None and process not in struck:
                struck.append(process)
                os.kill(process, number)

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        yield struck
    finally:
        has_ended.set()
        thread.join()


def codes(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Note)]


def test_a_cluster_makes_the_file_that_one_makes(
    cluster: Any,  # noqa: ANN401
    second: object,
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    expected: str,
) -> None:
    events: list[Event] = []
    target = tmp_path / "out.mp4"
    run(source, target, on(cluster, config), events.append)
    assert digest(target) == expected
    assert "W_RAY_OPEN" in codes(events)
    (plan,) = [event for event in events if isinstance(event, Plan)]
    assert (plan.workers, plan.units, plan.device) == (2, 3, "cpu")
    done = [e.index for e in events if isinstance(e, UnitState) and e.state == "done"]
    assert sorted(done) == [0, 1, 2]
    states = [event.state for event in events if isinstance(event, WorkerState)]
    assert states == ["started", "started", "done", "done"]
    frames = [e.frame for e in events if isinstance(e, Progress) and e.stage == "upscale"]
    assert frames == sorted(frames)
    assert frames[-1] == sum(LENGTHS)
    assert list(tmp_path.glob("*.vsr-job")) == []


def test_a_plan_says_units_and_workers_and_leaves_no_file(
    cluster: Any,  # noqa: ANN401
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
) -> None:
    plan = ClusterUpscaler(on(cluster, config)).plan(source, tmp_path / "out.mp4")
    assert (plan.workers, plan.units) == (1, 3)
    assert list(tmp_path.glob("out*")) == []


def test_a_worker_that_is_killed_has_its_unit_taken_up(
    capfd: pytest.CaptureFixture[str],
    cluster: Any,  # noqa: ANN401
    second: object,
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    expected: str,
) -> None:
    events: list[Event] = []
    target = tmp_path / "out.mp4"
    with striking(1, signal.SIGKILL):
        run(source, target, on(cluster, config), events.append)
    assert digest(target) == expected
    assert capfd.readouterr().out == ""  # which is for events
    of_it = [event for event in events if isinstance(event, UnitState) and event.index == 1]
    assert max(event.attempt for event in of_it) == 2
    assert [event.state for event in of_it].count("lost") == 1
    assert codes(events).count("W_WORKER_LOST") == 1


def test_a_machine_that_is_taken_away_secures_what_it_has(
    cluster: Any,  # noqa: ANN401
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    expected: str,
) -> None:
    events: list[Event] = []
    target = tmp_path / "out.mp4"
    rare = on(cluster, config, checkpoint=3600)  # else nothing would be kept within a unit
    with striking(0, signal.SIGTERM):
        run(source, target, rare, events.append)
    assert digest(target) == expected
    assert "W_RESUMED" in codes(events)
    assert codes(events).count("W_WORKER_LOST") == 1


def test_a_machine_that_is_lost_has_its_units_taken_up(
    cluster: Any,  # noqa: ANN401
    second: Any,  # noqa: ANN401
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    expected: str,
) -> None:
    events: list[Event] = []
    target = tmp_path / "out.mp4"
    removing: list[threading.Thread] = []

    def report(event: Event) -> None:
        events.append(event)
        begun = [e for e in events if isinstance(e, UnitState) and e.state == "begun"]
        if len(begun) == 2 and not removing:
            removing.append(threading.Thread(target=cluster.remove_node, args=(second,)))
            removing[0].start()

    run(source, target, on(cluster, config), report)
    removing[0].join()
    assert digest(target) == expected
    assert codes(events).count("W_WORKER_LOST") == 1


def test_a_unit_that_kills_every_worker_ends_the_job_after_all_others(
    cluster: Any,  # noqa: ANN401
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    expected: str,
) -> None:
    events: list[Event] = []
    target = tmp_path / "out.mp4"
    died = "workers have died of unit 1, 3 of them"
    with striking(1, signal.SIGKILL, 3), pytest.raises(DeviceError, match=died) as failed:
        run(source, target, on(cluster, config), events.append)
    assert failed.value.exit_code == 6
    done = [e.index for e in events if isinstance(e, UnitState) and e.state == "done"]
    assert sorted(done) == [0, 2]
    again: list[Event] = []
    run(source, target, on(cluster, config), again.append)
    assert [e.index for e in again if isinstance(e, UnitState) and e.state == "done"] == [1]
    assert digest(target) == expected


def test_a_stopped_job_goes_on(
    cluster: Any,  # noqa: ANN401
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    expected: str,
) -> None:
    stop, target = StopRequest(), tmp_path / "out.mp4"

    def report(event: Event) -> None:
        if isinstance(event, UnitState) and event.state == "done":
            stop.request()

    with pytest.raises(Stopped) as stopped:
        run(source, target, on(cluster, config), report, stop)
    assert stopped.value.num_frames >= 50
    events: list[Event] = []
    run(source, target, on(cluster, config), events.append)
    assert len([e for e in events if isinstance(e, UnitState) and e.state == "done"]) < 3
    assert digest(target) == expected


def test_a_head_that_is_killed_computes_nothing_twice_when_it_comes_again(
    cluster: Any,  # noqa: ANN401
    tmp_path: Path,
    source: Path,
    model_file: Path,
    config: UpscaleConfig,
    expected: str,
) -> None:
    target = tmp_path / "out.mp4"
    words = [
        *(sys.executable, "-m", "vsr_cli", "upscale", str(source), str(target)),
        *("--ray", str(cluster.address), "--model", str(model_file), "--device", "cpu"),
        *("--dtype", "float32", "--scale", "2", "--steps", "1", "--clip-length", "8"),
        *("--vcodec", "libx264", "--checkpoint", "0", "--audio", "none", "--json"),
    ]
    head = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert head.stdout is not None
    for line in head.stdout:
        if '"unit"' in line and '"done"' in line:
            break
    head.kill()
    head.wait()
    folder = job_folder(target, config.job)
    chunks = [path for unit in folder.glob("unit_*") for path in unit.glob("chunk_*.mkv")]
    times = {path: path.stat().st_mtime_ns for path in chunks}
    assert times
    while any(holder_of(index) for index in range(3)):
        time.sleep(0.1)
    again = subprocess.run([*words, "--keep-job"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count('"state": "done", "attempt"') < 3
    assert {path: path.stat().st_mtime_ns for path in chunks} == times
    assert digest(target) == expected


def test_other_weights_are_refused_before_any_work(
    cluster: Any,  # noqa: ANN401
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vsr_cli.pipeline.cluster import sight, upscaler

    def look_around(*args: object, **seen: bool) -> object:
        return replace(sight.look_around(*args, **seen), weights="0" * 64)  # type: ignore[arg-type]

    monkeypatch.setattr(upscaler, "look_around", look_around)
    events: list[Event] = []
    with pytest.raises(DeviceError, match="another weights") as refused:
        run(source, tmp_path / "out.mp4", on(cluster, config), events.append)
    assert refused.value.exit_code == 6
    assert not [event for event in events if isinstance(event, Plan | UnitState)]
    assert list(tmp_path.glob("out*")) == []


def test_a_folder_that_workers_do_not_see_is_refused(
    cluster: Any,  # noqa: ANN401
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vsr_cli.pipeline.cluster import upscaler

    monkeypatch.setattr(upscaler, "leave_token", lambda folder: "of another folder")
    with pytest.raises(OutputError, match="workers do not see") as refused:
        run(source, tmp_path / "out.mp4", on(cluster, config), lambda _: None)
    assert refused.value.exit_code == 4
    assert "--job-dir` on shared storage" in (refused.value.hint or "")


def test_workers_scan_the_source_and_find_what_one_reader_finds(
    cluster: Any,  # noqa: ANN401
    second: Any,  # noqa: ANN401
    tmp_path: Path,
    model_file: Path,
    config: UpscaleConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = {"preset": "medium", "x264-params": "keyint=25:open-gop=1"}
    source = write_shots(tmp_path / "in.mkv", LENGTHS, options=options)
    monkeypatch.setattr("vsr_cli.pipeline.units.scan.WORTHWHILE", 20)
    monkeypatch.setattr("vsr_cli.pipeline.units.parts.FEWEST_FRAMES", 20)
    caplog.set_level("DEBUG", "vsr_cli")
    plan = ClusterUpscaler(on(cluster, config)).plan(source, tmp_path / "out.mp4")
    assert "scanned by 2 processes" in caplog.text
    assert "by one process" not in caplog.text
    assert (plan.workers, plan.units) == (2, 3)


def test_workers_keep_their_model_between_two_videos(
    cluster: Any,  # noqa: ANN401
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    expected: str,
) -> None:
    events: list[Event] = []
    upscaler = ClusterUpscaler(on(cluster, config))
    with upscaler.kept():
        for name in ("a.mp4", "b.mp4"):
            upscaler.upscale(source, tmp_path / name, report=events.append)
            assert digest(tmp_path / name) == expected
    states = [event.state for event in events if isinstance(event, WorkerState)]
    assert states == ["started", "done"]


def test_a_worker_without_work_begins_the_next_video(
    cluster: Any,  # noqa: ANN401
    second: object,
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    expected: str,
) -> None:
    """The last unit of the first video is held up until the second has made something."""
    begun, overlapped = list[int](), list[bool]()
    states: list[str] = []
    one, two = (tmp_path / f"{name}.mp4.vsr-job" for name in "ab")

    def hold(index: int) -> None:
        deadline = time.monotonic() + 180
        while (process := holder_of(index, one.name)) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process is not None
        os.kill(process, signal.SIGSTOP)
        while not list(two.glob("unit_*/chunk_*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        overlapped.append(bool(list(two.glob("unit_*/chunk_*"))) and one.exists())
        os.kill(process, signal.SIGCONT)

    def watch(event: Event) -> None:
        if isinstance(event, WorkerState):
            states.append(event.state)
        if isinstance(event, UnitState) and event.state == "begun":
            begun.append(event.index)
            if len(begun) == 3:
                threading.Thread(target=hold, args=(event.index,)).start()

    upscaler = ClusterUpscaler(on(cluster, config))
    with upscaler.kept(), FilmQueue(upscaler.film, StopRequest()) as queue:
        following = lambda: (source, tmp_path / "b.mp4")  # noqa: E731
        queue.upscale(source, tmp_path / "a.mp4", report=watch, following=following)
        queue.upscale(source, tmp_path / "b.mp4", report=watch, following=lambda: None)
    assert overlapped == [True]
    assert [digest(tmp_path / f"{name}.mp4") for name in "ab"] == [expected] * 2
    assert sorted(states) == ["done", "done", "started", "started"]


def test_a_batch_is_made_by_a_cluster(
    cluster: Any,  # noqa: ANN401
    tmp_path: Path,
    source: Path,
    model_file: Path,
    expected: str,
) -> None:
    other = write_shots(tmp_path / "short.mkv", (20,))
    words = [
        *("batch", str(source), str(other), "-o", str(tmp_path / "up"), "--name", "{stem}.mp4"),
        *("--ray", str(cluster.address), "--model", str(model_file), "--device", "cpu"),
        *("--dtype", "float32", "--scale", "2", "--steps", "1", "--clip-length", "8"),
        *("--vcodec", "libx264", "--audio", "none", "--json"),
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert digest(tmp_path / "up" / "in.mp4") == expected
    assert (tmp_path / "up" / "short.mp4").exists()
    started = [e for e in events if e["type"] == "worker" and e["state"] == "started"]
    assert len(started) == 1
    assert {e["file_index"] for e in events if e["type"] == "unit"} == {1, 2}
    assert all(e["workers_alive"] == 1 for e in events if e.get("stage") == "upscale")
