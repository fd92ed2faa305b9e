import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from tests.conftest import MakeClip
from tests.networks import TINY, tiny_model, write_tiny_weights
from vsr_cli.models.small.model import SmallModel
from vsr_cli.models.weights import load_weights, save_weights
from vsr_cli.training import __main__ as commands
from vsr_cli.training import scenes
from vsr_cli.training.curves import CURVES, LOG
from vsr_cli.training.loop import DISCRIMINATOR, STATE, WEIGHTS

runner = CliRunner()


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "_POOL", 4)
    monkeypatch.setattr(scenes, "_PICTURE", 96)


@pytest.fixture
def shards(make_clip: MakeClip, tmp_path: Path) -> Path:
    footage = tmp_path / "footage"
    footage.mkdir()
    make_clip(footage / "walk.mp4", num_frames=6, size=(64, 80))
    result = runner.invoke(commands.app, ["shards", str(footage), "--out", str(tmp_path / "data")])
    assert result.exit_code == 0
    return tmp_path / "data"


@pytest.mark.slow
@pytest.mark.parametrize("stage", list(commands.StageName))
def test_every_stage_runs_and_leaves_weights_state_log_and_curves(
    stage: str, shards: Path, tmp_path: Path
) -> None:
    init = write_tiny_weights(tmp_path / "init.safetensors")
    run = tmp_path / "run"
    sizes = [
        "--batch",
        "2",
        "--crop",
        "32",
        "--frames",
        "1" if stage in ("autoencoder", "floor") else "2",
    ]
    options = ["--data", str(shards), "--init", str(init), "--run", str(run), "--iterations", "2"]
    result = runner.invoke(commands.app, ["stage", stage, *options, *sizes, "--workers", "0"])
    assert result.exit_code == 0, result.output
    wanted = {WEIGHTS, STATE, LOG, CURVES}
    wanted |= {DISCRIMINATOR} if stage in ("floor", "decoder") else set()
    assert {path.name for path in run.iterdir()} == wanted
    assert load_weights(run / WEIGHTS).config == TINY


@pytest.mark.slow
def test_measuring_trains_nothing_and_leaves_nothing(shards: Path, tmp_path: Path) -> None:
    init = write_tiny_weights(tmp_path / "init.safetensors")
    run = tmp_path / "run"
    sizes = ["--batch", "2", "--crop", "32", "--frames", "2", "--workers", "0", "--measure", "2"]
    options = ["--data", str(shards), "--init", str(init), "--run", str(run)]
    result = runner.invoke(commands.app, ["stage", "decoder", *options, *sizes])
    assert result.exit_code == 0, result.output
    numbers = [float(number) for number in re.findall(r"[0-9]+\.[0-9]+", result.stdout)]
    assert len(numbers) == 4
    assert all(number > 0 for number in numbers[:2])
    assert not run.exists()


def test_missing_data_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(tmp_path), "--run", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["training", "stage", "autoencoder", *options])
    with pytest.raises(SystemExit) as stop:
        commands.main()
    assert stop.value.code == 3
    assert "hint: " in capsys.readouterr().err


def test_less_wrapping_makes_a_lower_fidelity_the_new_one(tmp_path: Path) -> None:
    path, out = write_tiny_weights(tmp_path / "a.safetensors"), tmp_path / "b.safetensors"
    options = [str(path), str(path), "--out", str(out), "--wrapping", "0.5"]
    assert runner.invoke(commands.app, ["blend", *options]).exit_code == 0
    lr_frames = torch.rand(1, 1, 3, 8, 8) * 2 - 1
    latents = torch.randn(1, 1, 4, 4, 4)

    def decoded(model: SmallModel, fidelity: float) -> Tensor:
        features = model.features(lr_frames, 4)
        frames, _ = model.decode(
            latents, lr_frames, features, fidelity=fidelity, memory_features=None, warps=[None]
        )
        return frames.detach()

    before, after = load_weights(path), load_weights(out)
    torch.testing.assert_close(decoded(after, 1.0), decoded(before, 0.5), atol=2e-3, rtol=0)
    assert (decoded(before, 1.0) - decoded(before, 0.5)).abs().max() > 0.01


def test_a_blend_lies_between_its_parents(tmp_path: Path) -> None:
    parents = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for seed, path in enumerate(parents):
        save_weights(path, tiny_model(seed).state_dict(), TINY)
    out = tmp_path / "c.safetensors"
    result = runner.invoke(
        commands.app, ["blend", *map(str, parents), "--out", str(out), "--share", "0.25"]
    )
    assert result.exit_code == 0
    first, second, mixed = (load_weights(path).trunk.stem.weight for path in (*parents, out))
    torch.testing.assert_close(mixed, 0.75 * first + 0.25 * second, atol=1e-3, rtol=0)
    assert load_weights(out).config == TINY
    words = ["blend", *map(str, parents), "--out", str(out), "--noise-scale", "0.5"]
    words += ["--time-power", "3", "--damping", "0.4"]
    assert runner.invoke(commands.app, words).exit_code == 0
    assert load_weights(out).config == replace(TINY, noise_scale=0.5, time_power=3.0, damping=0.4)


def test_a_blend_offers_the_scales_that_it_is_told_to(tmp_path: Path) -> None:
    path, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    narrow = replace(TINY, scales=(4, 2), offered_scales=(4,))
    save_weights(path, SmallModel(narrow).state_dict(), narrow)
    words = ["blend", str(path), str(path), "--out", str(out), "--offer"]
    assert runner.invoke(commands.app, [*words, "1"]).exit_code == 2
    assert not out.exists()
    assert runner.invoke(commands.app, [*words, "2", "--offer", "4"]).exit_code == 0
    assert load_weights(out).config.offered_scales == (4, 2)
