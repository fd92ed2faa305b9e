"""The networks compute what the original ones do, given the same weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.parity import RECORDED, assert_like, recorded
from vsr_cli.models.mgld.config import LATENT_SCALE
from vsr_cli.models.mgld.model import MgldModel
from vsr_cli.models.mgld.names import (
    PublishedTensor,
    decoder_source,
    denoiser_source,
    encoder_source,
)


@pytest.fixture(scope="module")
def diffusion() -> dict[str, Tensor]:
    return recorded("unet_small")


@pytest.fixture(scope="module")
def autoencoder() -> dict[str, Tensor]:
    return recorded("vae_small")


@pytest.fixture(scope="module")
def model(diffusion: dict[str, Tensor], autoencoder: dict[str, Tensor]) -> MgldModel:
    model = MgldModel(RECORDED, shares_encoder=True).eval().requires_grad_(False)
    used = fill(model.denoiser, diffusion, lambda n, s: denoiser_source(n, s, 4))
    assert used == {name for name in diffusion if not name.startswith("io.")}
    used = fill(model.encoder, autoencoder, encoder_source)
    used |= fill(model.decoder, autoencoder, decoder_source)
    assert used == {name for name in autoencoder if not name.startswith("io.")}
    return model


def fill(
    network: nn.Module,
    tensors: dict[str, Tensor],
    find: Callable[[str, tuple[int, ...]], PublishedTensor],
) -> set[str]:
    """Give a network the recorded weights; returns the names that were used."""
    values, used = {}, set()
    for name, tensor in network.state_dict().items():
        source = find(name, tuple(tensor.shape))
        assert tuple(tensors[source.name].shape) == source.shape
        values[name] = source.convert(tensors[source.name])
        used.add(source.name)
    network.load_state_dict(values)
    return used


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_the_denoiser_predicts_the_same_noise(
    model: MgldModel, diffusion: dict[str, Tensor], case: str
) -> None:
    io = {name: diffusion[f"io.{case}.{name}"] for name in ("x_t", "z_lr", "timestep", "eps")}
    context = diffusion["io.c.context" if case == "c" else "io.context"]
    noisy, lr = (io[name].unflatten(0, (-1, 5)) for name in ("x_t", "z_lr"))
    t = io["timestep"].expand(noisy.shape[:2])
    assert_like(model.denoiser(noisy, lr, t, context).flatten(0, 1), io["eps"])


@pytest.mark.parametrize("case", ["a", "b"])
def test_the_structure_is_the_same_at_every_level(
    model: MgldModel, diffusion: dict[str, Tensor], case: str
) -> None:
    lr, t = diffusion[f"io.{case}.z_lr"], diffusion[f"io.{case}.timestep"]
    for found, width in zip(model.denoiser.structure(lr, t.expand(5)), (16, 8, 4, 2), strict=True):
        assert_like(found, diffusion[f"io.{case}.cond.{width}"])


@pytest.mark.parametrize("case", ["a", "b"])
def test_the_encoder_gives_the_same_latents_and_features(
    model: MgldModel, autoencoder: dict[str, Tensor], case: str
) -> None:
    encoded = model.encode(autoencoder[f"io.{case}.frames"])
    moments = torch.cat([encoded.mean, encoded.log_variance], dim=1)
    assert_like(moments, autoencoder[f"io.{case}.moments"])
    for index, level in enumerate((1, 2)):
        if case == "a":
            found, name = encoded.features[index][2], f"io.a.feature.{level}.frame2"
        else:
            found, name = encoded.features[index], f"io.b.feature.{level}"
        assert_like(found, autoencoder[name])
    if case == "a":
        sample = encoded.latents(autoencoder["io.a.posterior_noise"])
        assert_like(sample, autoencoder["io.a.z_lr"])


@pytest.mark.parametrize(
    ("case", "fidelity"), [("a", "0"), ("a", "0.5"), ("a", "1"), ("b", "0.5"), ("b", "1")]
)
def test_the_decoder_gives_the_same_frames(
    model: MgldModel, autoencoder: dict[str, Tensor], case: str, fidelity: str
) -> None:
    features = model.encode(autoencoder[f"io.{case}.frames"]).features
    latents = autoencoder[f"io.{case}.latent"] * LATENT_SCALE
    found = model.decode(latents, features, float(fidelity))
    assert_like(found, autoencoder[f"io.{case}.decoded.w{fidelity}"])


@pytest.mark.slow
def test_the_trajectory_is_the_same_with_and_without_guidance_and_in_tiles(
    model: MgldModel,
) -> None:
    """Of the parts of a step each is tested on its own; here they meet."""
    from vsr_cli.diffusion.reference_guidance import (
        guide_reference,
        reference_loss,
        reference_motion,
    )
    from vsr_cli.diffusion.sampler import sample_from_lr
    from vsr_cli.diffusion.schedule import make_respaced_chain
    from vsr_cli.ops.windows import Grid, gaussian_weights

    sampler = recorded("sampler")
    model.context = sampler["io.context"]
    weight = torch.outer(gaussian_weights(16, 8), gaussian_weights(16, 7.5))

    def predict(x: Tensor, lr: Tensor, t: int) -> Tensor:
        grid = Grid.step((x.shape[-2], x.shape[-1]), 16, 8)
        noise = model.denoise(torch.cat(grid.cut(x)), torch.cat(grid.cut(lr)), t)
        return grid.blend(noise.split(1), weight)

    for canvas in ("square", "canvas"):
        io = {
            name.removeprefix(f"io.{canvas}.").removeprefix(f"{canvas}."): tensor
            for name, tensor in sampler.items()
            if canvas in name
        }
        lr = io["z_lr"][None]
        noises = [io["start_noise"][None], *io["step_noise"][:, None]]
        chain = make_respaced_chain(4)
        assert_like(chain.noise_start(lr, noises[0])[0], io["x_T"])
        motion = reference_motion(io["flow_to_next"][None], io["flow_to_prev"][None])
        losses: list[Tensor] = []

        def guide(x: Tensor, sigma: float) -> Tensor:
            losses.append(reference_loss(x, motion))  # noqa: B023  used in this turn alone
            return guide_reference(x, motion, scale=1, sigma=sigma)  # noqa: B023

        for guidance in (None, guide):
            _, states = sample_from_lr(
                lambda x, t: predict(x, lr, t),  # noqa: B023
                lr,
                chain=chain,
                noise=noises.__getitem__,
                guide=guidance,
                num_carried=5,
            )
            expected = io["on.latents" if guidance else "off.latents"]
            for found, latents in zip(states[1:], expected, strict=True):
                assert_like(found[0], latents)
        assert_like(torch.stack(losses), io["on.loss"])

    flush = predict(
        sampler["flush.x_t"][None], sampler["flush.z_lr"][None], int(sampler["flush.timestep"])
    )
    assert_like(flush[0], sampler["flush.eps"])
