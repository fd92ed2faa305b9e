"""Targets that cannot be written are refused before any work."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeClip
from tests.media.writing import rewrite
from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
from vsr_cli.media.target import check_target


def refuse_existing(path: Path, source: Path) -> tuple[Path, OutputConfig]:
    (path / "out.mp4").write_bytes(b"precious")
    return path / "out.mp4", OutputConfig()


def refuse_itself(path: Path, source: Path) -> tuple[Path, OutputConfig]:
    return source, OutputConfig(overwrite=True)


def refuse_link_to_itself(path: Path, source: Path) -> tuple[Path, OutputConfig]:
    (path / "link.mp4").symlink_to(source)
    return path / "link.mp4", OutputConfig(overwrite=True)


def refuse_hard_link_to_itself(path: Path, source: Path) -> tuple[Path, OutputConfig]:
    os.link(source, path / "hard.mp4")
    return path / "hard.mp4", OutputConfig(overwrite=True)


def refuse_folder(path: Path, source: Path) -> tuple[Path, OutputConfig]:
    (path / "dir.mp4").mkdir()
    return path / "dir.mp4", OutputConfig(overwrite=True)


def refuse_no_folder(path: Path, source: Path) -> tuple[Path, OutputConfig]:
    return path / "nowhere" / "out.mp4", OutputConfig()


def refuse_file_as_folder(path: Path, source: Path) -> tuple[Path, OutputConfig]:
    return source / "out.mp4", OutputConfig()


def refuse_extension(path: Path, source: Path) -> tuple[Path, OutputConfig]:
    return path / "out.xyz", OutputConfig()


def refuse_no_extension(path: Path, source: Path) -> tuple[Path, OutputConfig]:
    return path / "out", OutputConfig()


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (refuse_existing, "exists"),
        (refuse_itself, "the source itself"),
        (refuse_link_to_itself, "the source itself"),
        (refuse_hard_link_to_itself, "the source itself"),
        (refuse_folder, "is a folder"),
        (refuse_no_folder, "not a folder that exists"),
        (refuse_file_as_folder, "not a folder that exists"),
        (refuse_extension, "known container"),
        (refuse_no_extension, "known container"),
    ],
)
def test_targets_that_cannot_be_written_are_refused_before_any_work(
    tmp_path: Path,
    make_clip: MakeClip,
    prepare: Callable[[Path, Path], tuple[Path, OutputConfig]],
    says: str,
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    target, config = prepare(tmp_path, source)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match=says) as caught:
        check_target(target, source, config)
    assert (caught.value.exit_code, bool(caught.value.hint)) == (4, True)
    with pytest.raises(OutputError, match=says):
        rewrite(source, target, config)
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_the_right_to_write_is_refused(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="cannot be written to"):
        check_target(folder / "out.mp4", source, OutputConfig())


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write to")
def test_a_folder_that_takes_no_files_is_refused_at_once(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    with pytest.raises(OutputError) as caught:
        rewrite(source, Path("/proc/self/out.mp4"))
    assert caught.value.hint
