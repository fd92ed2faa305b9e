from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from vsr_cli.ops.precision import is_faster_in_bfloat16


@pytest.fixture(autouse=True)
def _ask_anew() -> Iterator[None]:
    is_faster_in_bfloat16.cache_clear()
    yield
    is_faster_in_bfloat16.cache_clear()


def _has(monkeypatch: pytest.MonkeyPatch, *, tiles: bool, instructions: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)


@pytest.mark.parametrize(("tiles", "instructions"), [(True, True), (False, False)])
def test_what_the_processor_says_is_enough_where_it_is_certain(
    monkeypatch: pytest.MonkeyPatch, tiles: bool, instructions: bool
) -> None:
    _has(monkeypatch, tiles=tiles, instructions=instructions)
    monkeypatch.setattr("vsr_cli.ops.precision.F.conv2d", lambda *_, **__: pytest.fail("timed"))
    assert is_faster_in_bfloat16() is tiles


@pytest.mark.parametrize("slow", [torch.float32, torch.bfloat16])
def test_the_faster_format_is_found_by_the_clock(
    monkeypatch: pytest.MonkeyPatch, slow: torch.dtype
) -> None:
    _has(monkeypatch, tiles=False, instructions=True)
    now = 0.0

    def convolve(x: Tensor, weight: Tensor, padding: int) -> Tensor:
        nonlocal now
        del weight, padding
        now += 2.0 if x.dtype == slow else 1.0
        return x

    monkeypatch.setattr("vsr_cli.ops.precision.F.conv2d", convolve)
    monkeypatch.setattr("vsr_cli.ops.precision.time.perf_counter", lambda: now)
    assert is_faster_in_bfloat16() is (slow == torch.float32)
