"""The networks compute what the original ones do, given the same weights."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.models.seedvr2.recorded import (
    channels_first,
    channels_last,
    frames_first,
    recorded_autoencoder,
    recorded_denoiser,
    split,
)
from tests.parity import assert_like
from vsr_cli.diffusion.flow_chain import straight_times, walk_straight
from vsr_cli.models.seedvr2.autoencoder import Stream, VideoAutoencoder
from vsr_cli.models.seedvr2.config import LATENT_SCALE
from vsr_cli.models.seedvr2.denoiser import Denoiser
from vsr_cli.models.seedvr2.windows import place_angles, plan_cells, rotate, word_angles

CASES = {"a": (5, 4, 6), "b": (1, 23, 42), "c": (2, 21, 22)}  # tokens

Recorded = dict[str, Tensor]


@pytest.fixture(scope="module")
def transformer() -> tuple[Denoiser, Recorded]:
    return recorded_denoiser()


@pytest.fixture(scope="module")
def autoencoder() -> tuple[VideoAutoencoder, Recorded]:
    return recorded_autoencoder()


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def predict(network: Denoiser, io: Recorded, case: str) -> Tensor:
    noise, z = (channels_first(io[f"{case}.{name}"]) for name in ("noise", "z"))
    condition = torch.cat((z, torch.ones_like(z[:, :1])), dim=1)
    return channels_last(network(noise, condition, io["text"], float(io["timestep"])))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layer", range(4))
def test_windows_are_the_same_exactly(
    transformer: tuple[Denoiser, Recorded], case: str, layer: int
) -> None:
    cells = plan_cells(CASES[case], is_shifted=layer % 2 == 1)
    found = {tuple((axis.start, axis.stop) for axis in cell) for cell in cells}
    recorded = transformer[1][f"{case}.windows.{layer}"].tolist()
    assert found == {tuple((start, stop) for start, stop in cell) for cell in recorded}
    assert len(cells) == len(recorded)


def test_tokens_and_words_are_rotated_by_the_same_angles(
    transformer: tuple[Denoiser, Recorded],
) -> None:
    io = transformer[1]
    for layer in range(4):
        windows = io[f"a.windows.{layer}"].tolist()
        found = torch.cat(
            [
                place_angles((t[1] - t[0], y[1] - y[0], x[1] - x[0]), first_time=7, channels=10)
                for t, y, x in windows
            ]
        )
        assert_like(found.repeat_interleave(2, dim=1), io[f"a.rope.{layer}.angles"])
        for kind, angles in (("video", found), ("text", word_angles(7, 10))):
            if layer == 1:
                turned = rotate(io[f"a.rope.1.{kind}_q"], angles)
                assert_like(turned, io[f"a.rope.1.{kind}_q_rotated"])
    assert_like(word_angles(7, 10).repeat_interleave(2, dim=1), io["rope.text_angles"])


@pytest.mark.parametrize("case", CASES)
def test_the_denoiser_predicts_the_same(transformer: tuple[Denoiser, Recorded], case: str) -> None:
    network, io = transformer
    assert_like(predict(network, io, case), io[f"{case}.pred"])


def test_every_layer_does_the_same_to_video_and_words(
    transformer: tuple[Denoiser, Recorded],
) -> None:
    network, io = transformer
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, __: object, output: tuple[Tensor, Tensor]) -> None:
        seen.append((output[0].clone(), output[1].clone()))

    hooks = [block.register_forward_hook(keep) for block in network.blocks]
    predict(network, io, "a")
    for hook in hooks:
        hook.remove()
    for layer, (video, words) in enumerate(seen):
        assert_like(video, io[f"a.layer.{layer}.video"])
        if layer < 3:
            assert_like(words, io[f"a.layer.{layer}.text"])
    time = network.emb_in(float(io["timestep"]))
    assert_like(time.flatten()[None], io["time_embedding"])


@pytest.mark.parametrize("case", ["a", "b"])
def test_the_encoder_gives_the_same_latents(
    autoencoder: tuple[VideoAutoencoder, Recorded], case: str
) -> None:
    network, io = autoencoder
    mean, log_variance = network.encode(frames_first(io[f"{case}.frames"]))
    assert_like(mean, frames_first(io[f"{case}.mean"]))
    assert_like(log_variance, frames_first(io[f"{case}.logvar"]))


@pytest.mark.parametrize("case", ["a", "b"])
def test_the_decoder_gives_the_same_frames(
    autoencoder: tuple[VideoAutoencoder, Recorded], case: str
) -> None:
    network, io = autoencoder
    found = torch.stack(list(network.decode(frames_first(io[f"{case}.latent"]), Stream())))
    assert_like(found, frames_first(io[f"{case}.decoded"]))


def test_slices_are_streamed_as_the_original_streams_them(
    autoencoder: tuple[VideoAutoencoder, Recorded],
) -> None:
    network, io = autoencoder
    frames, latents = frames_first(io["a.frames"]), frames_first(io["a.latent"])
    for slices in ((5, 4), (1, 8), (9,)):
        stream = Stream()
        moments = torch.cat([network.encoder(piece, stream) for piece in frames.split(slices)])
        mean, log_variance = moments.chunk(2, dim=1)
        assert_like(mean, frames_first(io["a.streamed.mean"]))
        assert_like(log_variance, frames_first(io["a.streamed.logvar"]))
    stream = Stream()
    pieces = [torch.cat(list(network.decoder(z, stream))) for z in latents.split((2, 1))]
    assert_like(torch.cat(pieces), frames_first(io["a.streamed.decoded"]))


def test_one_step_and_two_are_the_same_from_frame_to_frame(
    transformer: tuple[Denoiser, Recorded], autoencoder: tuple[VideoAutoencoder, Recorded]
) -> None:
    _, io = split("seedvr2_sampler")
    mean, log_variance = autoencoder[0].encode(frames_first(io["frames"]))
    posterior_noise = frames_first(io["posterior_noise"])
    z = LATENT_SCALE * (mean + (0.5 * log_variance).exp() * posterior_noise)
    assert_like(channels_last(z), io["z"])
    condition = torch.cat((z, torch.ones_like(z[:, :1])), dim=1)
    assert_like(channels_last(condition), io["condition"])

    def denoise(x: Tensor, t: float) -> Tensor:
        return transformer[0](x, condition, io["text"], t)

    latents = walk_straight(denoise, channels_first(io["noise"]), 1)
    assert_like(channels_last(latents), io["1.latents"])
    decoded = torch.stack(list(autoencoder[0].decode(latents / LATENT_SCALE, Stream())))
    assert_like(decoded, frames_first(io["decoded"]))
    assert_like(decoded.clamp(-1, 1) / 2 + 0.5, frames_first(io["video"]))
    latents = walk_straight(denoise, channels_first(io["noise"]), 2)
    assert_like(channels_last(latents), io["2.latents"].reshape_as(io["noise"]))
    for steps in (1, 2, 4):
        assert_like(torch.tensor(straight_times(steps)), io[f"timesteps.{steps}"])
