"""What a clip hands on to the next one, on disk: named tensors in a safetensors file."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vsr_cli.atomic import replace_when_complete
from vsr_cli.errors import InputError
from vsr_cli.media.writing.destination import output_errors

# Key in the header: names of the tensors whose channels are last in memory, and so in the file.
_CHANNELS_LAST = "channels_last"
# Types of numbers by the names of safetensors.
_DTYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint16: "U16", torch.uint8: "U8", torch.bool: "BOOL"},
}


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, release: Callable[[], None] = lambda: None
) -> None:
    """Write tensors, one after the other; the file appears when it is complete.

    safetensors' own writer takes a copy of all of them first, which may be more than fits. Here
    each is written as it lies in memory, so none that is dense is copied. Convolutions
    round differently by that order, which is therefore restored.

    Args:
        path: of the file.
        tensors: by name.
        release: is called after each, since they may lie on disk themselves.

    Raises:
        OutputError: the disk is full.
    """
    last = [name for name, x in tensors.items() if _has_channels_last(x)]
    header: dict[str, object] = {"__metadata__": {_CHANNELS_LAST: json.dumps(last)}}
    stored = {n: x.movedim(-3, -1) if n in last else x for n, x in tensors.items()}
    end = 0
    for name, x in stored.items():
        start, end = end, end + x.numel() * x.element_size()
        dtype, shape = _DTYPES[x.dtype], list(x.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (
        output_errors(f"`{path}` cannot be written"),
        replace_when_complete(path) as part,
        part.open("wb") as file,
    ):
        file.write(len(text).to_bytes(8, "little") + text)
        for x in stored.values():
            flat = x.detach().cpu().contiguous().flatten()
            file.write(flat.view(torch.uint8).numpy().data)
            del flat
            release()


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors back, bit by bit what they were, in the same order of memory, on the CPU.

    They lie in the file until they are used.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            last = set(json.loads((file.metadata() or {}).get(_CHANNELS_LAST, "[]")))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"`{path}` cannot be read back", why=str(error), hint="use `--fresh` to start anew"
        ) from error
    return {name: x.movedim(-1, -3) if name in last else x for name, x in tensors.items()}


def _has_channels_last(x: Tensor) -> bool:
    """Whether a tensor (..., C, H, W) lies in memory as (..., H, W, C), and not as its shape is."""
    return x.ndim > 2 and x.movedim(-3, -1).is_contiguous() and not x.is_contiguous()
