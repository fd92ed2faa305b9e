"""Chunks and checkpoints of a job: how long, how often, and what is gone on from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest
import torch
from torch import Tensor

from tests.conftest import MakeClip
from vsr_cli.config import JobConfig, OutputConfig
from vsr_cli.errors import JobDamagedError
from vsr_cli.events import ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.output_plan import plan_output
from vsr_cli.pipeline.resume import output as module
from vsr_cli.pipeline.resume.job import Job
from vsr_cli.pipeline.resume.manifest import Manifest
from vsr_cli.pipeline.resume.output import CheckpointedOutput
from vsr_cli.pipeline.resume.state import save_tensors

SIZE = (32, 48)
NUM_FRAMES = 60


class State:
    """What a clip hands on: one tensor."""

    def tensors(self) -> dict[str, Tensor]:
        return {"latents": torch.arange(6.0)}

    def release(self) -> None:
        """Nothing of it lies on disk."""


LAST_FRAME = State()


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Setting:
    """A source, and a job that writes its frames as they are."""

    source: Path
    job: Job
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        info, config = probe(self.source), OutputConfig(video_codec="ffv1")
        self.plan = plan_output(self.job.target, self.source, info, SIZE, config, report=ignore)
        coding = self.plan.coding
        self.frames: list[Frame] = [
            frame.with_planes(frame.planes, coding.layout, coding.color)
            for frame in read_frames(self.source, report=ignore)
        ]

    def open(self, config: JobConfig) -> CheckpointedOutput:
        manifest = self.job.read() or Manifest(path="in.mkv", source={}, options={})
        return CheckpointedOutput(self.job, manifest, self.plan, config, clock=self.clock)

    def manifest(self) -> Manifest:
        manifest = self.job.read()
        assert manifest is not None
        return manifest

    def lengths(self) -> list[int]:
        """Frames in each chunk."""
        return [record.stop - record.start for record in self.manifest().chunks]


@pytest.fixture
def setting(tmp_path: Path, make_clip: MakeClip) -> Setting:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", num_frames=NUM_FRAMES, size=SIZE)
    folder = tmp_path / "job"
    folder.mkdir()
    return Setting(source, Job(tmp_path / "out.mkv", folder))


def write_all(setting: Setting, config: JobConfig) -> None:
    with setting.open(config) as output:
        for frame in setting.frames:
            output.write(frame)
        output.finish()


def test_chunks_are_as_long_as_asked_and_the_last_holds_the_rest(setting: Setting) -> None:
    write_all(setting, JobConfig(chunk_length=25))
    assert setting.lengths() == [25, 25, 10]
    assert setting.manifest().checkpoint.is_complete
    records = setting.manifest().chunks
    assert [(record.first_pts, record.last_pts) for record in records] == [
        (setting.frames[start].pts, setting.frames[stop - 1].pts)
        for start, stop in ((0, 25), (25, 50), (50, 60))
    ]


def test_what_a_frame_takes_is_known_by_whole_chunks_of_this_run_and_the_one_before(
    setting: Setting,
) -> None:
    config = JobConfig(chunk_length=25, checkpoint=0)

    def per_frame(num_chunks: int) -> float:
        paths = [setting.job.chunk_path(number) for number in range(num_chunks)]
        return sum(path.stat().st_size for path in paths) / (25 * num_chunks)

    with setting.open(config) as output:
        for frame in setting.frames[:24]:
            output.write(frame)
        assert output.bytes_per_frame is None
        for frame in setting.frames[24:30]:
            output.write(frame)
        assert output.bytes_per_frame == per_frame(1)
        output.checkpoint(None)
    with setting.open(config) as output:
        assert output.bytes_per_frame == per_frame(1)
        for frame in setting.frames[30:50]:
            output.write(frame)
        assert output.bytes_per_frame == per_frame(2)


@pytest.mark.parametrize(("num_frames", "lengths"), [(40, [40, 20]), (3, [24, 24, 12])])
def test_a_chunk_is_no_longer_than_its_journal_may_be_large(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, num_frames: int, lengths: list[int]
) -> None:
    monkeypatch.setattr(
        module, "MAX_JOURNAL_BYTES", num_frames * setting.plan.coding.frame_bytes + 1
    )
    write_all(setting, JobConfig(chunk_length=1000))
    assert setting.lengths() == lengths


def count_checkpoints(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, *, cost: float
) -> Callable[[], int]:
    """Have each checkpoint take `cost` seconds; returns how many there have been."""
    saved = list[Path]()

    def slow_save(
        path: Path, tensors: Mapping[str, Tensor], *, release: Callable[[], None]
    ) -> None:
        setting.clock.now += cost
        saved.append(path)
        save_tensors(path, tensors, release=release)

    monkeypatch.setattr(module, "save_tensors", slow_save)
    return lambda: len(saved)


@pytest.mark.parametrize(
    ("interval", "cost", "pause"), [(10.0, 0.0, 10.0), (10.0, 0.1, 10.0), (10.0, 2.0, 40.0)]
)
def test_checkpoints_come_at_the_interval_or_so_that_they_take_a_twentieth_of_the_time(
    setting: Setting,
    monkeypatch: pytest.MonkeyPatch,
    interval: float,
    cost: float,
    pause: float,
) -> None:
    count = count_checkpoints(setting, monkeypatch, cost=cost)
    with setting.open(JobConfig(checkpoint=interval)) as output:
        output.write(setting.frames[0])
        for seconds, num_checkpoints in ((interval - 1, 0), (1, 1), (pause - 1, 1), (1, 2)):
            setting.clock.now += seconds
            if output.is_due:
                output.checkpoint(LAST_FRAME)
            assert count() == num_checkpoints


def test_without_an_interval_every_clip_is_followed_by_a_checkpoint(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = count_checkpoints(setting, monkeypatch, cost=5.0)
    with setting.open(JobConfig(checkpoint=0)) as output:
        for index in range(3):
            output.write(setting.frames[index])
            assert output.is_due
            output.checkpoint(LAST_FRAME)
            assert count() == index + 1


def coded(path: Path) -> list[tuple[int | None, bytes]]:
    """Time and bytes of every packet."""
    with av.open(f"file:{path}") as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux() if packet.size]


@pytest.mark.parametrize("num_before", [1, 24, 25, 26, 49, 60])
def test_chunks_of_an_interrupted_job_are_packet_for_packet_those_of_one_that_was_not(
    setting: Setting, num_before: int
) -> None:
    config = JobConfig(chunk_length=25)
    write_all(setting, config)
    whole = [coded(path) for path in setting.job.chunks()]
    setting.job.clear()
    with setting.open(config) as output:
        for index in range(num_before):
            output.write(setting.frames[index])
        output.checkpoint(LAST_FRAME)
        for index in range(num_before, min(num_before + 5, NUM_FRAMES)):
            output.write(setting.frames[index])  # and lost
    with setting.open(config) as output:
        assert output.num_frames == num_before
        for index in range(num_before, NUM_FRAMES):
            output.write(setting.frames[index])
        output.finish()
    assert [coded(path) for path in setting.job.chunks()] == whole
    assert setting.lengths() == [25, 25, 10]


@pytest.mark.parametrize("damage", ["shorter", "longer", "missing", "a bit"])
def test_a_chunk_that_is_not_what_was_written_is_refused(setting: Setting, damage: str) -> None:
    write_all(setting, JobConfig(chunk_length=25))
    chunk = setting.job.chunks()[1]
    data = chunk.read_bytes()
    if damage == "missing":
        chunk.unlink()
    else:
        flipped = data[:99] + bytes([data[99] ^ 4]) + data[100:]
        damaged = {"shorter": data[:-1], "longer": data + b"\0", "a bit": flipped}
        chunk.write_bytes(damaged[damage])
    manifest = setting.job.read()
    assert manifest is not None
    with pytest.raises(JobDamagedError, match="is damaged") as refused:
        setting.job.check(manifest)
    assert refused.value.why == f"`{chunk.name}` is not what was written"
