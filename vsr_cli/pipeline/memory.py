"""Memory of the machine and its devices: how much is free, and what to do when it runs out."""

import ctypes
import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import torch

from vsr_cli.errors import is_short_of_memory

CPU = torch.device("cpu")
ASSUMED_MEMORY = 8 * 10**9  # bytes, where the system does not tell
SHARE_OF_FREE_MEMORY = 0.85  # nothing else grows while networks run; the rest is for fragments
_GROUPS = Path("/sys/fs/cgroup")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
# What the allocators of torch say: that of the CPU knows no class of its own for it.
_COMPLAINTS = (
    *("out of memory", "can't allocate memory", "not enough memory", "Failed to allocate"),
    *("could not create a primitive", "Cannot allocate memory"),
)

_counted: ContextVar[dict[str, int] | None] = ContextVar("_counted", default=None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of the device or of the machine, is what was missing."""
    if isinstance(error, torch.OutOfMemoryError) or is_short_of_memory(error):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _COMPLAINTS)


def release_memory() -> None:
    """Give back what is only cached, by Python, the C library or the device's allocator."""
    gc.collect()
    with suppress(OSError, AttributeError):  # as in `reuse_memory`
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def reuse_memory() -> None:
    """Have the C library keep freed memory for the next tensor, on Linux with glibc.

    By default it gives every large block back to the system and takes fresh, zeroed pages for the
    next one, which made up 40 % of the time of a frame on the CPU. The price is memory lost in
    holes between blocks that live long: the plan counts it in, and what lives longest, the
    sampler's trajectory, lies in a few blocks for that reason. Blocks larger than those that
    networks work on, such as 8K frames, are given back all the same.
    """
    with suppress(OSError, AttributeError):  # another system or C library: nothing to mend
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**28)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def reset_peak(device: torch.device) -> None:
    """Forget how much memory was taken at the most, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int | None:
    """Bytes that a device, or this process, has taken at the most since `reset_peak`, if known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _read_table(Path("/proc/self/status")).get("VmHWM:")


def free_memory(device: torch.device) -> int:
    """Bytes of a device that may be taken now; on the CPU, within all limits of this process."""
    counted, name = _counted.get(), str(device)
    if counted is None:
        return _free_now(device)
    if name not in counted:
        counted[name] = _free_now(device)
    return counted[name]


@contextmanager
def counted_once(counted: dict[str, int]) -> Iterator[None]:
    """Within, as many bytes of a device are free as when they were counted for the first time.

    Jobs that are planned while workers of this program hold memory, and have it when those are
    done, are planned as if they began then.

    Args:
        counted: bytes by device; what is missing is added.
    """
    before = _counted.set(counted)
    try:
        yield
    finally:
        _counted.reset(before)


def _free_now(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return max(0, min([_available_memory(), *_left_in_groups(), *_left_in_process()]))


def memory_budget(device: torch.device, reserved: int) -> tuple[int, int]:
    """Bytes that networks may take on a device, 0 or more, and all that are free there.

    Args:
        device: where they run.
        reserved: bytes of the machine's memory that are for what runs beside them.
    """
    free = free_memory(device)
    left = free - reserved if device.type == "cpu" else free
    return max(0, int(SHARE_OF_FREE_MEMORY * left)), free


def _available_memory() -> int:
    """Free memory of the machine, file caches included, which give way."""
    return _read_table(Path("/proc/meminfo")).get("MemAvailable:", ASSUMED_MEMORY)


def _left_in_groups() -> Iterator[int]:
    """What control groups leave to this process: of a container, a service or a batch job."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers == "":
                root, most, used = _GROUPS, "memory.max", "memory.current"
            elif "memory" in controllers.split(","):
                root = _GROUPS / "memory"
                most, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            else:
                continue
            own = root / name.lstrip("/")
            for group in (own, *own.parents):
                with suppress(OSError, ValueError):  # no limit, or not seen from in here
                    limit = int((group / most).read_text())
                    cached = _read_table(group / "memory.stat", unit=1).get("inactive_file", 0)
                    yield limit - int((group / used).read_text()) + cached
                if group == root:
                    break


def _left_in_process() -> Iterator[int]:
    """What `ulimit` leaves to this process."""
    sizes = _read_table(Path("/proc/self/status"))
    for limit, name in ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:")):
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY and name in sizes:
            yield most - sizes[name]


def _read_table(path: Path, unit: int = 1024) -> dict[str, int]:
    """Names and numbers of a file that the kernel writes, in bytes; empty where there is none."""
    found = {}
    with suppress(OSError):
        for line in path.read_text().splitlines():
            name, *values = line.split()
            if values and values[0].isdecimal():
                found[name] = unit * int(values[0])
    return found
