"""Targets that cannot be written are refused before any work."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeClip
from tests.media.flat_video import rewrite
from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
from vsr_cli.media.writing.destination import check_target


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


@pytest.mark.parametrize(
    "name",
    ["two words.mp4", "a:b.mkv", "http:x.mp4", "100%d.mkv", "-dash.mp4", "видео.mp4", "'q'.mov"],
)
def test_odd_names_are_taken_as_they_are(tmp_path: Path, make_clip: MakeClip, name: str) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=2)
    rewrite(source, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.mp4", name])


def test_a_finished_target_is_on_disk_before_anything_else_happens(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=2), tmp_path / "out" / "out.mp4"
    target.parent.mkdir()
    synced, fsync = list[int](), os.fsync

    def record(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    rewrite(source, target)
    assert synced == [target.stat().st_ino, target.parent.stat().st_ino]


FILL = """
import resource, signal, sys
from pathlib import Path
from tests.media.flat_video import rewrite
from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
most = int(sys.argv[3])  # bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    rewrite(Path(sys.argv[1]), Path(sys.argv[2]), OutputConfig(video_codec="ffv1"))
except OutputError as error:
    print(error.exit_code, error.hint)
"""


@pytest.mark.parametrize(("name", "most"), [("out.mkv", 2000), ("%d.png", 100)])
def test_where_no_more_fits_nothing_is_left_and_it_is_said(
    tmp_path: Path, make_clip: MakeClip, name: str, most: int
) -> None:
    source = make_clip(tmp_path / "in.mp4", size=(240, 320))
    script = FILL.replace('video_codec="ffv1"', "") if name.endswith("png") else FILL
    command = [sys.executable, "-c", script, str(source), str(tmp_path / name), str(most)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "4 free some space on the disk, or choose another\n", run.stderr
    assert sorted(tmp_path.iterdir()) == [source]
