"""Whatever ends a job early, the next run goes on there, to the same target."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from tests.conftest import Contents, MakeClip
from tests.pipeline.runs import upscale_video
from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.config import ClipConfig, JobConfig, OutputConfig, SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError, DeviceError, JobBusyError, JobDamagedError, OutputError
from vsr_cli.events import Event, Note, Progress
from vsr_cli.models.small.model import SmallModel
from vsr_cli.models.weights import load_weights
from vsr_cli.ops.resize import resize
from vsr_cli.pipeline import convert
from vsr_cli.pipeline.restorers.small import family
from vsr_cli.pipeline.resume.folder import job_folder
from vsr_cli.pipeline.resume.job import Job, open_job
from vsr_cli.pipeline.upscale import Upscaler

SIZE = (34, 46)
NUM_FRAMES = 19
Read = Callable[[Path], Contents]


@pytest.fixture
def config(model_file: Path) -> UpscaleConfig:
    """Chunks of 7 frames and clips of 4, a checkpoint after each clip."""
    return UpscaleConfig(
        model=model_file,
        device="cpu",
        dtype="float32",
        output=OutputConfig(video_codec="ffv1"),
        clip=ClipConfig(length=4),
        sampler=SamplerConfig(steps=1),
        job=JobConfig(checkpoint=0, chunk_length=7),
    )


@pytest.fixture
def source(tmp_path: Path, make_clip: MakeClip) -> Path:
    return make_clip(tmp_path / "in.mp4", num_frames=NUM_FRAMES, size=SIZE, audio=["aac"])


def digests(path: Path) -> list[str]:
    """What each picture shows, and when."""
    with av.open(f"file:{path}") as container:
        return [
            hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest() + f"@{frame.time}"
            for frame in container.decode(video=0)
        ]


def stop_at(frame: int, error: BaseException) -> Callable[[Event], None]:
    """A report that fails when so many frames are written."""

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.frame == frame:
            raise error

    return report


def codes(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Note)]


@pytest.mark.slow
def test_a_job_that_breaks_off_anywhere_goes_on_to_the_same_target(
    tmp_path: Path, source: Path, config: UpscaleConfig, read_contents: Read
) -> None:
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    upscale_video(source, whole, config)
    for frame in (1, 7, 8, 19):
        broken_off(source, target, config, frame=frame)
        assert not target.exists()
        events: list[Event] = []
        upscale_video(source, target, config, report=events.append)
        assert digests(target) == digests(whole)
        assert read_contents(target) == read_contents(whole)
        assert ("W_RESUMED" in codes(events)) == (frame > 4)
        firsts = [event.frame for event in events if isinstance(event, Progress)]
        assert firsts[0] <= frame + 1  # of clips: 4 frames at first, then 3
        assert firsts[0] > frame - 4
        target.unlink()
    assert sorted(tmp_path.iterdir()) == sorted([source, whole, config.model or source])


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "preset"), [("libx264", "medium"), ("libx265", "ultrafast")])
def test_a_coded_target_shows_the_same_even_where_it_broke_off_in_a_chunk(
    tmp_path: Path, source: Path, config: UpscaleConfig, codec: str, preset: str
) -> None:
    config = replace(config, output=OutputConfig(video_codec=codec, preset=preset))
    upscale_video(source, tmp_path / "whole.mkv", config)
    for frame in (9, 16):
        broken_off(source, tmp_path / "out.mkv", config, frame=frame)
    upscale_video(source, tmp_path / "out.mkv", config)
    assert digests(tmp_path / "out.mkv") == digests(tmp_path / "whole.mkv")


@pytest.mark.parametrize("guidance", ["bounded", pytest.param("paper", marks=pytest.mark.slow)])
def test_half_precision_and_either_guidance_go_on_bit_by_bit(
    tmp_path: Path, source: Path, config: UpscaleConfig, guidance: str
) -> None:
    sampler = SamplerConfig(steps=2, guidance=guidance)  # type: ignore[arg-type]
    job = replace(config, dtype="bfloat16", sampler=sampler)
    upscale_video(source, tmp_path / "whole.mkv", job)
    target = tmp_path / "out.mkv"
    for frame in (6, 12):
        broken_off(source, target, job, frame=frame)
    upscale_video(source, target, job)
    assert digests(target) == digests(tmp_path / "whole.mkv")


@pytest.mark.slow
def test_a_killed_job_goes_on(tmp_path: Path, source: Path, config: UpscaleConfig) -> None:
    upscale_video(source, tmp_path / "whole.mp4", config)
    target = tmp_path / "out.mp4"
    script = (
        "import sys\n"
        "from fractions import Fraction\n"
        "from pathlib import Path\n"
        "from vsr_cli.config import *\n"
        "from vsr_cli.pipeline.upscale import Upscaler\n"
        "source, target, model = map(Path, sys.argv[1:])\n"
        "config = UpscaleConfig(model=model, device='cpu', dtype='float32',\n"
        "    output=OutputConfig(video_codec='ffv1'), sampler=SamplerConfig(steps=1),\n"
        "    clip=ClipConfig(length=4), job=JobConfig(checkpoint=0, chunk_length=7))\n"
        "Upscaler(config).upscale(source, target)\n"
    )
    paths = [str(path) for path in (source, target, config.model)]
    process = subprocess.Popen([sys.executable, "-c", script, *paths])
    manifest = job_folder(target, config.job) / "manifest.json"
    while not manifest.exists() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert manifest.exists()
    upscale_video(source, target, config)
    assert digests(target) == digests(tmp_path / "whole.mp4")
    assert not manifest.parent.exists()


@pytest.mark.slow
def test_a_stop_ends_after_the_clip_and_loses_nothing(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    config = replace(config, job=JobConfig(chunk_length=7))  # no checkpoint is due for a minute
    upscale_video(source, tmp_path / "whole.mp4", config)
    target, stop = tmp_path / "out.mp4", StopRequest()

    def ask(event: Event) -> None:
        if isinstance(event, Progress) and event.frame == 9:
            stop.request()

    with pytest.raises(Stopped) as stopped:
        upscale_video(source, target, config, report=ask, stop=stop)
    assert stopped.value.num_frames == 10  # clips end at 4, 7, 10
    events: list[Event] = []
    upscale_video(source, target, config, report=events.append)
    assert next(event.frame for event in events if isinstance(event, Progress)) == 10
    assert digests(target) == digests(tmp_path / "whole.mp4")


def test_a_stop_outside_the_computation_is_heeded_at_once() -> None:
    stop = StopRequest()
    with pytest.raises(Stopped):
        stop.request()
    with stop.deferred():
        stop.request()
    assert stop.is_requested


def broken_off(source: Path, target: Path, config: UpscaleConfig, frame: int = 9) -> None:
    with pytest.raises(OSError, match="broke"):
        upscale_video(source, target, config, report=stop_at(frame, OSError("broke")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"sampler": SamplerConfig(steps=5)}, "`--steps 5`"),
        ({"fidelity": 0.5}, "`--fidelity 0.5`"),
        ({"dtype": "bfloat16"}, "`--dtype bfloat16`"),
        ({"output": OutputConfig(video_codec="libx265")}, "`--vcodec libx265`"),
        ({"scene_cut": False}, "`--scene-cut False`"),
    ],
)
def test_other_options_are_refused_by_name(
    tmp_path: Path, source: Path, config: UpscaleConfig, change: dict[str, object], option: str
) -> None:
    target = tmp_path / "out.mp4"
    broken_off(source, target, config)
    other = replace(config, **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="an unfinished job was begun with") as refused:
        upscale_video(source, target, other)
    assert option in (refused.value.why or "")
    assert "--fresh" in (refused.value.hint or "")


@pytest.mark.slow
def test_a_fresh_start_takes_other_options(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    target = tmp_path / "out.mp4"
    broken_off(source, target, config)
    other = replace(config, fidelity=0.5, job=replace(config.job, fresh=True))
    upscale_video(source, target, other)
    assert len(digests(target)) == NUM_FRAMES


@pytest.mark.slow
def test_what_does_not_change_the_picture_may_change(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    target = tmp_path / "out.mp4"
    broken_off(source, target, config)
    output, clip = replace(config.output, audio="none", overwrite=True), ClipConfig(length=3)
    done = upscale_video(source, target, replace(config, output=output, clip=clip))
    assert done.frames_out == NUM_FRAMES


def test_a_source_that_has_changed_is_refused(
    tmp_path: Path, source: Path, config: UpscaleConfig, make_clip: MakeClip
) -> None:
    target = tmp_path / "out.mp4"
    broken_off(source, target, config)
    make_clip(source, num_frames=NUM_FRAMES + 1, size=SIZE)
    with pytest.raises(ConfigError, match="the source has changed"):
        upscale_video(source, target, config)


def test_one_run_at_a_time(tmp_path: Path, source: Path, config: UpscaleConfig) -> None:
    target = tmp_path / "out.mp4"
    with (
        open_job(target, config.job),
        pytest.raises(JobBusyError, match=r"another run is at work on `out\.mp4`"),
    ):
        upscale_video(source, target, config)
    upscale_video(source, target, config)


@pytest.mark.slow
def test_a_complete_picture_is_joined_without_a_model(
    tmp_path: Path, source: Path, config: UpscaleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, job = tmp_path / "out.mp4", replace(config.job, keep=True)
    upscale_video(source, target, replace(config, job=job))
    before = digests(target)
    assert job_folder(target, job).exists()
    monkeypatch.setattr(family, "load_weights", None)
    output = replace(config.output, overwrite=True, audio="none")
    upscale_video(source, target, replace(config, output=output))
    assert digests(target) == before
    assert not job_folder(target, job).exists()


def flip_a_bit(path: Path) -> None:
    """Turn one bit in the middle of a file, its size and times kept, as a disk may."""
    found, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["chunk_000000.mkv", "state", "manifest.json", "chunk_000001.raw"])
def test_what_is_damaged_is_computed_again(
    tmp_path: Path, source: Path, config: UpscaleConfig, what: str
) -> None:
    upscale_video(source, tmp_path / "whole.mp4", config)
    target = tmp_path / "out.mp4"
    broken_off(source, target, config, frame=12)
    (damaged,) = job_folder(target, config.job).glob(f"{what}*")
    flip_a_bit(damaged)
    events: list[Event] = []
    upscale_video(source, target, config, report=events.append)
    assert "W_JOB_DAMAGED" in {event.code for event in events if isinstance(event, Note)}
    assert digests(target) == digests(tmp_path / "whole.mp4")


def write_shots(path: Path, length: int) -> Path:
    """A clip of three shots: gratings of other directions and colours, that move."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    with av.open(f"file:{path}", "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(3 * length):
            shot = index // length
            wave = np.sin(((x, y, x + y)[shot] + index % length) / 3)
            picture = np.zeros((*SIZE, 3), np.uint8)
            picture[..., shot] = 128 + 100 * wave
            frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "first"),  # shots start with the frames 0, 10 and 20, chunks with 0, 7, 14 and 21
    [
        ("chunk_000001.mkv", 0),
        ("chunk_000002.mkv", 10),
        ("chunk_000003.raw", 20),
        ("state", 20),
    ],
)
def test_what_is_damaged_is_computed_again_from_the_shot_before_it_on(
    tmp_path: Path, config: UpscaleConfig, what: str, first: int
) -> None:
    source = write_shots(tmp_path / "in.mkv", 10)
    whole, target = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    upscale_video(source, whole, config)
    broken_off(source, target, config, frame=13)  # shots are known to a run that goes on as well
    broken_off(source, target, config, frame=28)
    (damaged,) = job_folder(target, config.job).glob(f"{what}*")
    flip_a_bit(damaged)
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        stop_at(first + 1, OSError("broke"))(event)  # before there is another checkpoint

    for _ in range(2 if first else 1):
        with pytest.raises(OSError, match="broke"):
            upscale_video(source, target, config, report=report)
    firsts = [event.frame for event in events if isinstance(event, Progress)]
    assert set(firsts) == {first, first + 1}
    assert codes(events).count("W_JOB_DAMAGED") == 1
    upscale_video(source, target, config)
    assert digests(target) == digests(whole)
    assert not job_folder(target, config.job).exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chunk_000000.mkv", "manifest.json"])
