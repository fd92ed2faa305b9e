import shutil
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.cli.fakes import FakePipeline
from vsr_cli.cli import demo_clip
from vsr_cli.cli.app import app
from vsr_cli.config import OutputConfig, SamplerConfig


@pytest.fixture
def short_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_clip, "NUM_FRAMES", 3)


@pytest.mark.slow
@pytest.mark.usefixtures("short_scene")
def test_the_scene_moves_and_stays_within_its_range() -> None:
    frames = list(demo_clip.render_scene())
    assert [frame.shape for frame in frames] == [(*demo_clip.SIZE, 3)] * 3
    assert all(0 <= frame.min() < 0.1 and 0.9 < frame.max() <= 1 for frame in frames)
    for earlier, later in pairwise(frames):
        assert np.abs(later - earlier).mean() > 0.01


def test_the_clip_of_the_demo_is_the_same_each_time(tmp_path: Path) -> None:
    random, (height, width) = np.random.default_rng(0), demo_clip.SIZE
    coarse = random.random((height // 40, width // 40 + 3, 3), np.float32)
    wall = np.kron(coarse, np.ones((40, 40, 1), np.float32))
    frames = [wall[:, 4 * index : 4 * index + width] for index in range(24)]
    files = []
    for index in range(6):
        path = tmp_path / f"{index}.mp4"
        demo_clip.write_small_clip(path, frames)
        files.append(path.read_bytes())
    assert files == files[:1] * 6


@pytest.mark.slow
@pytest.mark.usefixtures("short_scene")
def test_the_demo_makes_a_small_clip_with_sound_and_a_picture(
    pipeline: FakePipeline, tmp_path: Path
) -> None:
    out = tmp_path / "a b" / "100%d"
    pipeline.fail = lambda: shutil.copy(out / "lr.mp4", out / "sr.mp4")  # what it would write
    result = CliRunner().invoke(app, ["demo", "--out", str(out), "--steps", "2"])
    assert result.exit_code == 0, result.stderr

    [(source, target, config)] = pipeline.jobs
    assert (source, target) == (out / "lr.mp4", out / "sr.mp4")
    assert config.sampler == SamplerConfig(steps=2)
    assert config.output == OutputConfig(overwrite=True)
    with av.open(f"file:{source}") as container:
        assert [frame.pts for frame in container.decode(video=0)] == [0, 512, 1024]
    with av.open(f"file:{source}") as container:
        sound = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    assert sound.shape[1] >= 3 * demo_clip.SOUND_RATE // demo_clip.RATE
    assert np.abs(sound).max() > 0.05
    picture = (out / "side_by_side.png").read_bytes()
    width, height = (int.from_bytes(picture[at : at + 4]) for at in (16, 20))
    assert picture.startswith(b"\x89PNG")
    assert (width, height) == (3 * 640, 30 + 360 + 480)
    for name in ("lr.mp4", "sr.mp4", "side_by_side.png"):
        assert str(out / name) in result.stdout


def test_the_demo_says_where_it_cannot_write(pipeline: FakePipeline, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "file" / "demo")])
    assert (result.exit_code, pipeline.jobs) == (4, [])
    assert "cannot be made" in result.stderr
