"""Nothing but a job's own files is ever removed, whatever a folder is called."""

import os
from pathlib import Path

import pytest

from vsr_cli.config import JobConfig
from vsr_cli.errors import OutputError
from vsr_cli.pipeline.resume.folder import LOCK, MANIFEST, job_folder, remove_job
from vsr_cli.pipeline.resume.job import open_job


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.mkv"


@pytest.fixture
def folder(target: Path) -> Path:
    return job_folder(target, JobConfig())


def refusal(target: Path, *, fresh: bool = False) -> str:
    with pytest.raises(OutputError) as caught, open_job(target, JobConfig(fresh=fresh)):
        pass
    assert caught.value.hint is not None
    return str(caught.value.why)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_link_to_a_folder_is_left_alone(target: Path, folder: Path, *, fresh: bool) -> None:
    mine = target.parent / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    (mine / LOCK).touch()
    folder.symlink_to(mine)
    assert refusal(target, fresh=fresh) == "it is a link"
    assert (mine / "letter.txt").read_text() == "dear"
    assert folder.is_symlink()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_that_is_no_job_is_left_alone(target: Path, folder: Path, *, fresh: bool) -> None:
    folder.mkdir()
    (folder / "chunk_000000.mkv").write_text("mine")
    assert refusal(target, fresh=fresh) == "it holds files and no job"
    assert [path.name for path in folder.iterdir()] == ["chunk_000000.mkv"]


def test_links_within_a_job_are_not_followed(target: Path, folder: Path) -> None:
    mine = target.parent / "mine.mkv"
    mine.write_text("mine")
    folder.mkdir()
    (folder / LOCK).touch()
    (folder / "target.mkv").symlink_to(mine)
    assert refusal(target) == "`target.mkv` in it is a link"
    assert mine.read_text() == "mine"


def test_a_file_of_the_name_is_left_alone(target: Path, folder: Path) -> None:
    folder.write_text("mine")
    assert refusal(target) == "it is no folder"
    assert folder.read_text() == "mine"


def test_what_others_put_into_a_job_outlives_it(target: Path, folder: Path) -> None:
    with open_job(target, JobConfig()):
        (folder / "notes.txt").write_text("mine")
        (folder / "chunk_000000.raw").touch()
        (folder / f"{MANIFEST}.part").touch()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    (folder / LOCK).touch()
    assert remove_job(folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_fresh_start_removes_a_jobs_own_files_only(target: Path, folder: Path) -> None:
    folder.mkdir()
    for name in (LOCK, MANIFEST, "chunk_000001.mkv", "state_000000007.safetensors", "plan.txt"):
        (folder / name).touch()
    with open_job(target, JobConfig(fresh=True)):
        assert {path.name for path in folder.iterdir()} == {LOCK, "plan.txt"}


def test_a_new_job_is_nobody_elses_to_look_into(target: Path, folder: Path) -> None:
    with open_job(target, JobConfig()):
        assert folder.stat().st_mode & 0o077 == 0


def test_a_job_that_cannot_be_emptied_is_an_error_of_the_target(target: Path, folder: Path) -> None:
    (folder / MANIFEST).mkdir(parents=True)
    with (
        pytest.raises(OutputError, match="cannot be emptied"),
        open_job(target, JobConfig(fresh=True)),
    ):
        pass


def test_a_job_is_known_as_one_after_a_power_failure_until_it_is_gone(
    target: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder and lock are on disk before anything else, and the lock goes after all else."""
    synced, fsync = list[tuple[Path, list[str]]](), os.fsync

    def record(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        synced.append((path, sorted(file.name for file in path.iterdir())))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with open_job(target, JobConfig()) as job:
        assert synced == [(target.parent, [folder.name]), (folder, [LOCK])]
        job.chunk_path(0).touch()
    assert synced[2:] == [(folder, [LOCK])]
    assert not folder.exists()
