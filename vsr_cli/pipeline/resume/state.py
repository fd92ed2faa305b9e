"""What a clip hands on to the next one, on disk: named tensors in a safetensors file."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vsr_cli.atomic import replace_when_complete
from vsr_cli.errors import InputError
from vsr_cli.media.writing.destination import output_errors

# Key in the header: names of the tensors with channels last, since convolutions round differently.
_CHANNELS_LAST = "channels_last"


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors; the file appears when it is complete.

    Raises:
        OutputError: the disk is full.
    """
    last = [name for name, x in tensors.items() if _is_channels_last(x)]
    whole = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    with output_errors(f"`{path}` cannot be written"), replace_when_complete(path) as part:
        try:
            save_file(whole, part, metadata={_CHANNELS_LAST: json.dumps(last)})
        except SafetensorError as error:  # how it says that the disk is full
            raise OSError(str(error)) from error


def load_tensors(path: Path, device: torch.device) -> dict[str, Tensor]:
    """Read tensors back, bit by bit what they were, in the same order of memory.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            last = set(json.loads((file.metadata() or {}).get(_CHANNELS_LAST, "[]")))
            tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"`{path}` cannot be read back", why=str(error), hint="use `--fresh` to start anew"
        ) from error
    return {
        name: x.contiguous(memory_format=torch.channels_last) if name in last else x
        for name, x in tensors.items()
    }


def _is_channels_last(x: Tensor) -> bool:
    is_last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return is_last and not x.is_contiguous()
