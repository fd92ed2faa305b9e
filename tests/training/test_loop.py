import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.networks import tiny_model, write_tiny_weights
from tests.training.samples import batch
from vsr_cli.models.weights import load_weights
from vsr_cli.training.curves import CURVES, LOG, draw_curves
from vsr_cli.training.dataset import Sample
from vsr_cli.training.decoder_recipes import StudentRecipe
from vsr_cli.training.loop import TrainConfig, _schedule, resume_iteration, train
from vsr_cli.training.recipes import AutoencoderRecipe

CPU = torch.device("cpu")


def endless(num_frames: int = 1) -> Iterator[Sample]:
    return repeat(batch(num_frames))


def student() -> StudentRecipe:
    torch.manual_seed(0)
    return StudentRecipe(tiny_model(1), steps=2)


def logged(run: Path) -> list[dict[str, str]]:
    with (run / LOG).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_stage_goes_on_where_its_last_slice_ended(tmp_path: Path) -> None:
    init = write_tiny_weights(tmp_path / "init.safetensors")
    run = tmp_path / "run"
    config = TrainConfig(run=run, init=init, iterations=4, log_every=1, warmup=1)

    assert not train(AutoencoderRecipe(None), endless(), replace(config, minutes=0), CPU)
    assert resume_iteration(config) == 1
    assert train(AutoencoderRecipe(None), endless(), config, CPU)
    assert resume_iteration(config) == 4
    lines = [int(row["iteration"]) for row in logged(run) if row["name"] == "norm"]
    assert lines == [1, 2, 3, 4]

    before, after = load_weights(init).state_dict(), load_weights(run / "weights.safetensors")
    changed = {
        name.split(".")[0]
        for name, tensor in after.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {"trunk", "encoder", "decoder", "latent_std"}


@pytest.mark.slow
def test_a_run_in_slices_is_the_run_in_one_piece(tmp_path: Path) -> None:
    init = write_tiny_weights(tmp_path / "init.safetensors")
    whole = TrainConfig(run=tmp_path / "whole", init=init, iterations=4, warmup=1)
    train(student(), endless(2), whole, CPU)
    sliced = replace(whole, run=tmp_path / "sliced", minutes=0)
    while not train(student(), endless(2), sliced, CPU):
        assert resume_iteration(sliced) < 4
    one = load_weights(whole.run / "weights.safetensors").state_dict()
    other = load_weights(sliced.run / "weights.safetensors").state_dict()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_run_of_which_only_weights_are_left_goes_on_in_its_schedule(tmp_path: Path) -> None:
    init = write_tiny_weights(tmp_path / "init.safetensors")
    config = TrainConfig(run=tmp_path / "run", init=init, iterations=103, start=100, warmup=2)
    assert resume_iteration(config) == 100
    assert train(AutoencoderRecipe(None), endless(), config, CPU)
    assert resume_iteration(config) == 103


def test_rates_warm_up_wherever_a_run_begins_and_fall_over_the_whole_stage() -> None:
    whole = TrainConfig(run=Path("run"), iterations=1000, warmup=10)
    rest = replace(whole, start=600)
    assert _schedule(0, whole) == pytest.approx(0.1)
    assert _schedule(600, rest) == pytest.approx(0.1 * _schedule(600, whole), rel=0.01)
    assert _schedule(800, rest) == _schedule(800, whole)
    assert _schedule(999, whole) == pytest.approx(0.02, abs=1e-3)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    init = write_tiny_weights(tmp_path / "init.safetensors")
    config = TrainConfig(
        run=tmp_path / "run", init=init, iterations=160, log_every=10, warmup=1, learning_rate=3e-3
    )
    train(AutoencoderRecipe(None), endless(), config, CPU)
    # Noise cannot be guessed: it is the latents that carry it.
    errors = [float(row["value"]) for row in logged(config.run) if row["name"] == "latent"]
    assert errors[-1] < 0.985 * errors[0]
    with Image.open(config.run / CURVES) as picture:
        assert picture.width > 300


def test_a_curve_goes_down_where_values_do() -> None:
    picture = draw_curves({"loss": [(1, 9.0), (10, 5.0), (20, 1.0)], "nan": [(1, float("nan"))]})
    blue = [
        (x, y)
        for x in range(320)
        for y in range(picture.height)
        if picture.getpixel((x, y)) == (70, 130, 180)
    ]
    left = [y for x, y in blue if x < 60]
    right = [y for x, y in blue if x > 260]
    assert left
    assert max(left) < min(right)


@pytest.mark.slow
def test_a_state_goes_on_without_the_log_of_its_past(tmp_path: Path) -> None:
    init = write_tiny_weights(tmp_path / "init.safetensors")
    config = TrainConfig(run=tmp_path / "run", init=init, iterations=2, warmup=1, minutes=0)
    assert not train(student(), endless(2), config, CPU)
    (config.run / LOG).unlink()
    assert train(student(), endless(2), config, CPU)
    assert {row["iteration"] for row in logged(config.run)} == {"2"}