def test_a_disk_that_does_not_answer_costs_nothing_of_what_is_done(
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    target = tmp_path / "out.mp4"
    broken_off(source, target, config, frame=12)
    folder = job_folder(target, config.job)
    kept, plain = {path.name for path in folder.iterdir()}, Path.open

    def fail(path: Path, *values: str, **named: str) -> IO[Any]:
        if path.name == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return plain(path, *values, **named)  # type: ignore[call-overload]

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", fail)
        with pytest.raises(OutputError, match="cannot be read back"):
            upscale_video(source, target, config)
    assert {path.name for path in folder.iterdir()} == kept
    events: list[Event] = []
    upscale_video(source, target, config, report=events.append)
    assert "W_RESUMED" in {event.code for event in events if isinstance(event, Note)}


@pytest.mark.slow
def test_what_is_damaged_while_it_runs_never_becomes_the_target(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    target = tmp_path / "out.mp4"

    def damage(event: Event) -> None:
        if isinstance(event, Progress) and event.frame == NUM_FRAMES:
            flip_a_bit(job_folder(target, config.job) / "chunk_000000.mkv")

    with pytest.raises(JobDamagedError, match="is damaged"):
        upscale_video(source, target, config, report=damage)
    assert not target.exists()
    upscale_video(source, target, config)
    assert target.exists()


def test_a_job_that_a_crash_has_left_beside_its_target_is_removed(
    tmp_path: Path, source: Path, config: UpscaleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mp4"
    monkeypatch.setattr(Job, "remove", lambda job: None)
    upscale_video(source, target, config)
    monkeypatch.undo()
    assert job_folder(target, config.job).exists()
    before = target.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        upscale_video(source, target, config)
    assert not job_folder(target, config.job).exists()
    assert target.read_bytes() == before


@pytest.mark.slow
def test_what_a_crash_has_left_of_the_removal_of_a_job_is_removed(
    tmp_path: Path, source: Path, config: UpscaleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mp4"
    monkeypatch.setattr(Job, "remove", lambda job: job.manifest_path.unlink(missing_ok=True))
    upscale_video(source, target, config)
    monkeypatch.undo()
    assert {"lock", "chunk_000000.mkv"} <= {
        p.name for p in job_folder(target, config.job).iterdir()
    }
    with pytest.raises(OutputError, match="exists"):
        upscale_video(source, target, config)
    assert not job_folder(target, config.job).exists()


def test_the_job_of_another_file_than_the_target_stays(
    tmp_path: Path, source: Path, config: UpscaleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mp4"
    monkeypatch.setattr(Job, "remove", lambda job: None)
    upscale_video(source, target, config)
    monkeypatch.undo()
    target.write_bytes(b"somebody else's")
    with pytest.raises(OutputError, match="exists"):
        upscale_video(source, target, config)
    assert job_folder(target, config.job).exists()


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 9, 12])
def test_a_folder_that_is_removed_meanwhile_is_told_of(
    tmp_path: Path, source: Path, config: UpscaleConfig, after: int
) -> None:
    target = tmp_path / "out.mp4"

    def remove(event: Event) -> None:
        if isinstance(event, Progress) and event.frame == after:
            gone = job_folder(target, config.job).rename(tmp_path / "gone")  # at one instant
            shutil.rmtree(gone)

    with pytest.raises(OutputError) as caught:
        upscale_video(source, target, config, report=remove)
    assert caught.value.exit_code == 4
    assert not target.exists()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".ts", ".nut"])
def test_other_containers_go_on_as_well(
    tmp_path: Path, source: Path, config: UpscaleConfig, suffix: str
) -> None:
    config = replace(config, output=OutputConfig(video_codec="libx264", preset="ultrafast"))
    whole, target = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    upscale_video(source, whole, config)
    broken_off(source, target, config, frame=12)
    events: list[Event] = []
    upscale_video(source, target, config, report=events.append)
    assert "W_RESUMED" in {event.code for event in events if isinstance(event, Note)}
    assert digests(target) == digests(whole)


@pytest.mark.slow
def test_files_of_a_job_may_lie_elsewhere(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    target, folder = tmp_path / "out.mp4", tmp_path / "some" / "where"
    config = replace(config, job=replace(config.job, folder=folder))
    broken_off(source, target, config)
    assert [path.suffix for path in folder.iterdir()] == [".vsr-job"]
    upscale_video(source, target, config)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_target_with_the_longest_of_names_has_a_job(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    target = tmp_path / ("ü" * 125 + ".mp4")
    broken_off(source, target, config)
    upscale_video(source, target, config)
    assert target.exists()


def test_a_job_that_came_to_nothing_leaves_nothing(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    config = replace(config, job=JobConfig())
    broken_off(source, tmp_path / "out.mp4", config)
    with pytest.raises(OutputError):
        upscale_video(source, tmp_path / "out.webm", config)  # which holds no AAC
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "tiny.safetensors"]


@pytest.mark.slow
def test_one_model_serves_many_videos(
    tmp_path: Path, source: Path, config: UpscaleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []

    def load(path: Path) -> SmallModel:
        loaded.append(path)
        return load_weights(path)

    monkeypatch.setattr(family, "load_weights", load)
    upscaler = Upscaler(config)
    for name in ("a", "b"):
        upscaler.upscale(source, tmp_path / f"{name}.mp4")
    assert len(loaded) == 1
    assert digests(tmp_path / "a.mp4") == digests(tmp_path / "b.mp4")


@pytest.mark.slow
@pytest.mark.parametrize("num_failures", [1, 3])
def test_where_memory_runs_out_outside_the_networks_it_goes_back_to_the_checkpoint(
    tmp_path: Path,
    source: Path,
    config: UpscaleConfig,
    monkeypatch: pytest.MonkeyPatch,
    num_failures: int,
) -> None:
    upscale_video(source, tmp_path / "whole.mp4", config)
    num_calls = 0

    def scarce(frame: Tensor, size: tuple[int, int]) -> Tensor:
        nonlocal num_calls
        num_calls += 1
        if num_calls in range(11, 11 + num_failures):
            raise MemoryError
        return resize(frame, size)

    monkeypatch.setattr(convert, "resize", scarce)
    events: list[Event] = []
    target = tmp_path / "out.mp4"
    if num_failures > 1:  # clips of 4, of 2, and no shorter
        with pytest.raises(DeviceError, match="memory has run out"):
            upscale_video(source, target, config, report=events.append)
        monkeypatch.setattr(convert, "resize", resize)
    upscale_video(source, target, config, report=events.append)
    assert "W_MEMORY_CLIPS" in codes(events)
    assert len(digests(target)) == NUM_FRAMES
    assert [d.split("@")[1] for d in digests(target)] == [
        d.split("@")[1] for d in digests(tmp_path / "whole.mp4")
    ]


def test_the_manifest_says_what_is_done(
    tmp_path: Path, source: Path, config: UpscaleConfig
) -> None:
    target = tmp_path / "out.mp4"
    broken_off(source, target, config, frame=12)
    folder = job_folder(target, config.job)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["path"] == str(source)
    assert [(chunk["start"], chunk["stop"]) for chunk in manifest["chunks"]] == [(0, 7)]
    assert manifest["checkpoint"]["num_frames"] == 10
    assert len(manifest["checkpoint"]["journaled"]) == 3
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "lock",
        "manifest.json",
        "chunk_000000.mkv",
        "chunk_000001.raw",
        "state_000000010.safetensors",
    }
