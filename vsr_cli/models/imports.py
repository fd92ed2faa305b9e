"""What importing published checkpoints of every family has in common."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from vsr_cli.atomic import replace_when_complete
from vsr_cli.errors import OutputError, WeightsError
from vsr_cli.events import Progress, Report
from vsr_cli.models.files import record_digest

Item = TypeVar("Item")


@dataclass(frozen=True)
class ImportedWeights:
    """What came of an import.

    findings: what is worth knowing of the weights, one line each.
    license: what they may be used for, for people.
    """

    path: Path
    num_tensors: int
    num_bytes: int
    findings: tuple[str, ...]
    license: str


def require_free(target: Path, *, overwrite: bool) -> None:
    """Refuse to write over another model.

    Raises:
        OutputError: the target exists, and is not to be replaced.
    """
    if target.exists() and not overwrite:
        raise OutputError(f"`{target}` exists", hint="use `--overwrite`, or another `--name`")


def with_progress(items: Sequence[Item], report: Report) -> Iterator[Item]:
    """Each item, and after it how far the import is, in tensors."""
    started = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        seconds = time.monotonic() - started
        report(
            Progress(
                stage="import", frame=count, num_frames=len(items), seconds=seconds, unit="tensors"
            )
        )


def converted(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor in another number format, copied out of its file.

    Args:
        name: of the tensor in its file.
        tensor: as it is there, of any number format.
        dtype: what it is to be.

    Raises:
        WeightsError: it is not finite, or not any more in `dtype`.
    """
    result = tensor.to(dtype, copy=True).contiguous()
    if not _is_finite(result):
        fits = _is_finite(tensor.float())
        raise WeightsError(
            f"`{name}` is not finite",
            why="its values do not fit half precision" if fits else "the file is damaged",
            hint="use `--dtype float32`" if fits else "fetch the file again",
        )
    return result


def _is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are; many times faster than to ask each of them."""
    least, most = tensor.aminmax()  # not a number, if any is none
    return bool(least.isfinite() and most.isfinite())


def write_import(target: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write beside the target, then rename, and note the digest for `verify`.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_complete(target) as part:
            save_file(tensors, part, metadata=header)
        record_digest(target)
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"`{target}` cannot be written",
            why=str(error),
            hint="free space, or set VSR_WEIGHTS_DIR to another folder",
        ) from error
