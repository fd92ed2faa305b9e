"""Files that appear complete or not at all."""

import os
from pathlib import Path

import pytest

from vsr_cli.atomic import (
    create_when_complete,
    is_same_file,
    move_into_place,
    replace_when_complete,
)


def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replace_when_complete(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_what_fails_leaves_the_old_file_alone(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write() -> None:
        with replace_when_complete(path) as part:
            part.write_text("half of the n")
            raise failure

    with pytest.raises(failure):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_disk_before_the_name_and_the_name_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "file.txt", list[tuple[str, bool]]()
    fsync = os.fsync

    def record(descriptor: int) -> None:
        is_folder = os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        synced.append(("folder" if is_folder else "file", path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with replace_when_complete(path) as part:
        part.write_text("new")
    assert synced == [("file", False), ("folder", True)]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_name_that_is_taken_meanwhile_is_not_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    temp, path = tmp_path / "temp", tmp_path / "file.txt"
    temp.write_text("new")
    path.write_text("somebody's")
    with pytest.raises(FileExistsError):
        move_into_place(temp, path, replace=False)
    assert (temp.read_text(), path.read_text()) == ("new", "somebody's")
    path.unlink()
    move_into_place(temp, path, replace=False)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_takes_a_files_place_has_its_rights(tmp_path: Path) -> None:
    temp, path = tmp_path / "temp", tmp_path / "file.txt"
    for file in (temp, path):
        file.touch()
    path.chmod(0o600)
    temp.chmod(0o644)
    move_into_place(temp, path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_of_a_users_name_touches_no_other(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "look.png.part").write_text("mine")
    with create_when_complete(tmp_path / "look.png", replace=replace) as temp:
        temp.write_text("new")
    assert (tmp_path / "look.png").read_text() == "new"
    assert (tmp_path / "look.png.part").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_name_that_is_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "look.png"

    def write() -> None:
        with create_when_complete(path, replace=False) as temp:
            temp.write_text("new")
            path.write_text("mine")

    with pytest.raises(FileExistsError):
        write()
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "mine"


def test_files_are_the_same_by_whatever_name(tmp_path: Path) -> None:
    one, link = tmp_path / "one", tmp_path / "link"
    one.touch()
    link.symlink_to(one)
    assert is_same_file(one, link)
    assert is_same_file(tmp_path / "gone", tmp_path / "gone")
    assert not is_same_file(one, tmp_path / "gone")
