"""Which number format a processor computes in the fastest."""

import time
from functools import cache

import torch
from torch.nn import functional as F

CHANNELS, SIDE = 128, 48  # of the convolution that is timed, about as the networks' own
ROUNDS = 4  # of each format, by turns; the best of them counts


@cache
def is_faster_in_bfloat16() -> bool:
    """Whether this CPU convolves faster in bfloat16 than in float32.

    With a unit for tiles (AMX) it does, many times. Without any instructions for bfloat16 it does
    not. Those of AVX-512 alone are twice as fast as float32 on some processors and half as fast on
    others, so there both are timed, once a process, for some hundredths of a second.
    """
    if torch.cpu._is_amx_tile_supported():
        return True
    if not torch.cpu._is_avx512_bf16_supported():
        return False
    dtypes = (torch.float32, torch.bfloat16)
    trials = {dtype: _convolution(dtype) for dtype in dtypes}
    best = dict.fromkeys(dtypes, float("inf"))
    with torch.inference_mode():
        for x, weight in trials.values():  # the first time is slower
            F.conv2d(x, weight, padding=1)
        for _ in range(ROUNDS):
            for dtype, (x, weight) in trials.items():
                started = time.perf_counter()
                F.conv2d(x, weight, padding=1)
                best[dtype] = min(best[dtype], time.perf_counter() - started)
    return best[torch.bfloat16] < best[torch.float32]


def _convolution(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(1, CHANNELS, SIDE, SIDE, dtype=dtype)
    weight = torch.rand(CHANNELS, CHANNELS, 3, 3, dtype=dtype)
    channels_last = torch.channels_last
    return x.to(memory_format=channels_last), weight.to(memory_format=channels_last)
