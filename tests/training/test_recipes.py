import random
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from tests.networks import TINY, tiny_model
from tests.training.samples import batch
from vsr_cli.diffusion.motion import Motion
from vsr_cli.diffusion.sampler import sample_latents
from vsr_cli.models.small.model import SmallModel
from vsr_cli.training import decoder_recipes
from vsr_cli.training import recipes as recipes_module
from vsr_cli.training.adversary import DiscriminatorTrainer
from vsr_cli.training.decoder_recipes import (
    LONGEST_PAST,
    SAMPLED,
    TRUE,
    ZERO,
    DecoderRecipe,
    StudentRecipe,
    draw_latents,
    find_warps,
    follow,
    jittered_scheduler,
    predict_x0,
    random_kinds,
    random_past,
    random_steps,
    rollout,
)
from vsr_cli.training.loop import Recipe
from vsr_cli.training.recipes import (
    AutoencoderRecipe,
    DenoiserRecipe,
    random_timesteps,
    unit_latents,
)


def make_recipe(name: str) -> Recipe:
    if name == "autoencoder":
        return AutoencoderRecipe(None)
    if name == "floor":
        return AutoencoderRecipe(None, DiscriminatorTrainer(1e-3, warm_up=0))
    if name == "denoiser":
        return DenoiserRecipe()
    if name == "student":
        return StudentRecipe(tiny_model(1), steps=2)
    return DecoderRecipe(None, steps=2, adversary=DiscriminatorTrainer(1e-3, warm_up=0))


NAMES = ("autoencoder", "floor", "denoiser", "student", "decoder")


def frames_for(name: str) -> int:
    return 1 if name in ("autoencoder", "floor") else 3


def trained_by(recipe: Recipe, model: SmallModel) -> dict[int, str]:
    """Parameters that a stage moves, by identity."""
    moved = {id(p) for part in recipe.trained(model) for p in part.parameters()}
    return {id(p): name for name, p in model.named_parameters() if id(p) in moved}


