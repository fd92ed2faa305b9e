"""What is computed in one pass over memory is what the formulas say."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests.networks import tiny_model
from vsr_cli.models.small import decoder, fused
from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.ops.flops import FLOP_FORMULAS

Formula = Callable[[], Tensor]

PLAIN = nn.Conv2d(8, 12, 3, padding=1)
TALL = nn.Conv2d(8, 12, 3, stride=2, padding=1)
AFFINE = nn.Conv2d(8, 24, 1)
SHUFFLED = nn.Conv2d(8, 24, 3, padding=1, bias=False)
FOLDED = nn.Conv2d(32, 12, 1)
TEMPORAL = nn.Conv2d(24, 12, 1)


def random(*shape: int, seed: int = 0) -> Tensor:
    """With channels last in memory, as networks have it."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return x.to(memory_format=torch.channels_last)


X, OTHER = random(3, 8, 5, 7), random(3, 12, 5, 7, seed=1)
SEEN = fused.cat_frames(*(random(1, 8, 5, 7, seed=n)[None] for n in range(5)))
VECTORS = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(2))
SCALE, SHIFT = VECTORS[..., None, None]

CASES: dict[str, tuple[Formula, Formula]] = {
    "conv_activate": (
        lambda: fused.conv_activate(PLAIN, X),
        lambda: F.leaky_relu(PLAIN(X), fused.LEAK),
    ),
    "conv_activate, every second pixel": (
        lambda: fused.conv_activate(TALL, X),
        lambda: F.leaky_relu(TALL(X), fused.LEAK),
    ),
    "conv_add": (lambda: fused.conv_add(PLAIN, X, OTHER), lambda: OTHER + PLAIN(X)),
    "conv_add of another order in memory": (
        lambda: fused.conv_add(PLAIN, X.contiguous(), OTHER.contiguous()),
        lambda: OTHER + PLAIN(X),
    ),
    "conv_add of a part": (
        lambda: fused.conv_add(PLAIN, X[:1, :, 1:, 1:], OTHER[:1, :, 1:, 1:]),
        lambda: OTHER[:1, :, 1:, 1:] + PLAIN(X[:1, :, 1:, 1:]),
    ),
    "film_activate": (
        lambda: fused.film_activate(X, *VECTORS),
        lambda: F.leaky_relu(X * (1 + SCALE) + SHIFT, fused.LEAK),
    ),
    "modulate": (
        lambda: fused.modulate(AFFINE, X, OTHER),
        lambda: OTHER + AFFINE(X)[:, :12] * OTHER + AFFINE(X)[:, 12:],
    ),
    "modulate in part": (
        lambda: fused.modulate(AFFINE, X, OTHER, 0.3),
        lambda: OTHER + 0.3 * (AFFINE(X)[:, :12] * OTHER + AFFINE(X)[:, 12:]),
    ),
    "conv_shuffle": (
        lambda: fused.conv_shuffle(SHUFFLED, X),
        lambda: F.pixel_shuffle(SHUFFLED(X), 2),
    ),
    "conv_shuffle, activated": (
        lambda: fused.conv_shuffle(AFFINE, X, is_activated=True),
        lambda: F.leaky_relu(F.pixel_shuffle(AFFINE(X), 2), fused.LEAK),
    ),
    "unshuffle_conv": (
        lambda: fused.unshuffle_conv(FOLDED, random(2, 8, 6, 4)),
        lambda: FOLDED(F.pixel_unshuffle(random(2, 8, 6, 4), 2)),
    ),
    "temporal_conv_add": (
        lambda: fused.temporal_conv_add(TEMPORAL, SEEN, OTHER),
        lambda: OTHER + TEMPORAL(torch.cat([SEEN[0, k : k + 3] for k in range(3)], dim=1)),
    ),
}


def can_fuse() -> bool:
    with torch.no_grad():
        return fused.can_fuse(X, PLAIN.weight)


needs_operators = pytest.mark.skipif(not can_fuse(), reason="torch was built without them")


@pytest.mark.parametrize("name", CASES)
def test_the_formula_holds_where_networks_learn_and_where_they_do_not(name: str) -> None:
    ours, formula = CASES[name]
    expected = formula()
    assert expected.requires_grad or name == "film_activate"
    torch.testing.assert_close(ours(), expected)
    with torch.no_grad():
        torch.testing.assert_close(ours(), expected.detach())
        before = X.clone(), OTHER.clone()
        ours()
        assert torch.equal(X, before[0])
        assert torch.equal(OTHER, before[1])


