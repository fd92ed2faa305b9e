import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vsr_cli.cli.app import app
from vsr_cli.config import JobConfig
from vsr_cli.pipeline.resume.job import open_job
from vsr_cli.pipeline.resume.manifest import Checkpoint, Manifest


def jobs(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["jobs", *map(str, arguments)])


def unfinished(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with open_job(folder / name, JobConfig()) as job:
        manifest = Manifest(
            path="in.mp4", source={}, options={}, checkpoint=Checkpoint(num_frames=12)
        )
        manifest.write(job.manifest_path)
        return job.folder


def test_unfinished_jobs_are_listed_and_removed(tmp_path: Path) -> None:
    here, deeper = unfinished(tmp_path, "a.mp4"), unfinished(tmp_path / "deep", "b.mp4")
    (tmp_path / "mine.vsr-job").mkdir()  # not a job but called like one
    result = jobs("list", tmp_path, "--json")
    (job,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (job["folder"], job["frames"], job["busy"]) == (str(here), 12, False)
    assert jobs("list", tmp_path, "-r").stderr.count("12 frames done") == 2
    assert jobs("clean", tmp_path, "-r").exit_code == 0
    assert not here.exists()
    assert not deeper.exists()
    assert (tmp_path / "mine.vsr-job").exists()
    assert "no unfinished jobs here" in jobs("list", tmp_path).stderr


def test_a_job_at_work_is_not_removed(tmp_path: Path) -> None:
    unfinished(tmp_path, "a.mp4")
    with open_job(tmp_path / "a.mp4", JobConfig()) as job:
        assert "at work" in jobs("list", tmp_path).stderr
        assert "kept" in jobs("clean", tmp_path).stderr
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
    assert jobs("clean", tmp_path).exit_code == 0
    assert not folder.exists()
