"""A folder that is watched: nothing is taken too early, lost, or made twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.fakes import FakePipeline
from tests.conftest import MakeClip, write_clip
from tests.networks import write_tiny_weights
from vsr_cli.api import Upscaler
from vsr_cli.cli.app import app
from vsr_cli.cli.batch_run import Batch
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.watch import NOTES, PATIENCE, UNCHANGED, Watch
from vsr_cli.errors import ConfigError, InputError, JobBusyError
from vsr_cli.media.reading.whole import why_incomplete

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    return tmp_path


@pytest.fixture
def watch(folder: Path, pipeline: FakePipeline) -> Iterator[Watch]:
    """A watcher of `in` whose results go to `out`."""
    with report_failures() as errors:
        work = Batch(
            upscaler=Upscaler(),
            out=Path("out"),
            template="{stem}.mkv",
            errors=errors,
            as_json=False,
            quiet=True,
        )
        yield Watch(work, [Path("in")], recursive=True, retry=False)


def polls(watch: Watch, count: int) -> list[list[str]]:
    """What is ready at each of so many looks."""
    return [[source.path.name for source in watch.poll()] for _ in range(count)]


def run(*arguments: str) -> Result:
    words = ["batch", "in", "-o", "out", "--watch", "--every", "0.01", "--exit-when-idle", "0.1"]
    return CliRunner().invoke(app, [*words, "--name", "{stem}.mkv", *arguments])


def test_a_file_is_taken_when_it_has_not_changed_for_two_looks(
    watch: Watch, make_clip: MakeClip
) -> None:
    data = make_clip(Path("whole.mkv"), num_frames=12).read_bytes()
    for share in (1, 2, 3):
        Path("in/a.mkv").write_bytes(data[: len(data) * share // 3])
        assert polls(watch, 1) == [[]]
    assert polls(watch, UNCHANGED) == [[], ["a.mkv"]]


def test_a_file_that_gets_its_name_when_it_is_whole_is_not_seen_before(
    watch: Watch, make_clip: MakeClip
) -> None:
    Path("in/.trash").mkdir()
    names = (
        *("a.part.mkv", ".a.mkv", "a.mkv.part", "a.tmp.mkv", "~a.mkv", "a.mkv.crdownload"),
        ".trash/a.mkv",
    )
    for name in names:
        make_clip(Path("whole.mkv")).rename(Path("in") / name)
    assert polls(watch, 2 * PATIENCE) == [[]] * 2 * PATIENCE
    Path("in", names[0]).rename("in/a.mkv")
    assert polls(watch, 3) == [[], [], ["a.mkv"]]


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_file_that_stands_still_and_is_not_whole_waits_and_is_taken_in_the_end(
    watch: Watch, make_clip: MakeClip, name: str
) -> None:
    clip = make_clip(Path("in") / name, num_frames=50, audio=["aac"])
    whole = clip.read_bytes()
    clip.write_bytes(whole[: len(whole) // 2])
    assert polls(watch, PATIENCE) == [[]] * PATIENCE
    assert polls(watch, 1) == [[name]]
    clip.write_bytes(whole)
    assert polls(watch, 3) == [[], [], [name]]


def test_a_file_is_read_to_its_last_packet(tmp_path: Path, make_clip: MakeClip) -> None:
    for suffix in ("mkv", "mp4", "ts", "avi"):
        clip = make_clip(tmp_path / f"a.{suffix}", num_frames=50)
        assert why_incomplete(clip) is None
    cut = tmp_path / "a.mkv"
    cut.write_bytes(cut.read_bytes()[:-2000])
    assert why_incomplete(cut) == "it ends before its header says"
    cut.write_bytes(b"words")
    assert str(why_incomplete(cut)).startswith("it does not open: ")
    assert why_incomplete(tmp_path / "none.mkv") is not None


def test_what_has_a_target_is_done(watch: Watch, make_clip: MakeClip) -> None:
    make_clip(Path("in/a.mkv"))
    Path("out").mkdir()
    Path("out/a.mkv").touch()
    assert polls(watch, 5) == [[]] * 5


def test_all_that_comes_is_made_once_and_then_it_ends(
    folder: Path, pipeline: FakePipeline, make_clip: MakeClip
) -> None:
    make_clip(Path("in/a.mkv"))
    Path("in/deep").mkdir()
    make_clip(Path("in/deep/b.mkv"))

    def make() -> None:
        target = pipeline.jobs[-1][1]
        target.touch()
        if len(pipeline.jobs) == 1:  # another one comes in the meantime
            make_clip(Path("in/c.mkv"))

    pipeline.fail = make
    result = run("-r", "--json")
    assert result.exit_code == 0, result.stderr
    assert [str(job[0]) for job in pipeline.jobs] == ["in/a.mkv", "in/deep/b.mkv", "in/c.mkv"]
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["source"] for event in events if event["type"] == "found"] == [
        str(job[0]) for job in pipeline.jobs
    ]
    assert events[-1]["type"] == "summary"
    assert events[-1]["done"] == 3


def test_what_has_failed_is_tried_again_only_when_it_changes_or_is_to_be(
    folder: Path, pipeline: FakePipeline, make_clip: MakeClip
) -> None:
    clip = make_clip(Path("in/a.mkv"))

    def fail() -> None:
        raise InputError("it broke")

    pipeline.fail = fail
    assert run().exit_code == 9
    [note] = json.loads(Path("out", NOTES).read_text())["failed"].values()
    assert (note["size"], note["exit"]) == (clip.stat().st_size, 3)
    assert (run().exit_code, len(pipeline.jobs)) == (0, 1)
    assert (run("--retry").exit_code, len(pipeline.jobs)) == (9, 2)
    make_clip(clip, num_frames=9)
    pipeline.fail = lambda: None
    assert (run().exit_code, len(pipeline.jobs)) == (0, 3)
    assert json.loads(Path("out", NOTES).read_text())["failed"] == {}


@pytest.mark.parametrize("text", ["", "[]", '{"failed": 1}', '{"failed": {"a": {"size": "x"}}}'])
def test_notes_that_are_damaged_are_none(
    folder: Path, pipeline: FakePipeline, make_clip: MakeClip, text: str
) -> None:
    make_clip(Path("in/a.mkv"))
    Path("out").mkdir()
    Path("out", NOTES).write_text(text)
    assert (run().exit_code, len(pipeline.jobs)) == (0, 1)


def test_what_another_watcher_is_at_is_looked_at_again(watch: Watch, make_clip: MakeClip) -> None:
    make_clip(Path("in/a.mkv"))
    assert polls(watch, 3)[-1] == ["a.mkv"]

    def fail() -> None:
        raise JobBusyError("another run")

    pipeline = watch._batch.upscaler._pipeline.pipeline  # type: ignore[attr-defined]
    pipeline.fail = fail
    sleeps: list[float] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(pipeline.jobs) == 2:
            Path("out/a.mkv").touch()  # which the other one has made

    watch.run(5.0, 30.0, sleep=sleep, clock=lambda: 5.0 * len(sleeps))
    assert len(pipeline.jobs) == 2
    assert watch._batch.outcomes == []


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["in", "-o", "out", "-y"], "`--watch` and `-y` contradict"),
        (["in", "-o", "out", "--dry-run"], "`--watch` and `--dry-run` contradict"),
        (["in", "-o", "in"], "results would come into it"),
        (["in/deep", "-o", "in"], "results would come into it"),
        (["in/a.mkv", "-o", "out"], "is not a folder"),
        (["-o", "out"], "no folder was given"),
    ],
)
def test_what_cannot_be_watched_is_refused(
    folder: Path, pipeline: FakePipeline, words: list[str], what: str
) -> None:
    Path("in/deep").mkdir()
    Path("in/a.mkv").touch()
    result = CliRunner().invoke(app, ["batch", *words, "--watch", "--exit-when-idle", "0"])
    assert result.exit_code == 2
    assert what in result.stderr


def test_a_watched_folder_may_hold_the_results_in_a_folder_of_their_own(watch: Watch) -> None:
    Watch(watch._batch, [Path()], recursive=True, retry=False)
    with pytest.raises(ConfigError):
        Watch(watch._batch, [Path("out")], recursive=True, retry=False)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_watcher_that_is_ended_at_work_loses_nothing_and_makes_nothing_twice(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Ended in the midst of the second video; the next one makes what is left of it."""
    weights = write_tiny_weights(tmp_path / "tiny.safetensors")
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        write_clip(tmp_path / f"in/{name}.mkv", num_frames=40)
    command = [
        *(sys.executable, "-m", "vsr_cli", "batch", "in", "-o", "out", "--watch", "--json"),
        *("--every", "0.05", "--exit-when-idle", "0.5", "--name", "{stem}.mkv", "--scale", "1"),
        *("--model", str(weights), "--steps", "1", "--clip-length", "4", "--checkpoint", "0"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["type"] == "progress" and event["frame"] >= 16 and event["file_index"] == 2:
                break
            assert time.monotonic() - started < 120
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == code
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.mkv")}
    assert set(first) == {"a.mkv"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    made = [event["source"] for event in events if event["type"] == "done"]
    assert made == ["in/b.mkv", "in/c.mkv"]
    assert any(event.get("code") == "W_RESUMED" for event in events)
    assert (tmp_path / "out/a.mkv").stat().st_mtime_ns == first["a.mkv"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mkv", "b.mkv", "c.mkv"]
