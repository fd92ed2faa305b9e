"""How long frames took on this machine, kept so that the next job can say how long it will take."""

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from platformdirs import user_cache_path

from vsr_cli.atomic import replace_when_complete
from vsr_cli.config import UpscaleConfig
from vsr_cli.counting import counted
from vsr_cli.pipeline.run_plan import RunPlan, dtype_name

NAME = "vsr-speed.json"
MOST_ENTRIES = 500  # the oldest are forgotten


def cache_dir() -> Path:
    """Where things are kept that can be found again: `$VSR_CACHE_DIR`, or the user's cache."""
    if chosen := os.environ.get("VSR_CACHE_DIR"):
        return Path(chosen)
    return user_cache_path("vsr", appauthor=False)


@contextmanager
def computing_with(num_threads: int | None) -> Iterator[None]:
    """Within, torch computes in so many threads of the CPU; None: in as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def speed_key(model: Path, config: UpscaleConfig, run_plan: RunPlan) -> str:
    """What the time of a frame depends on beside its size: machine, model, and how it runs.

    Args:
        model: the file of weights.
        config: with all choices made.
        run_plan: where the model runs.
    """
    device = run_plan.device
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    else:
        machine = f"{processor()}, {counted(torch.get_num_threads(), 'thread')}"
    how = (
        *(machine, dtype_name(run_plan.dtype), f"torch {torch.__version__}"),
        *(model.name, model.stat().st_size, config.scale, config.sampler.steps),
        *(config.sampler.guidance, config.sampler.motion_scale > 0, config.flow, config.mgld_mode),
        *(run_plan.tile_size, config.compile, config.supersample),
    )
    return hashlib.sha256(json.dumps([str(part) for part in how]).encode()).hexdigest()[:24]


def remembered_speed(key: str) -> float | None:
    """Seconds for each frame and pixel of the source, as a job like this one took; None: none."""
    seconds = _read().get(key)
    return seconds if isinstance(seconds, float) and seconds > 0 else None


def remember_speed(key: str, seconds: float) -> None:
    """Keep what a job took for each frame and pixel of the source; where it cannot be, never mind.

    Args:
        key: from `speed_key`.
        seconds: for each frame and pixel.
    """
    known = {name: value for name, value in _read().items() if name != key}
    kept = dict([*known.items(), (key, seconds)][-MOST_ENTRIES:])
    with suppress(OSError):
        cache_dir().mkdir(parents=True, exist_ok=True)
        with replace_when_complete(cache_dir() / NAME) as part:
            part.write_text(json.dumps(kept), encoding="utf-8")


def _read() -> Mapping[str, object]:
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads((cache_dir() / NAME).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def processor() -> str:
    """The name of the machine's processor, as far as the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
