"""How long frames took is kept for the next job like it, and for no other."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import MakeClip
from tests.networks import write_tiny_weights
from vsr_cli.config import JobConfig, SamplerConfig, UpscaleConfig
from vsr_cli.events import Event, Plan
from vsr_cli.pipeline import progress, trial
from vsr_cli.pipeline.cluster.upscaler import ClusterUpscaler
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.resume.units import Unit, UnitTable
from vsr_cli.pipeline.run_plan import RunPlan
from vsr_cli.pipeline.speed import NAME, cache_dir, remember_speed, remembered_speed, speed_key
from vsr_cli.pipeline.units import places
from vsr_cli.pipeline.units.head import all_cores, share_plan
from vsr_cli.pipeline.upscale import Upscaler

PLAN = RunPlan(torch.device("cpu"), torch.float32, 4, None, ())
CONFIG = UpscaleConfig(sampler=SamplerConfig(steps=2))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_weights(tmp_path / "tiny.safetensors")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSR_CACHE_DIR", str(tmp_path / "cache"))


def test_another_machine_model_or_choice_is_not_mistaken_for_this_one(model: Path) -> None:
    key = speed_key(model, CONFIG, PLAN)
    remember_speed(key, 1e-6)
    assert remembered_speed(key) == 1e-6
    others = [
        speed_key(model, replace(CONFIG, sampler=SamplerConfig(steps=4)), PLAN),
        speed_key(model, CONFIG, replace(PLAN, dtype=torch.bfloat16)),
        speed_key(model, CONFIG, replace(PLAN, tile_size=64)),
    ]
    model.write_bytes(model.read_bytes() + b"more")
    others.append(speed_key(model, CONFIG, PLAN))
    assert [remembered_speed(other) for other in others] == [None] * 4


@pytest.mark.parametrize("text", ["", "[]", '{"a": "fast"}', "{" * 100_000])
def test_a_damaged_file_is_as_good_as_none(text: str) -> None:
    cache_dir().mkdir()
    (cache_dir() / NAME).write_text(text)
    assert remembered_speed("a") is None
    remember_speed("a", 2e-6)
    assert remembered_speed("a") == 2e-6


def test_where_nothing_can_be_kept_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VSR_CACHE_DIR", str(tmp_path / "file" / "cache"))
    remember_speed("a", 1e-6)
    assert remembered_speed("a") is None


def test_a_plan_says_what_the_job_before_it_took(
    tmp_path: Path, make_clip: MakeClip, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FEWEST_SECONDS", 0.0)
    source, events = make_clip(tmp_path / "in.mkv", num_frames=9), list[Event]()
    config = UpscaleConfig(model=model, device="cpu", sampler=SamplerConfig(steps=1))
    Upscaler(config).upscale(source, tmp_path / "out.mkv", report=events.append)
    assert [event.seconds for event in events if isinstance(event, Plan)] == [None]
    again = Upscaler(config).plan(source, tmp_path / "again.mkv").seconds
    longer = make_clip(tmp_path / "long.mkv", num_frames=18)
    twice = Upscaler(config).plan(longer, tmp_path / "again.mkv").seconds
    assert again is not None
    assert twice == pytest.approx(2 * again, abs=0.11)


def test_where_no_job_has_told_it_a_trial_tells_how_long_a_long_one_takes(
    tmp_path: Path, make_clip: MakeClip, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "measure_speed", lambda model, config: 1e-6)
    monkeypatch.setattr(trial, "WORTHWHILE", 9 * 192 * 256)
    config = UpscaleConfig(model=model, device="cpu", sampler=SamplerConfig(steps=1))
    upscaler = Upscaler(config)
    short = make_clip(tmp_path / "short.mkv", num_frames=8)
    plan = upscaler.plan(short, tmp_path / "out.mkv")
    assert (plan.seconds, plan.is_trial) == (None, False)
    long = make_clip(tmp_path / "long.mkv", num_frames=1000)
    plan = upscaler.plan(long, tmp_path / "out.mkv")
    assert (plan.seconds, plan.is_trial) == (3.1, True)
    remember_speed(_key(upscaler, config), 2e-6)
    plan = upscaler.plan(long, tmp_path / "out.mkv")
    assert (plan.seconds, plan.is_trial) == (6.1, False)


def test_no_trial_is_run_here_for_devices_of_a_cluster(
    tmp_path: Path, make_clip: MakeClip, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(trial, "WORTHWHILE", 0)
    monkeypatch.setattr(trial, "measure_speed", lambda model, config: pytest.fail("it was run"))
    source = make_clip(tmp_path / "in.mkv", num_frames=8)
    job = JobConfig(ray="auto", workers=None)
    config = UpscaleConfig(model=model, device="cpu", sampler=SamplerConfig(steps=1), job=job)
    upscaler = ClusterUpscaler(config)
    run = upscaler.plan_part(source, tmp_path / "out.mkv", None)
    assert run.run_plan is not None
    far = replace(run, run_plan=replace(run.run_plan, device=torch.device("cuda")))
    assert upscaler._with_foresight(far).tried_speed is None


def test_workers_are_as_fast_as_one_with_their_share_of_the_cores(
    tmp_path: Path, make_clip: MakeClip, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one process with all cores took tells nothing of them, nor the other way round."""
    monkeypatch.setattr(places, "cores", lambda: range(4))
    threads: list[int] = []

    def measure(model: ModelFile, config: UpscaleConfig) -> float:
        threads.append(torch.get_num_threads())
        return 1e-6

    monkeypatch.setattr(trial, "WORTHWHILE", 0)
    monkeypatch.setattr(trial, "measure_speed", measure)
    source = make_clip(tmp_path / "in.mkv", num_frames=8)
    config = UpscaleConfig(model=model, device="cpu", sampler=SamplerConfig(steps=1))
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        upscaler = Upscaler(replace(config, job=JobConfig(workers=2)))
        run = upscaler._with_foresight(upscaler.plan_part(source, tmp_path / "out.mkv", None))
        assert torch.get_num_threads() == 4
        assert threads == [2]
        assert run.model is not None
        assert run.run_plan is not None
        remember_speed(speed_key(run.model.path, run.config, run.run_plan), 5e-6)  # of four
        assert run.remembered_speed() is None
        assert all_cores(run).remembered_speed() == 5e-6
        torch.set_num_threads(2)
        remember_speed(speed_key(run.model.path, run.config, run.run_plan), 7e-6)  # of a worker
        torch.set_num_threads(4)
        assert run.remembered_speed() == 7e-6
    finally:
        torch.set_num_threads(before)


