from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pytest
import torch

from tests.networks import TINY, write_tiny_weights
from vsr_cli.models.small.model import SmallModel
from vsr_cli.models.weights import load_weights
from vsr_cli.training.dataset import Sample
from vsr_cli.training.loop import LOG, Recipe, TrainConfig, resume_iteration, train
from vsr_cli.training.recipes import (
    AutoencoderRecipe,
    DecoderRecipe,
    DenoiserRecipe,
    measure_latent_std,
    random_timesteps,
)

RECIPES: dict[str, Recipe] = {
    "autoencoder": AutoencoderRecipe(None),
    "denoiser": DenoiserRecipe(),
    "decoder": DecoderRecipe(None, steps=2, learning_rate=1e-3),
}


def batch(num_frames: int) -> Sample:
    generator = torch.Generator().manual_seed(0)
    hr = torch.rand(2, num_frames, 3, 64, 64, generator=generator) * 2 - 1
    lr = torch.nn.functional.avg_pool2d(hr.flatten(0, 1), 4).unflatten(0, (2, num_frames))
    flow = torch.zeros(2, num_frames - 1, 2, 16, 16)
    visible = torch.ones(2, num_frames - 1, 1, 16, 16)
    return Sample(hr, lr, flow, flow, visible, visible, torch.tensor([True, False]))


def frames_for(name: str) -> int:
    return 1 if name == "autoencoder" else 3


@pytest.mark.parametrize("name", RECIPES)
def test_every_loss_is_finite_and_reaches_every_trained_parameter_and_no_other(name: str) -> None:
    torch.manual_seed(0)
    recipe, model = RECIPES[name], SmallModel(TINY).requires_grad_(False)
    trained = recipe.trained(model)
    for part in trained:
        part.requires_grad_(True)
    terms = recipe.losses(model, batch(frames_for(name)), 0.5)
    total = torch.stack([term.float() for term in terms.values()]).sum()
    assert torch.isfinite(total)
    total.backward()
    wanted = {id(p) for part in trained for p in part.parameters()}
    if frames_for(name) == 1:  # a single frame has nothing to remember
        wanted -= {id(p) for p in model.decoder.memory.parameters()}
    for parameter in model.parameters():
        assert (parameter.grad is not None) == (id(parameter) in wanted)


def test_clips_add_losses_along_time() -> None:
    terms = DenoiserRecipe().losses(SmallModel(TINY), batch(3), 0.5)
    assert {"v", "difference", "warp"} <= set(terms)
    assert set(DenoiserRecipe().losses(SmallModel(TINY), batch(1), 0.5)) == {"v", "close"}


def test_the_last_timestep_is_drawn_often_because_every_chain_starts_there() -> None:
    torch.manual_seed(0)
    t = random_timesteps(8000, torch.device("cpu"))
    assert 0.1 < (t == 999).float().mean() < 0.16
    assert t.min() < 20


def test_normalised_latents_have_unit_spread() -> None:
    torch.manual_seed(0)
    model = SmallModel(TINY)
    sample = batch(1)
    model.latent_std.copy_(measure_latent_std(model, repeat(sample), 4))
    with torch.no_grad():
        mean, log_variance = model.encode(sample.hr, sample.lr, model.features(sample.lr))
        drawn = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    spread = model.normalise(drawn).square().mean(dim=(0, 1, 3, 4)).sqrt()
    torch.testing.assert_close(spread, torch.ones(4), atol=0.1, rtol=0)


def endless() -> Iterator[Sample]:
    return repeat(batch(1))


def test_a_stage_goes_on_where_its_last_slice_ended(tmp_path: Path) -> None:
    init = write_tiny_weights(tmp_path / "init.safetensors")
    run = tmp_path / "run"
    config = TrainConfig(run=run, init=init, iterations=4, log_every=1, warmup=1)

    assert not train(AutoencoderRecipe(None), endless(), replace(config, minutes=0))
    assert resume_iteration(config) == 0
    half = replace(config, iterations=2)
    assert train(AutoencoderRecipe(None), endless(), half)
    assert resume_iteration(config) == 2
    (run / LOG).unlink()
    assert train(AutoencoderRecipe(None), endless(), config)
    assert resume_iteration(config) == 4
    lines = (run / LOG).read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["3", "4"]

    before, after = load_weights(init).state_dict(), load_weights(run / "weights.safetensors")
    changed = {
        name.split(".")[0]
        for name, tensor in after.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {"trunk", "encoder", "decoder", "latent_std"}


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    init = write_tiny_weights(tmp_path / "init.safetensors")
    config = TrainConfig(
        run=tmp_path / "run", init=init, iterations=40, log_every=10, warmup=1, learning_rate=3e-3
    )
    train(AutoencoderRecipe(None), endless(), config)
    lines = (tmp_path / "run" / LOG).read_text().splitlines()
    gradients = [float(line.split("gradient=")[1].split(",")[0]) for line in lines]
    assert gradients[-1] < 0.97 * gradients[0]
