"""Laws that hold for any weights: windows cover, streams are exact, no frame sees a later one."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.models.seedvr2.tiny import TINY, tiny_model
from vsr_cli.models.seedvr2 import denoiser
from vsr_cli.models.seedvr2.autoencoder import CausalConv, Stream
from vsr_cli.models.seedvr2.model import SeedVr2Model
from vsr_cli.models.seedvr2.windows import group_cells, plan_cells, rotate, window_size

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> SeedVr2Model:
    return tiny_model()


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("is_shifted", [False, True])
@pytest.mark.parametrize(
    "size", [(1, 1, 1), (5, 4, 6), (1, 23, 42), (2, 21, 22), (9, 45, 80), (41, 68, 120)]
)
def test_every_token_is_in_exactly_one_window(size: tuple[int, int, int], is_shifted: bool) -> None:
    groups = group_cells(plan_cells(size, is_shifted=is_shifted), size, device=CPU)
    rows = torch.cat([group.rows.flatten() for group in groups])
    assert torch.equal(rows.sort().values, torch.arange(size[0] * size[1] * size[2]))


def test_a_frame_of_720p_has_nine_windows_and_a_larger_one_more_of_that_size() -> None:
    assert window_size((9, 45, 80)) == (3, 15, 27)
    assert window_size((9, 68, 120)) == (3, 15, 27)
    assert window_size((100, 45, 80)) == (8, 15, 27)  # time is counted up to thirty
    assert len(plan_cells((4, 45, 80), is_shifted=False)) == 4 * 9


def test_rotating_keeps_lengths_and_depends_on_distances_alone() -> None:
    x = noise(1, 2, 3, 8)
    angles = torch.tensor([[0.3, 1.0, 2.0], [0.5, 0.7, 1.1]])
    turned = rotate(x, angles)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned[..., 6:], x[..., 6:])
    both = rotate(x, angles + 0.4)
    inner = (turned[:, 0] * turned[:, 1]).sum(-1)
    torch.testing.assert_close((both[:, 0] * both[:, 1]).sum(-1), inner)


def test_how_many_tokens_are_worked_on_at_once_does_not_show(
    model: SeedVr2Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents, lr_latents = noise(3, 16, 12, 20), noise(3, 16, 12, 20, seed=1)
    whole = model.denoise(latents, lr_latents, 1000)
    monkeypatch.setattr(denoiser, "MOST_TOKENS", 7)
    torch.testing.assert_close(model.denoise(latents, lr_latents, 1000), whole)


def test_the_prediction_depends_on_everything_it_is_given(model: SeedVr2Model) -> None:
    latents, lr_latents = noise(2, 16, 4, 6), noise(2, 16, 4, 6, seed=1)
    plain = model.denoise(latents, lr_latents, 1000)
    assert plain.shape == latents.shape
    other = tiny_model()
    other.text.add_(1)
    for changed in (
        model.denoise(latents + 1, lr_latents, 1000),
        model.denoise(latents, lr_latents + 1, 1000),
        model.denoise(latents, lr_latents, 500),
        other.denoise(latents, lr_latents, 1000),
    ):
        assert (changed - plain).abs().max() > 1e-3


@pytest.mark.parametrize("slices", [(1, 4, 4, 4), (5, 8), (13,)])
def test_encoding_slices_equals_encoding_the_whole(
    model: SeedVr2Model, slices: tuple[int, ...]
) -> None:
    frames, stream = noise(13, 3, 16, 24), Stream()
    encoder = model.autoencoder.encoder
    moments = torch.cat([encoder(piece, stream) for piece in frames.split(slices)])
    mean, log_variance = model.autoencoder.encode(frames)
    torch.testing.assert_close(moments, torch.cat((mean, log_variance), dim=1))
    assert len(mean) == 4


def test_decoding_latent_by_latent_equals_decoding_the_whole(model: SeedVr2Model) -> None:
    latents, decoder = noise(4, 16, 2, 3), model.autoencoder.decoder
    whole = torch.cat(list(decoder(latents, Stream())))
    assert whole.shape == (13, 3, 16, 24)
    torch.testing.assert_close(
        torch.stack(list(model.autoencoder.decode(latents, Stream()))), whole
    )
    skipped = torch.stack(list(model.autoencoder.decode(latents, Stream(), skip=9)))
    torch.testing.assert_close(skipped, whole[9:])


def test_no_frame_depends_on_a_later_one(model: SeedVr2Model) -> None:
    frames, latents = noise(13, 3, 16, 16), noise(4, 16, 2, 2)
    changed, changed_latents = frames.clone(), latents.clone()
    changed[9:], changed_latents[3:] = 0.5, 0.5
    for mean, other in zip(
        model.autoencoder.encode(frames), model.autoencoder.encode(changed), strict=True
    ):
        assert torch.equal(mean[:3], other[:3])
        assert not torch.equal(mean[3:], other[3:])
    decoded = list(model.autoencoder.decode(latents, Stream()))
    others = list(model.autoencoder.decode(changed_latents, Stream()))
    assert all(torch.equal(a, b) for a, b in zip(decoded[:9], others[:9], strict=True))
    assert not torch.equal(decoded[9], others[9])


def test_a_stream_remembers_what_the_next_output_looks_back_at() -> None:
    conv, stream = CausalConv(1, 1, (3, 3), stride=(2, 2)), Stream()
    conv(noise(5, 1, 4, 4), stream)
    assert len(stream.inputs[conv]) == 1
    conv = CausalConv(1, 1)
    conv(noise(5, 1, 4, 4), stream)
    assert len(stream.inputs[conv]) == 2


def test_a_number_of_frames_that_fills_no_latents_is_refused(model: SeedVr2Model) -> None:
    with pytest.raises(ValueError, match="4n\\+1"):
        model.autoencoder.encode(noise(4, 3, 16, 16))


def test_half_precision_computes_nearly_the_same(model: SeedVr2Model) -> None:
    latents, lr_latents = noise(2, 16, 4, 6), noise(2, 16, 4, 6, seed=1)
    half = tiny_model().to(torch.bfloat16)
    found = half.denoise(latents, lr_latents, 1000)
    assert found.dtype == torch.float32
    expected = model.denoise(latents, lr_latents, 1000)
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()
    assert TINY.rotary_channels == 4
