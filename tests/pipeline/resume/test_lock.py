"""One run at a time works on a target, also where runs come and go quickly."""

import threading
import time
from pathlib import Path

import pytest

from vsr_cli.config import JobConfig
from vsr_cli.errors import JobBusyError, OutputError
from vsr_cli.pipeline.resume.folder import LOCK, job_folder, lock_folder
from vsr_cli.pipeline.resume.job import open_job


def test_runs_that_remove_their_folder_never_work_at_the_same_time(tmp_path: Path) -> None:
    target, errors = tmp_path / "out.mp4", list[str]()
    at_work, num_done = threading.Semaphore(), list[int]()

    def run() -> None:
        for _ in range(40):
            try:
                with open_job(target, JobConfig()):  # leaves no manifest, so the folder goes
                    if not at_work.acquire(blocking=False):
                        errors.append("two at once")
                        return
                    num_done.append(1)
                    at_work.release()
            except JobBusyError:
                pass
            except OutputError as error:
                errors.append(f"{error}: {error.why}")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(num_done) >= 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("obstacle", ["file", "link"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, obstacle: str) -> None:
    folder = job_folder(tmp_path / "out.mp4", JobConfig())
    if obstacle == "file":
        folder.write_text("mine")
    else:
        folder.symlink_to(tmp_path / "nowhere")
    with (
        pytest.raises(OutputError, match="is left alone"),
        open_job(tmp_path / "out.mp4", JobConfig()),
    ):
        pass


def test_whoever_waits_for_a_run_that_ends_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    folder, found = job_folder(target, JobConfig()), list[bool]()

    def wait() -> None:
        with lock_folder(folder, patience=60):
            found.append((folder / LOCK).exists())

    with open_job(target, JobConfig()):  # whose folder goes when it ends
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(timeout=0.03)
        assert thread.is_alive()
    thread.join()
    assert found == [True]


def test_a_folder_that_another_run_is_about_to_remove_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = job_folder(tmp_path / "out.mp4", JobConfig())
    folder.mkdir()
    left = folder / "chunk_000000.mkv"  # its lock has gone while the folder was being listed
    left.touch()
    monkeypatch.setattr(time, "sleep", lambda seconds: left.unlink(missing_ok=True))
    with lock_folder(folder):
        assert [path.name for path in folder.iterdir()] == [LOCK]
