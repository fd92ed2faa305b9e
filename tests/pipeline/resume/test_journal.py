"""The journal of an unfinished chunk: frames go in, are cut to those that count, and come back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from tests.conftest import MakeClip
from vsr_cli.config import OutputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.encoder_plan import EncoderPlan
from vsr_cli.media.writing.output_plan import plan_output
from vsr_cli.pipeline.resume.journal import FrameJournal, FrameTime, read_journal

SIZE = (33, 47)  # odd, so that planes of chroma are rounded up
NUM_FRAMES = 5
Coded = tuple[EncoderPlan, list[Frame]]


@pytest.fixture(params=["yuv420p", "yuv420p10le", "yuv444p12le"])
def coded(tmp_path: Path, make_clip: MakeClip, request: pytest.FixtureRequest) -> Coded:
    """Frames of different samples, and how they are coded."""
    source = make_clip(
        tmp_path / "in.mkv", codec="ffv1", num_frames=NUM_FRAMES, size=SIZE, pix_fmt=request.param
    )
    config = OutputConfig(video_codec="ffv1")
    target = tmp_path / "out.mkv"
    plan = plan_output(target, source, probe(source), SIZE, config, report=ignore).coding
    frames = [
        replace(frame, layout=plan.layout, color=plan.color)
        for frame in read_frames(source, report=ignore)
    ]
    return plan, frames


@pytest.fixture
def journal(tmp_path: Path, coded: Coded) -> Path:
    """All frames, in a file that was closed."""
    plan, frames = coded
    path = tmp_path / "chunk.raw"
    with FrameJournal(path, plan, 0) as journal:
        for frame in frames:
            journal.append(frame)
        journal.sync()
    return path


def assert_holds(path: Path, plan: EncoderPlan, frames: list[Frame]) -> None:
    times = [FrameTime.of(frame) for frame in frames]
    for found, frame in zip(read_journal(path, plan, times), frames, strict=True):
        assert FrameTime.of(found) == FrameTime.of(frame)
        for plane, other in zip(found.planes, frame.planes, strict=True):
            np.testing.assert_array_equal(plane, other)
            assert plane.dtype == other.dtype


def test_frames_come_back_sample_by_sample(journal: Path, coded: Coded) -> None:
    plan, frames = coded
    assert_holds(journal, plan, frames)
    assert journal.stat().st_size == NUM_FRAMES * plan.frame_bytes


@pytest.mark.parametrize("num_kept", [1, 3, NUM_FRAMES])
def test_going_on_keeps_the_frames_that_count_and_drops_the_rest(
    journal: Path, coded: Coded, num_kept: int
) -> None:
    plan, frames = coded
    with FrameJournal(journal, plan, num_kept) as more:
        assert journal.stat().st_size == num_kept * plan.frame_bytes
        more.append(frames[0])
    assert_holds(journal, plan, [*frames[:num_kept], frames[0]])


def test_starting_anew_keeps_nothing(journal: Path, coded: Coded) -> None:
    plan, frames = coded
    with FrameJournal(journal, plan, 0) as more:
        more.append(frames[-1])
    assert_holds(journal, plan, frames[-1:])
    assert journal.stat().st_size == plan.frame_bytes


@pytest.mark.parametrize("cut", [lambda size: size - 1, lambda size: size // 2, lambda size: 0])
def test_a_journal_that_is_too_short_is_refused(
    journal: Path, coded: Coded, cut: Callable[[int], int]
) -> None:
    plan, frames = coded
    data = journal.read_bytes()
    journal.write_bytes(data[: cut(len(data))])
    with pytest.raises(InputError, match="is damaged"):
        FrameJournal(journal, plan, NUM_FRAMES)
    with pytest.raises(InputError, match="cannot be read back"):
        list(read_journal(journal, plan, [FrameTime.of(frame) for frame in frames]))


def test_a_folder_that_goes_as_a_journal_is_opened_is_no_failure_of_its_own(
    journal: Path, coded: Coded, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, frames = coded
    real = Path.open

    def open_and_remove(path: Path, mode: str) -> IO[Any]:
        file = real(path, mode)
        path.unlink()
        return file

    monkeypatch.setattr(Path, "open", open_and_remove)
    with FrameJournal(journal, plan, NUM_FRAMES) as more:
        more.append(frames[0])
    assert not journal.exists()
