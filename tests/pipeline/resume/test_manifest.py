"""What is written down about a job: it comes back, and tells one job from another."""

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from vsr_cli import __version__
from vsr_cli.config import (
    ClipConfig,
    InputConfig,
    JobConfig,
    OutputConfig,
    SamplerConfig,
    UpscaleConfig,
)
from vsr_cli.errors import ConfigError, InputError, JobDamagedError
from vsr_cli.pipeline.resume.journal import FrameTime
from vsr_cli.pipeline.resume.manifest import (
    Checkpoint,
    ChunkRecord,
    Manifest,
    PreviousPlan,
    identify_options,
    identify_source,
)

TIMES = tuple(FrameTime(pts, 1001, Fraction(1, 30000), False) for pts in (5, 1006, 2007))
FULL = Manifest(
    path="in.mp4",
    source={"size": "12"},
    options={"sampler.seed": "0", "output.crf": None},
    planned=PreviousPlan(asked_length=24, asked_tile=None, clip_length=12, tile_size=64),
    chunks=(
        ChunkRecord(
            name="chunk_000000.mkv",
            start=0,
            stop=9,
            shot_start=0,
            unit_start=0,
            first_pts=0,
            last_pts=8,
            sha256="ab" * 32,
        ),
    ),
    checkpoint=Checkpoint(num_frames=12, journaled=TIMES, state="state_000000012.safetensors"),
)


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    for manifest in (FULL, Manifest(path="x", source={}, options={})):
        manifest.write(path)
        assert Manifest.read(path) == manifest
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(("key", "value"), [("v", 3), ("v", 99), ("vsr", "0.0.0"), ("vsr", None)])
def test_what_another_version_has_written_is_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    path = tmp_path / "manifest.json"
    FULL.write(path)
    values = {**json.loads(path.read_text()), key: value}
    del values["checksum"]
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="by another version of vsr") as refused:
        Manifest.read(path)
    assert "--fresh" in (refused.value.hint or "")


def test_what_an_earlier_patch_of_this_version_has_written_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    FULL.write(path)
    release = ".".join(__version__.split(".")[:2])
    values = {**json.loads(path.read_text()), "vsr": f"{release}.99"}
    del values["checksum"]
    path.write_text(json.dumps(values))
    assert Manifest.read(path) == FULL


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"v": 1', "null"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(damage)
    with pytest.raises(JobDamagedError, match="cannot be read") as refused:
        Manifest.read(path)
    assert "--fresh" in (refused.value.hint or "")


def test_no_single_bit_of_a_manifest_may_change(tmp_path: Path) -> None:
    """All but those that say nothing, as of a space: then it reads as it was."""
    path = tmp_path / "manifest.json"
    FULL.write(path)
    whole = path.read_bytes()
    noticed = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert Manifest.read(path) == FULL
        except (JobDamagedError, InputError):
            noticed += 1
    assert noticed > len(whole) / 7 / 2


@pytest.fixture
def config(model_file: Path) -> UpscaleConfig:
    return UpscaleConfig(model=model_file)


@pytest.mark.parametrize(
    "change",
    [
        {"sampler": SamplerConfig(seed=1)},
        {"sampler": SamplerConfig(motion_scale=0.5)},
        {"clip": ClipConfig(overlap=2)},
        {"scale": Fraction(2)},
        {"input": InputConfig(frames=(0, 5))},
        {"output": OutputConfig(crf=3)},
        {"output": OutputConfig(cfr=Fraction(25))},
        {"job": JobConfig(chunk_length=7)},
    ],
)
def test_every_choice_that_changes_the_picture_makes_another_job(
    config: UpscaleConfig, change: dict[str, object]
) -> None:
    before = identify_options(config, "cpu", "float32")
    now = identify_options(replace(config, **change), "cpu", "float32")  # type: ignore[arg-type]
    (name,) = {name for name in before if before[name] != now[name]}
    job = Manifest(path="in.mp4", source={}, options=before)
    with pytest.raises(ConfigError, match="an unfinished job was begun with"):
        job.require_same(replace(job, options=now))
    assert name.split(".")[0] in change


@pytest.mark.parametrize(
    "change",
    [
        {"clip": ClipConfig(length=7)},
        {"tile": 512},
        {"output": OutputConfig(verify="full", audio="none", subs="none", metadata=False)},
        {"job": JobConfig(checkpoint=1, keep=True, fresh=True, folder=Path("elsewhere"))},
    ],
)
def test_what_leaves_the_picture_as_it_is_makes_the_same_job(
    config: UpscaleConfig, change: dict[str, object]
) -> None:
    now = identify_options(replace(config, **change), "cpu", "float32")  # type: ignore[arg-type]
    assert now == identify_options(config, "cpu", "float32")


@pytest.mark.parametrize(("device", "dtype"), [("cuda", "float32"), ("cpu", "bfloat16")])
def test_another_device_or_precision_makes_another_job(
    config: UpscaleConfig, device: str, dtype: str
) -> None:
    here = identify_options(config, "cpu", "float32")
    assert identify_options(config, device, dtype) != here


@pytest.mark.parametrize("place", [0, 2**20, 3 * 2**20 + 5])
def test_a_source_is_told_by_every_byte_of_it(tmp_path: Path, place: int) -> None:
    source = tmp_path / "in.mkv"
    source.write_bytes(bytes(3 * 2**20 + 6))
    times = (source.stat().st_atime_ns, source.stat().st_mtime_ns)
    before = identify_source(source)
    with source.open("r+b") as file:
        file.seek(place)
        file.write(b"x")
    os.utime(source, ns=times)
    now = identify_source(source)
    changed = {name for name in before if before[name] != now[name]}
    assert changed == {"content"}


def test_a_source_is_told_by_its_size_and_its_time_too(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    source.write_bytes(bytes(100))
    before = identify_source(source)
    os.utime(source, ns=(0, 12345))
    assert identify_source(source)["modification time"] == "12345" != before["modification time"]
    source.write_bytes(bytes(101))
    assert identify_source(source)["size"] == "101"


def test_a_source_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        identify_source(tmp_path / "gone.mkv")
