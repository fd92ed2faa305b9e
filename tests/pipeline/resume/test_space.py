"""What unfinished work takes on disk is planned, said, and refused where it does not fit."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import MakeClip
from tests.pipeline.runs import upscale_video
from vsr_cli.config import ClipConfig, JobConfig, SamplerConfig, UpscaleConfig
from vsr_cli.errors import OutputError
from vsr_cli.events import Event, Plan
from vsr_cli.pipeline.resume.folder import job_folder
from vsr_cli.pipeline.resume.space import DiskPlan
from vsr_cli.pipeline.upscale import Upscaler

NUM_FRAMES = 19
SIZE = (48, 64)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def config(model_file: Path) -> UpscaleConfig:
    return UpscaleConfig(
        model=model_file,
        device="cpu",
        dtype="float32",
        clip=ClipConfig(length=4),
        sampler=SamplerConfig(steps=2),
        job=JobConfig(checkpoint=0, chunk_length=7),
    )


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has the disk say that so many bytes are free."""

    def set_free(free: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, free))

    return set_free


@pytest.mark.slow
def test_it_never_takes_more_than_was_planned(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=NUM_FRAMES), tmp_path / "out.mp4"
    folder, most = job_folder(target, config.job), 0
    plans: list[DiskPlan] = []
    monkeypatch.setattr(DiskPlan, "require", lambda plan, folder: plans.append(plan))

    def watch(event: Event) -> None:
        nonlocal most
        if not isinstance(event, Plan) and folder.exists():
            kept = [path for path in folder.iterdir() if path.suffix in (".raw", ".safetensors")]
            most = max(most, sum(path.stat().st_size for path in kept))

    upscale_video(source, target, config, report=watch)
    journal = 7 * SIZE[0] * SIZE[1] * 16 * 3 // 2
    assert journal <= most <= plans[0].needed


@pytest.mark.slow
def test_where_it_does_not_fit_nothing_begins(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig, leave: Callable[[int], None]
) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    leave(1000)
    with pytest.raises(OutputError, match="too little room") as refused:
        upscale_video(source, target, config)
    assert "are free" in str(refused.value.why)
    assert sorted(tmp_path.iterdir()) == sorted({source, Path(str(config.model))})
    leave(10**9)
    upscale_video(source, target, config)


@pytest.mark.slow
def test_shorter_chunks_take_less(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=40, size=(180, 320))

    def planned(chunk_length: int) -> float:
        job = replace(config.job, chunk_length=chunk_length)
        plan = Upscaler(replace(config, job=job)).plan(source, tmp_path / "out.mp4")
        return plan.disk_gb or 0

    assert 0 < planned(5) < planned(20) < planned(40) == planned(400)


def test_what_is_done_in_one_go_takes_none(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    assert Upscaler(config).plan(source, tmp_path / "out.y4m").disk_gb is None


@pytest.mark.parametrize(("mostly_states", "helps"), [(False, "--chunk"), (True, "--dtype")])
def test_the_hint_is_about_what_takes_most(tmp_path: Path, mostly_states: bool, helps: str) -> None:
    plan = DiskPlan(needed=2, free=1, is_mostly_states=mostly_states)
    with pytest.raises(OutputError) as refused:
        plan.require(tmp_path)
    assert helps in str(refused.value.hint)
