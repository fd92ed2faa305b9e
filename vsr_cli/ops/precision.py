"""Which number format a processor computes in the fastest."""

import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from vsr_cli.ops.int8 import agrees_with_floats

CPUINFO = Path("/proc/cpuinfo")


@cache
def is_faster_in_bfloat16() -> bool:
    """Whether this CPU convolves faster in bfloat16 than in float32.

    With a unit for tiles (AMX) it does, many times, and without any instructions for bfloat16 it
    does not. Those of AVX-512 alone multiply twice as many numbers as float32's do, but Intel's
    processors finish one in the time of four of those: half as fast, as was measured. The answer is
    one of the processor and not of a clock, so that it is the same at every run of a job.
    """
    if torch.cpu._is_amx_tile_supported():
        return True
    return torch.cpu._is_avx512_bf16_supported() and "GenuineIntel" not in _vendor()


@cache
def emulates_bfloat16() -> bool:
    """Whether this CPU has no way to convolve in bfloat16 but one by one, many times as slowly."""
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


@cache
def has_int8() -> bool:
    """Whether this CPU multiplies 8-bit integers and adds them up without overflow (VNNI)."""
    return torch.cpu._is_vnni_supported() and agrees_with_floats()


@cache
def is_faster_in_int8() -> bool:
    """Whether it also convolves faster so than in any floats, rounding included.

    AVX-512 multiplies twice as many 8-bit integers as numbers in bfloat16, and four times as many
    as in float32. With a unit for tiles (AMX) networks as narrow as ours wait for memory, not for
    products, and would only have to round on top.
    """
    return has_int8() and not torch.cpu._is_amx_tile_supported()


def beside_int8() -> torch.dtype:
    """The floats that hold what is not rounded to 8 bits."""
    return torch.bfloat16 if is_faster_in_bfloat16() else torch.float32


def _vendor() -> str:
    """Who made the processor, as far as the system tells it."""
    with suppress(OSError):
        for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("vendor_id"):
                return line.partition(":")[2].strip()
    return platform.processor()
