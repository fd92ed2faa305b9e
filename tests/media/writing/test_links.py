"""Targets that are links, pipes or names of standard output."""

import os
import threading
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip, read_file
from tests.media.flat_video import FAST, rewrite
from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
from vsr_cli.events import ignore
from vsr_cli.media.containers import container_of, resolve_target
from vsr_cli.media.reading.reader import probe
from vsr_cli.media.writing.destination import check_target
from vsr_cli.media.writing.output_plan import plan_output
from vsr_cli.stdio import STDOUT

OVERWRITE = OutputConfig(preset="ultrafast", overwrite=True)


@pytest.fixture
def source(tmp_path: Path, make_clip: MakeClip) -> Path:
    return make_clip(tmp_path / "in.mp4", audio=["aac"])


@pytest.mark.parametrize("is_relative", [False, True])
@pytest.mark.parametrize("num_links", [1, 3])
def test_a_link_stays_and_its_file_becomes_the_video(
    tmp_path: Path, source: Path, num_links: int, is_relative: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / "film.mp4"
    file.write_bytes(b"old")
    file.chmod(0o640)
    before = Path("elsewhere/film.mp4") if is_relative else file
    for number in range(num_links):
        link = tmp_path / f"{number}.mp4"
        link.symlink_to(before)
        before = Path(link.name) if is_relative else link
    rewrite(source, link, OVERWRITE)
    assert link.is_symlink()
    assert not file.is_symlink()
    assert len(read_file(file).times) == 6
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["film.mp4"]


def test_a_link_to_nothing_has_its_file_made(tmp_path: Path, source: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "out.mp4"
    link.symlink_to("elsewhere/new.mp4")
    rewrite(source, link)
    assert link.is_symlink()
    assert len(read_file(tmp_path / "elsewhere" / "new.mp4").times) == 6


def test_what_a_link_leads_to_is_not_overwritten_unasked(tmp_path: Path, source: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"old")
    (tmp_path / "out.mp4").symlink_to("film.mp4")
    with pytest.raises(OutputError, match="exists"):
        rewrite(source, tmp_path / "out.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"old"


def test_a_link_to_the_source_is_the_source(tmp_path: Path, source: Path) -> None:
    (tmp_path / "out.mp4").symlink_to("in.mp4")
    with pytest.raises(OutputError, match="the source itself"):
        rewrite(source, tmp_path / "out.mp4", OVERWRITE)


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("b.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    with pytest.raises(OutputError, match="leads nowhere") as caught:
        resolve_target(tmp_path / "a.mp4")
    assert caught.value.hint


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_all_names_of_standard_output_are_one(name: str) -> None:
    assert resolve_target(Path(name)) == STDOUT
    assert container_of(Path(name), OutputConfig()).is_pipe


def read_all(pipe: Path, into: list[bytes]) -> threading.Thread:
    thread = threading.Thread(target=lambda: into.append(pipe.read_bytes()))
    thread.start()
    return thread


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(
    ("name", "format_"),
    [("out.mkv", "matroska,webm"), ("out.mp4", "mov,"), ("out", "matroska,webm"), ("out.ts", "mp")],
)
def test_a_named_pipe_gets_the_video_and_stays_a_pipe(
    tmp_path: Path, source: Path, name: str, format_: str
) -> None:
    pipe = tmp_path / name
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = read_all(pipe, got)
    rewrite(source, pipe, FAST if "mkv" not in name and "." in name else OutputConfig())
    reader.join(timeout=10)
    assert pipe.is_fifo()
    (tmp_path / "got").write_bytes(got[0])
    with av.open(f"file:{tmp_path / 'got'}") as container:
        assert container.format.name.startswith(format_)
        assert len(list(container.decode(video=0))) == 6


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_that_is_the_source_is_no_target(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mkv")
    with pytest.raises(OutputError, match="the source itself"):
        check_target(tmp_path / "pipe.mkv", tmp_path / "pipe.mkv", OutputConfig())


def test_a_plan_names_the_file_itself(tmp_path: Path, source: Path) -> None:
    """A job lies beside it, on the same disk, whatever link leads there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.mp4").symlink_to("elsewhere/film.mp4")
    info = probe(source)
    plan = plan_output(tmp_path / "out.mp4", source, info, (48, 64), FAST, report=ignore)
    assert plan.target == tmp_path / "elsewhere" / "film.mp4"
