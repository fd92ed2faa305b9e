"""What is missing midway, memory, threads or the folder of the target, is told apart."""

import shutil
import threading
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip
from tests.pipeline.runs import upscale_video
from vsr_cli.config import ClipConfig, JobConfig, SamplerConfig, UpscaleConfig
from vsr_cli.errors import MemoryExhaustedError, OutputError
from vsr_cli.events import Event, Progress
from vsr_cli.exit_codes import ExitCode
from vsr_cli.media import memory
from vsr_cli.media.reading import demuxer
from vsr_cli.media.writing import encoder

NO_MEMORY = av.error.MemoryError(12, "Cannot allocate memory")


@pytest.fixture
def config(model_file: Path) -> UpscaleConfig:
    return UpscaleConfig(
        model=model_file,
        scale=Fraction(1),
        clip=ClipConfig(length=4),
        sampler=SamplerConfig(steps=1),
    )


class StarvedDecoder:
    def decode(self, packet: object) -> list[object]:
        raise NO_MEMORY


def fail(*_: object, **__: object) -> None:
    raise NO_MEMORY


def no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("name", ["out.mkv", "out.y4m", "%d.png"])
@pytest.mark.parametrize("which", ["decoder", "encoder", "threads"])
def test_a_lack_of_memory_is_said_to_be_one(
    tmp_path: Path,
    make_clip: MakeClip,
    config: UpscaleConfig,
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    name: str,
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=12, audio=["aac"])
    if which == "decoder":
        monkeypatch.setattr(demuxer, "make_alpha_decoder", lambda _: StarvedDecoder())
        monkeypatch.setattr(memory, "is_memory_short", lambda: True)
    elif which == "encoder":
        monkeypatch.setattr(encoder, "fill_planes", fail)
    else:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(MemoryExhaustedError) as caught:
        upscale_video(source, tmp_path / name, config)
    assert caught.value.exit_code == ExitCode.DEVICE
    assert not (tmp_path / name).exists()


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.y4m", "%d.png", "new/%d.png"])
def test_a_folder_of_the_target_that_is_removed_midway_is_said_to_be_gone(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig, name: str, elsewhere: bool
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=12, audio=["aac"])
    folder = tmp_path / "out"
    folder.mkdir()
    jobs = JobConfig(folder=tmp_path / "jobs" if elsewhere else None)
    config = UpscaleConfig(
        model=config.model, scale=Fraction(1), clip=config.clip, sampler=config.sampler, job=jobs
    )

    def remove(event: Event) -> None:
        if isinstance(event, Progress) and event.frame >= 2:
            with suppress(FileNotFoundError):  # of a second event
                shutil.rmtree(folder.rename(tmp_path / "gone"))  # at one instant

    with pytest.raises(OutputError) as caught:
        upscale_video(source, folder / name, config, report=remove)
    assert caught.value.exit_code == ExitCode.TARGET
    assert caught.value.why is not None