def test_a_shared_job_that_goes_on_takes_as_long_as_what_is_left() -> None:
    row = {"entry": 0, "first_pts": 0, "last_pts": 0, "first_crc": 0, "last_crc": 0}
    units = tuple(Unit(index=n, start=50 * n, stop=50 * n + 50, **row) for n in range(4))
    table = UnitTable(units=units, is_seekable=True, notes=(), config="")
    plan = Plan(
        source="in.mkv",
        target="out.mkv",
        source_size=(48, 64),
        target_size=(96, 128),
        num_frames=200,
        codec="libx264",
        pix_fmt="yuv420p",
        reasons=(),
        seconds=400.0,
    )
    new = share_plan(plan, table, 2)
    assert (new.seconds, new.device_seconds) == (200.0, 400.0)
    rest = share_plan(plan, table, 2, lambda unit: 50 if unit.index < 2 else 25)
    assert (rest.seconds, rest.device_seconds) == (50.0, 100.0)


def test_a_trial_runs_the_model_on_little(model: Path) -> None:
    model_file = ModelFile(model)
    config = model_file.resolve(UpscaleConfig(device="cpu", sampler=SamplerConfig(steps=1)))
    assert 0 < trial.measure_speed(model_file, config) < 1


def _key(upscaler: Upscaler, config: UpscaleConfig) -> str:
    assert upscaler.model is not None
    resolved = upscaler.model.resolve(config.for_source(48, 64))
    return speed_key(upscaler.model.path, resolved, upscaler.model.plan(resolved, (48, 64)))
