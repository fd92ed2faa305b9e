"""The cache of previews gives up what is old, and only what is its own."""

import os
from pathlib import Path

import pytest

from vsr_cli.viewing import cache
from vsr_cli.viewing.cache import Cache, key_of, open_cache

DAY = 86400


def keep(folder: Path, name: str, age: float) -> Path:
    found = Cache(folder)
    path = found.path(key_of({"name": name}))
    path.write_bytes(b"x" * 100)
    found.keep(path.stem, {"seconds": 1.0})
    set_age(path, age)
    return path


def set_age(path: Path, age: float) -> None:
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


def make_job(folder: Path, target: str) -> Path:
    job = folder / f"{target}.vsr-job"
    job.mkdir()
    (job / "lock").touch()
    set_age(job, 2 * cache.OLDEST_JOB)
    return job


def test_the_oldest_samples_go_when_there_are_too_many(tmp_path: Path) -> None:
    old, new = keep(tmp_path, "old", 2 * DAY), keep(tmp_path, "new", DAY)
    Cache(tmp_path, most_bytes=150).prune()
    assert new.exists()
    assert not old.exists()
    assert not old.with_suffix(".json").exists()


@pytest.mark.parametrize("name", ["holiday", key_of({})[:-1], key_of({}).upper() + "x"])
def test_files_of_somebody_else_stay_whatever_lies_beside_them(tmp_path: Path, name: str) -> None:
    video, note = tmp_path / f"{name}.mkv", tmp_path / f"{name}.json"
    video.write_bytes(b"x" * 1000)
    note.write_text("{}")
    set_age(video, 100 * DAY)
    alone = tmp_path / f"{key_of({})}.mkv"  # named as ours are, but without a note
    alone.write_bytes(b"x" * 1000)
    Cache(tmp_path, most_bytes=1).prune()
    assert video.exists()
    assert note.exists()
    assert alone.exists()


def test_what_was_interrupted_is_given_up_but_no_job_of_the_user(tmp_path: Path) -> None:
    ours = make_job(tmp_path, f"{key_of({})}.mkv")
    theirs = make_job(tmp_path, "film.mp4")
    with open_cache(tmp_path):
        assert not ours.exists()
    assert theirs.exists()