@pytest.mark.parametrize("scale", [4, 2, 1])
@pytest.mark.parametrize("name", NAMES)
def test_every_loss_is_finite_and_reaches_every_trained_parameter_and_no_other(
    name: str, scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(decoder_recipes, "random_kinds", lambda *_: torch.tensor([SAMPLED, TRUE]))
    monkeypatch.setattr(recipes_module, "EQUIVARIANCE_SHARE", 1.0)
    recipe, model = make_recipe(name), tiny_model().requires_grad_(False)
    for part in recipe.trained(model):
        part.requires_grad_(True)
    terms = recipe.losses(model, batch(frames_for(name), scale=scale), 0.9)
    total = torch.stack([term.float() for term in terms.values()]).sum()
    assert torch.isfinite(total)
    total.backward()
    wanted = trained_by(recipe, model)
    # A single frame has nothing to remember, and one batch has one scale.
    unused = {"decoder.memory"} if frames_for(name) == 1 else set()
    stems = {4: "trunk.stem", 2: "trunk.folded_stems.2", 1: "trunk.folded_stems.4"}
    unused |= {stem for of, stem in stems.items() if of != scale}
    if scale == 4:
        unused.add("decoder.filters")
    for full_name, parameter in model.named_parameters():
        is_unused = full_name.rsplit(".", 1)[0].startswith(tuple(unused))
        assert (parameter.grad is not None) == (id(parameter) in wanted and not is_unused), (
            full_name
        )


def test_clips_add_losses_along_time() -> None:
    terms = DenoiserRecipe().losses(SmallModel(TINY), batch(3), 0.5)
    assert {"v", "difference", "warp"} <= set(terms)
    assert set(DenoiserRecipe().losses(SmallModel(TINY), batch(1), 0.5)) == {"v"}


def test_a_denoiser_that_knows_nothing_is_seen_to_be_none() -> None:
    torch.manual_seed(0)
    recipe = DenoiserRecipe()
    ratios = []
    for _ in range(8):
        recipe.losses(SmallModel(TINY), batch(1), 0.5)  # its last convolution is zero
        ratios.append(recipe.observed["x0_over_wiener"].item())
    assert sum(ratios) / len(ratios) > 1


def test_the_last_timestep_is_drawn_often_because_every_chain_starts_there() -> None:
    torch.manual_seed(0)
    t = random_timesteps(8000, torch.device("cpu"))
    assert 0.1 < (t == 999).float().mean() < 0.16
    assert t.min() < 20


def test_latents_have_unit_size_and_the_model_remembers_what_they_were_divided_by() -> None:
    model, sample = tiny_model(), batch(1)
    with torch.no_grad():
        model.encoder.out.weight.mul_(5)
        features = model.features(sample.lr, 4)
        for _ in range(600):
            unit, size = unit_latents(model, sample.hr, sample.lr, features)
    torch.testing.assert_close(unit.square().mean((0, 1, 3, 4)), torch.ones(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(model.latent_std, size, atol=0.02, rtol=0.02)
    found = model.encode(sample.hr, sample.lr, features)
    torch.testing.assert_close(found, unit, atol=0.02, rtol=0.02)


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
        condition = model.condition(sample.lr, 4)
        shape = torch.Size((2, 3, 4, 8, 8))
        seen = set()
        for seed in range(40):
            torch.manual_seed(seed)
            scheduler = jittered_scheduler(4)
            noisy, t = rollout(model, condition, scheduler, shape)
            seen.add(scheduler.timesteps.tolist().index(t))
            assert noisy.shape == shape
            assert torch.isfinite(noisy).all()
    assert seen == {0, 1, 2, 3}


def test_a_teacher_that_is_always_right_is_followed_to_the_truth() -> None:
    model, sample = tiny_model(), batch(2)
    condition = model.condition(sample.lr, 4)
    truth = torch.randn(2, 2, 4, 8, 8)
    alphas = jittered_scheduler(1).alphas_cumprod

    def denoise(x: Tensor, log_snr: Tensor, *_: object) -> tuple[Tensor, list[Tensor]]:
        alpha = log_snr.sigmoid()[0]
        return (alpha.sqrt() * x - truth) / (1 - alpha).sqrt(), []

    model.denoise = denoise  # type: ignore[method-assign, assignment]
    for start in (999, 700, 130, 20):
        alpha = alphas[start]
        noisy = alpha.sqrt() * truth + (1 - alpha).sqrt() * torch.randn_like(truth)
        end = follow(model, condition, noisy, start)
        torch.testing.assert_close(end, truth, atol=1e-2, rtol=1e-2)


def test_origins_of_latents_have_their_shares() -> None:
    random.seed(0)
    kinds = random_kinds(4000, torch.device("cpu"))
    shares = [(kinds == kind).float().mean().item() for kind in (SAMPLED, TRUE, ZERO)]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


@pytest.mark.parametrize(
    ("kinds", "named", "unnamed"),
    [
        ([SAMPLED, SAMPLED], {"box", "recon_sampled", "adversarial"}, {"recon", "gradient"}),
        ([ZERO, ZERO], {"recon", "gradient", "adversarial"}, {"box"}),
        ([TRUE, TRUE], {"recon", "gradient", "adversarial"}, {"box"}),
        ([SAMPLED, TRUE], {"recon", "box", "adversarial"}, set()),
    ],
)
def test_frames_are_judged_by_the_origin_of_their_latents(
    kinds: list[int],
    named: set[str],
    unnamed: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoder_recipes, "random_kinds", lambda *_: torch.tensor(kinds))
    terms = set(make_recipe("decoder").losses(tiny_model(), batch(3), 0.0))
    assert named | {"grid", "lattice", "structure", "difference", "chroma", "halo"} <= terms
    assert not unnamed & terms


def test_frames_teach_the_denoiser_by_the_last_step_of_its_chain_alone() -> None:
    torch.manual_seed(0)
    model, sample = tiny_model(), batch(3)
    seen: list[bool] = []
    denoise = model.denoise

    def spy(*args: object) -> object:
        seen.append(torch.is_grad_enabled())
        return denoise(*args)  # type: ignore[arg-type]

    model.denoise = spy  # type: ignore[method-assign,assignment]
    condition = model.condition(sample.lr, 4)
    drawn = draw_latents(model, condition, jittered_scheduler(3), torch.Size([2, 3, 4, 8, 8]), None)
    assert seen == [False, False, True]
    drawn.square().mean().backward()
    gradients = [p.grad for p in model.denoiser.parameters()]
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)


def test_pulls_along_the_motion_let_gradients_through_unchanged() -> None:
    torch.manual_seed(0)
    model, sample = tiny_model(), batch(3)
    flow = torch.full((2, 2, 2, 8, 8), 0.3)
    visible = torch.ones(2, 2, 1, 8, 8)
    motion = Motion(flow, -flow, visible, visible)
    noisy, scheduler = torch.randn(2, 3, 4, 8, 8), jittered_scheduler(4)
    found = []
    for way in (None, motion):
        model.zero_grad()
        condition = model.condition(sample.lr, 4)
        x0 = predict_x0(model, condition, scheduler, noisy, 250, way)
        x0.sum().backward()
        weight = model.denoiser.out.weight.grad
        assert weight is not None
        found.append((x0.detach(), weight.clone()))
    assert not torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_few_steps_are_drawn_alike_and_many_now_and_then() -> None:
    random.seed(0)
    drawn = [random_steps(4) for _ in range(4000)]
    shares = [drawn.count(steps) / 4000 for steps in (2, 3, 4, 12)]
    assert shares == pytest.approx([0.25, 0.25, 0.25, 0.25], abs=0.03)
    assert {random_steps(2) for _ in range(50)} == {2, 6}


def test_the_past_of_a_clip_is_a_walk_that_ends_beside_its_first_frame() -> None:
    random.seed(0)
    pasts = [random_past(4) for _ in range(2000)]
    assert 0.09 < sum(bool(past) for past in pasts) / 2000 < 0.16
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
    first, *others = find_warps(motion, [2, 1, 2, 3])
    assert first is None
    # Back from 1 to 2 is forward from 1; back from 2 to 1, and from 3 to 2, is backward.
    assert [warp.flow[0, 0, 0, 0].item() for warp in others if warp] == [1, -11, -12]
    assert [warp.visible[0, 0, 0, 0].item() for warp in others if warp] == [1, 11, 12]


def test_a_past_changes_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, model, sample = make_recipe("decoder"), tiny_model(), batch(3)
    monkeypatch.setattr(decoder_recipes, "random_kinds", lambda *_: torch.tensor([TRUE, ZERO]))
    recon = []
    for past in ([], [2, 1]):
        monkeypatch.setattr(decoder_recipes, "random_past", lambda _, past=past: past)
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
        condition = model.condition(sample.lr, 4)
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
            x0 = predict_x0(model, condition, scheduler, noisy, t, motion)
            if index < 3:
                noisy = scheduler.step(x0, t, noisy, noises[index + 1])
    torch.testing.assert_close(x0, drawn, atol=1e-4, rtol=1e-4)
