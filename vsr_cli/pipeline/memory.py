"""Memory of the machine and its devices: how much is free, and what to do when it runs out."""

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

import torch

from vsr_cli.errors import is_short_of_memory

CPU = torch.device("cpu")
ASSUMED_MEMORY = 8 * 10**9  # bytes, where the system does not tell
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
# What the allocators of torch say: that of the CPU knows no class of its own for it.
_COMPLAINTS = (
    *("out of memory", "can't allocate memory", "not enough memory", "Failed to allocate"),
    *("could not create a primitive", "Cannot allocate memory"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of the device or of the machine, is what was missing."""
    if isinstance(error, torch.OutOfMemoryError) or is_short_of_memory(error):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _COMPLAINTS)


def release_memory() -> None:
    """Give back what is only cached."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def reuse_memory() -> None:
    """Have the C library keep freed memory for the next tensor, on Linux with glibc.

    By default it gives every large block back to the system and takes fresh, zeroed pages for the
    next one, which made up 40 % of the time of a frame on the CPU. The price is memory lost in
    holes between blocks that live long: the plan counts it in, and what lives longest, the
    sampler's trajectory, lies in a few blocks for that reason.
    """
    with suppress(OSError, AttributeError):  # another system or C library: nothing to mend
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            mallopt(parameter, 2**31 - 1)


def free_memory(device: torch.device) -> int:
    """Bytes of a device that may be taken now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = [_available_memory()]
    with suppress(OSError, ValueError):  # a container's own limit, where there is one
        most = int(Path("/sys/fs/cgroup/memory.max").read_text())
        limits.append(most - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return min(limits)


def _available_memory() -> int:
    """Free memory of the machine, file caches included, which give way."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(value.split()[0])
    return ASSUMED_MEMORY
