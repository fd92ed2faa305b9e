import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.fakes import FakePipeline
from vsr_cli.cli.app import app
from vsr_cli.config import JobConfig
from vsr_cli.pipeline.resume.job import open_job
from vsr_cli.pipeline.resume.manifest import Checkpoint, Manifest

ROOT = Path(__file__).resolve().parents[2]


def jobs(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["jobs", *map(str, arguments)])


def unfinished(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with open_job(folder / name, JobConfig()) as job:
        manifest = Manifest(
            path="/a/in.mp4",
            source={},
            options={},
            checkpoint=Checkpoint(num_frames=12),
            target=f"/b/{name}",
            num_frames=40,
            command=f"cd {Path.cwd()} && vsr upscale in.mp4 {name}",
        )
        manifest.write(job.manifest_path)
        return job.folder


def test_unfinished_jobs_are_listed_and_removed(tmp_path: Path) -> None:
    here, deeper = unfinished(tmp_path, "a.mp4"), unfinished(tmp_path / "deep", "b.mp4")
    (tmp_path / "mine.vsr-job").mkdir()  # not a job but called like one
    result = jobs("list", tmp_path, "--json")
    (job,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (job["folder"], job["frames"], job["busy"]) == (str(here), 12, False)
    assert jobs("list", tmp_path, "-r").stderr.count("12 of 40 frames done") == 2
    assert jobs("clean", tmp_path, "-r", "-y").exit_code == 0
    assert not here.exists()
    assert not deeper.exists()
    assert (tmp_path / "mine.vsr-job").exists()
    assert "no unfinished jobs here" in jobs("list", tmp_path).stderr


def test_a_job_says_what_it_is_about_how_old_it_is_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unfinished(tmp_path, "a.mp4")
    for path in folder.iterdir():
        os.utime(path, (time.time() - 7200,) * 2)
    line, command = jobs("list", tmp_path).stderr.splitlines()
    assert line.startswith(f"`{folder}`: 12 of 40 frames done, `/a/in.mp4` -> `/b/a.mp4`, ")
    assert line.endswith(" MB, 2 hours ago")
    assert command == "  to go on: vsr upscale in.mp4 a.mp4"
    event = json.loads(jobs("list", tmp_path, "--json").stdout)
    assert (event["frames"], event["frames_all"], event["target"]) == (12, 40, "/b/a.mp4")
    assert 7190 < event["age_s"] < 7300
    here = Path.cwd()
    monkeypatch.chdir(tmp_path)
    assert f"  to go on: cd {here} && vsr upscale" in jobs("list").stderr


def test_nothing_is_removed_without_a_word_from_somebody(tmp_path: Path) -> None:
    folder = unfinished(tmp_path, "a.mp4")
    result = jobs("clean", tmp_path)
    assert (result.exit_code, folder.exists()) == (2, True)
    assert "there is nobody to ask\nhint: add `-y`" in result.stderr


def test_nobody_is_asked_where_there_is_nothing_to_remove(tmp_path: Path) -> None:
    result = jobs("clean", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "no unfinished jobs here\n")


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "is_kept"), [(b"n", True), (b"", True), (b"y", False)])
def test_on_a_terminal_it_is_asked_what_to_remove(
    tmp_path: Path, answer: bytes, is_kept: bool
) -> None:
    folder = unfinished(tmp_path, "a.mp4")
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "vsr_cli", "jobs", "clean", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=follower, stdout=subprocess.PIPE, stderr=follower
    ) as process:
        os.write(leader, answer + b"\n")
        assert process.wait(timeout=60) == 0
    os.close(follower)
    shown = ""
    with suppress(OSError):  # of the end
        while said := os.read(leader, 10_000):
            shown += said.decode()
    os.close(leader)
    assert "remove 1 unfinished job," in shown
    assert folder.exists() == is_kept


def test_a_job_at_work_is_not_removed(tmp_path: Path) -> None:
    unfinished(tmp_path, "a.mp4")
    with open_job(tmp_path / "a.mp4", JobConfig()) as job:
        assert "at work" in jobs("list", tmp_path).stderr
        assert "kept" in jobs("clean", tmp_path, "-y").stderr
        assert job.manifest_path.exists()


def test_a_folder_that_is_missing_is_an_input_error(tmp_path: Path) -> None:
    assert jobs("list", tmp_path / "none").exit_code == 3


@pytest.mark.parametrize("damage", [b"", b"no json", b"\xff\xfe"])
def test_a_job_whose_manifest_is_damaged_is_listed_and_can_be_removed(
    tmp_path: Path, damage: bytes
) -> None:
    folder = unfinished(tmp_path, "a.mp4")
    (folder / "manifest.json").write_bytes(damage)
    result = jobs("list", tmp_path, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["folder"] == str(folder)
    assert jobs("clean", tmp_path, "-y").exit_code == 0
    assert not folder.exists()


def test_a_command_leaves_with_its_job_how_to_go_on(
    pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["upscale", "in.mp4", "out.mp4", "--fresh"]
    monkeypatch.setattr("sys.argv", ["vsr", *words])
    assert CliRunner().invoke(app, words).exit_code == 0
    [(_, _, config)] = pipeline.jobs
    assert config.job.command == f"cd {Path.cwd()} && vsr upscale in.mp4 out.mp4"


def test_a_job_that_is_not_shared_is_told_with_the_command_that_goes_on(tmp_path: Path) -> None:
    unfinished(tmp_path, "a.mp4")
    for command in ("show", "join"):
        result = jobs(command, tmp_path / "a.mp4")
        assert result.exit_code == 4
        assert result.stderr.splitlines() == [
            f"error: the unfinished job of `{tmp_path / 'a.mp4'}` is not shared",
            "why: one process makes all of it, 12 frames of 40 so far",
            f"hint: to go on, run `cd {Path.cwd()} && vsr upscale in.mp4 a.mp4`",
        ]
    result = jobs("show", tmp_path / "b.mp4")
    assert result.exit_code == 4
    assert "there is no unfinished job" in result.stderr
    assert "vsr jobs list" in result.stderr