@needs_operators
def test_nothing_is_fused_where_it_would_be_in_the_way() -> None:
    assert not fused.can_fuse(X, PLAIN.weight)  # learning
    with torch.no_grad():
        assert fused.can_fuse(X, PLAIN.weight)
        assert not fused.can_fuse(X.double(), PLAIN.weight.double())
        assert not fused.can_fuse(X.bfloat16(), PLAIN.weight)
        assert not fused.can_fuse(X.to("meta"), PLAIN.weight)
        with torch.autocast("cpu", torch.bfloat16):
            assert not fused.can_fuse(X, PLAIN.weight)


@torch.no_grad()
@pytest.mark.parametrize(("batch", "num_frames"), [*product((1, 2), (1, 3))])
def test_frames_keep_their_order_in_memory(batch: int, num_frames: int) -> None:
    x = random(batch * num_frames, 8, 5, 7)
    split = fused.split_frames(x, batch)
    assert split.shape == (batch, num_frames, 8, 5, 7)
    merged = fused.merge_frames(split)
    assert torch.equal(merged, x)
    joined = fused.cat_channels(merged, random(batch * num_frames, 1, 5, 7).contiguous())
    for y in (merged, joined, fused.merge_frames(fused.cat_frames(split, split)[:, :num_frames])):
        # Of several orders that a single frame could have, this one alone counts as such.
        assert y.stride(1) == 1
        assert y.stride(0) >= y[0].numel()


@needs_operators
@pytest.mark.parametrize("batch", [1, 2])
def test_networks_give_the_same_fused_or_not(batch: int) -> None:
    model = tiny_model()
    lr = torch.rand(batch, 3, 3, 12, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1
    noisy, log_snr = torch.randn(batch, 3, 4, 6, 8), torch.linspace(-1, 1, batch)
    warp = MemoryWarp(torch.rand(batch, 2, 12, 16), torch.ones(batch, 1, 12, 16))

    def run() -> list[Tensor]:
        condition = model.condition(lr, 4)
        v, past = model.denoise(noisy, log_snr, condition, None)
        again, _ = model.denoise(noisy, log_snr, condition, past)
        frames, memory = model.decode(
            noisy,
            lr,
            condition.lr_features,
            fidelity=0.7,
            memory_features=None,
            warps=[None, warp, warp],
        )
        return [v, *past, again, frames, memory]

    with torch.enable_grad():
        plain = [x.detach() for x in run()]
    with torch.no_grad():
        for ours, expected in zip(run(), plain, strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


@needs_operators
@torch.no_grad()
@pytest.mark.parametrize("height", [50, 51, 99, 100, 101, 155])
@pytest.mark.parametrize("is_fine", [False, True])
def test_bands_of_rows_meet_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, height: int, is_fine: bool
) -> None:
    network = tiny_model().decoder
    middle, lr_features = (random(1, 8, height, 6, seed=n) for n in range(2))
    source = random(1, 3, 4 * height, 24, seed=2) if is_fine else None
    whole = network._enlarge(middle, lr_features, source, 0.7)
    assert whole.abs().max() > 0
    monkeypatch.setattr(decoder, "_BAND_PIXELS", 6)  # bands as low as they may be
    torch.testing.assert_close(network._in_bands(middle, lr_features, source, 0.7), whole)
    seen: list[Tensor] = []

    def enlarge(part: Tensor, *_: object) -> Tensor:
        seen.append(part)
        return whole

    monkeypatch.setattr(network, "_enlarge", enlarge)
    network._in_bands(middle, lr_features, source, 0.7)
    assert len(seen) == -(-height // 50)


@needs_operators
def test_fused_convolutions_count_as_much_as_others() -> None:
    def count(formula: Formula) -> int:
        with FlopCounterMode(display=False, custom_mapping={**FLOP_FORMULAS}) as counter:
            formula()
        return counter.get_total_flops()

    for name, (ours, _) in CASES.items():
        plain = count(ours)
        with torch.no_grad():
            # Scaling channel by channel is a convolution of one channel each, for oneDNN.
            extra = 2 * X.numel() if name == "film_activate" else 0
            assert count(ours) == plain + extra > 0
