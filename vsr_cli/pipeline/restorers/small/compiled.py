"""Networks of the shipped family compiled for the sizes that a job has."""

import logging

import torch
from torch import Tensor

from vsr_cli.errors import DeviceError
from vsr_cli.models.small.model import SmallModel


def compile_networks(model: SmallModel, device: torch.device) -> None:
    """Have torch compile the networks that take most of the time.

    Each is compiled when it first sees a size, which takes a minute or more; torch keeps what it
    has compiled for later jobs, in `TORCHINDUCTOR_CACHE_DIR`.

    Args:
        model: on its device, in its dtype.
        device: that one.

    Raises:
        DeviceError: there is no compiler for this device.
    """
    # What torch tells while it compiles is for those who work on it.
    for name in ("torch._inductor", "torch._dynamo", "torch.utils.cpp_extension"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Processes of its own would outlive an interrupt, and tell of it in their way.
    torch._inductor.config.compile_threads = 1
    try:
        torch.compile(_try)(torch.ones(64, device=device))
    except Exception as error:  # of many kinds: compilers, drivers, Triton
        lines = str(error).strip().splitlines()
        raise DeviceError(
            "`--compile` cannot be used here",
            why=lines[0][:200] if lines else type(error).__name__,
            hint="install a C++ compiler such as g++, on a GPU Triton too, or leave it out",
        ) from error
    for network in (model.trunk, model.denoiser, model.decoder):
        network.compile()


def _try(x: Tensor) -> Tensor:
    return (2 * x).sin() + 1
