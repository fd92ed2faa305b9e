from itertools import pairwise, repeat

import pytest
import torch

from tests.networks import TINY, tiny_model
from tests.training.samples import batch
from vsr_cli.diffusion.motion import Motion
from vsr_cli.diffusion.sampler import sample_latents
from vsr_cli.models.small.model import SmallModel
from vsr_cli.training import finishing
from vsr_cli.training.finishing import (
    LONGEST_PAST,
    DecoderRecipe,
    StudentRecipe,
    find_recalls,
    jittered_scheduler,
    predict_clean,
    random_past,
    visit,
)
from vsr_cli.training.loop import Recipe
from vsr_cli.training.recipes import (
    AutoencoderRecipe,
    DenoiserRecipe,
    measure_latent_std,
    random_timesteps,
)

RECIPES: dict[str, Recipe] = {
    "autoencoder": AutoencoderRecipe(None),
    "denoiser": DenoiserRecipe(),
    "student": StudentRecipe(None, steps=2, learning_rate=1e-3),
    "decoder": DecoderRecipe(None, steps=2, learning_rate=1e-3),
}


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


def test_the_jittered_chain_starts_at_the_end_and_keeps_its_order() -> None:
    torch.manual_seed(0)
    chains = [jittered_scheduler(4).timesteps.tolist() for _ in range(20)]
    for times in chains:
        assert times[0] == 999
        assert sorted(times, reverse=True) == times
    assert len({tuple(times) for times in chains}) > 10
    middle = [sum(times[k] for times in chains) / len(chains) for k in range(4)]
    assert middle == pytest.approx([999, 749, 499, 249], abs=60)


def test_a_visited_state_is_the_one_the_chain_reaches() -> None:
    model, sample = tiny_model(), batch(3)
    with torch.no_grad():
        condition = model.condition(sample.lr)
        shape = torch.Size((2, 3, 4, 8, 8))
        seen = set()
        for seed in range(40):
            torch.manual_seed(seed)
            scheduler = jittered_scheduler(4)
            noisy, t = visit(model, condition, scheduler, shape, None)
            seen.add(scheduler.timesteps.tolist().index(t))
            assert noisy.shape == shape
            assert torch.isfinite(noisy).all()
    assert seen == {0, 1, 2, 3}


def test_the_student_hears_the_adversary_only_after_a_while() -> None:
    recipe, model = StudentRecipe(None, 2, 1e-3), SmallModel(TINY)
    assert "adversarial" not in recipe.losses(model, batch(2), 0.0)
    assert "adversarial" in recipe.losses(model, batch(2), 0.5)


def test_the_past_of_a_clip_is_a_walk_that_ends_beside_its_first_frame() -> None:
    torch.manual_seed(0)
    pasts = [random_past(4) for _ in range(300)]
    assert 100 < sum(not past for past in pasts) < 200
    lengths = {len(past) for past in pasts}
    assert lengths == set(range(LONGEST_PAST + 1))
    for past in filter(None, pasts):
        assert past[-1] == 1
        assert all(abs(now - before) == 1 for before, now in pairwise(past))
    assert random_past(1) == []


def test_the_way_back_is_the_flow_of_the_direction_that_was_walked() -> None:
    t = torch.arange(3.0).view(1, 3, 1, 1, 1)
    flow, visible = t.expand(1, 3, 2, 4, 4), t.expand(1, 3, 1, 4, 4)
    motion = Motion(flow, -flow - 10, visible, visible + 10)
    first, *others = find_recalls(motion, [2, 1, 2, 3])
    assert first is None
    # Back from 1 to 2 is forward from 1; back from 2 to 1, and from 3 to 2, is backward.
    assert [recall.flow[0, 0, 0, 0].item() for recall in others if recall] == [1, -11, -12]
    assert [recall.visible[0, 0, 0, 0].item() for recall in others if recall] == [1, 11, 12]


def test_a_past_changes_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, model, sample = DecoderRecipe(None, 2, 1e-3), tiny_model(), batch(3)
    recon = []
    for past in ([], [2, 1]):
        monkeypatch.setattr(finishing, "random_past", lambda _, past=past: past)
        torch.manual_seed(0)
        recon.append(recipe.losses(model, sample, 0.0)["recon"])
    assert recon[0].item() != recon[1].item()


def test_the_chain_in_training_is_the_one_that_is_sampled() -> None:
    model, sample = tiny_model(), batch(3)
    flow = torch.full((2, 2, 2, 8, 8), 0.3)
    visible = torch.ones(2, 2, 1, 8, 8)
    motion = Motion(flow, -flow, visible, visible)
    noises = [torch.randn(2, 3, 4, 8, 8, generator=torch.manual_seed(k)) for k in range(4)]
    scheduler = jittered_scheduler(4)
    times = scheduler.timesteps.tolist()
    with torch.no_grad():
        condition = model.condition(sample.lr)
        drawn, _ = sample_latents(
            lambda x, log_snr, past: model.denoise(x, log_snr, condition, past),
            shape=(2, 3, 4, 8, 8),
            scheduler=scheduler,
            noise=lambda step: noises[step],
            motion=motion,
            motion_scale=1.0,
            history=None,
        )
        noisy = noises[0]
        for index, t in enumerate(times):
            x0 = predict_clean(model, condition, scheduler, noisy, t, motion)
            if index < 3:
                noisy = scheduler.advance(x0, t, noisy, noises[index + 1])
    torch.testing.assert_close(x0, drawn, atol=1e-4, rtol=1e-4)
