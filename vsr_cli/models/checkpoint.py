"""Files of weights, published ones among them: tensors out of pickles, without running them."""

import pickle
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vsr_cli.counting import counted
from vsr_cli.errors import WeightsError
from vsr_cli.models.files import read_header

# Records of training that Lightning leaves in a checkpoint; an empty object takes their place.
_RECORDS = (
    "pytorch_lightning.",
    "lightning.",
    "lightning_fabric.",
    "omegaconf.",
    "typing.Any",
    "numpy.core.multiarray.scalar",  # of a learning rate
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
)
_SHOWN = 3  # names in a message
_AS_PUBLISHED = "give the files as they were published"
_UNREADABLE = (  # what readers raise on files of another kind; unpickling fails variously
    OSError,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    AttributeError,
    TypeError,
    pickle.UnpicklingError,
    SafetensorError,
)


class IgnoredObject:
    """Stands for what a checkpoint names beside tensors; it keeps nothing and does nothing."""

    def __new__(cls, *_: object, **__: object) -> "IgnoredObject":
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


def read_checkpoint(path: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """The state dict of a `.ckpt`, `.pth`, `.bin` or `.safetensors` file, on the CPU.

    Nothing that the file names is imported or called. Files of torch since 1.6 are mapped into
    memory, so that only what is used is read.

    Args:
        path: the file.
        prefix: of one network among others; where names begin with it, only those are returned,
            without it.

    Raises:
        WeightsError: it is missing, unreadable, cut off, asks for code, or holds no state dict.
    """
    content = _read(path, prefix)
    is_safe = path.suffix == ".safetensors"
    tensors = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(tensors, dict) or not tensors:
        raise WeightsError(f"`{path}` holds no state dict", hint="give a file of weights")
    others = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if others:
        raise WeightsError(
            f"`{path}` holds no state dict",
            why=f"`{others[0]}` in it is no tensor",
            hint="give a file of weights",
        )
    if is_safe:  # which were chosen when they were read
        return tensors
    return {name.removeprefix(prefix): tensors[name] for name in _own_names(tensors, prefix)}


def read_names(path: Path) -> frozenset[str]:
    """What the tensors of a file are called; see `read_checkpoint`.

    Raises:
        WeightsError: as `read_checkpoint`.
    """
    if path.suffix != ".safetensors":
        return frozenset(read_checkpoint(path))
    return frozenset(read_header(path).num_values)


def read_single_tensor(path: Path) -> Tensor:
    """The only tensor of a file, by itself or in a state dict.

    Raises:
        WeightsError: as `read_checkpoint`, or there is not just one.
    """
    content = _read(path, "")
    tensors = list(content.values()) if isinstance(content, dict) else [content]
    if len(tensors) != 1 or not isinstance(tensors[0], Tensor):
        raise WeightsError(f"`{path}` holds more or less than a tensor", hint="check its name")
    return tensors[0]


def require_exactly(
    path: Path,
    found: Mapping[str, Tensor],
    expected: Mapping[str, tuple[int, ...]],
    spare: Iterable[str] = (),
    *,
    hint: str = _AS_PUBLISHED,
) -> None:
    """Refuse a file that has not just the expected tensors, beside those that may be there.

    Raises:
        WeightsError: names what is missing, unknown or of another shape.
    """
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys() - set(spare))
    misshapen = [
        f"`{name}` is {tuple(found[name].shape)} and not {shape}"
        for name, shape in sorted(expected.items())
        if name in found and tuple(found[name].shape) != shape
    ]
    problems = []
    if missing:
        problems.append(
            f"{counted(len(missing), 'tensor is', 'tensors are')} missing: {_listed(missing)}"
        )
    if unknown:
        problems.append(
            f"{counted(len(unknown), 'tensor is', 'tensors are')} unknown: {_listed(unknown)}"
        )
    if misshapen:
        shown = ", ".join(misshapen[:_SHOWN])
        problems.append(
            f"{counted(len(misshapen), 'tensor has', 'tensors have')} another shape: {shown}"
        )
    if problems:
        raise WeightsError(
            f"`{path.name}` is not the published checkpoint",
            why="; ".join(problems),
            hint=hint,
        )


def require_networks(
    path: Path,
    found: Mapping[str, Tensor],
    expected: Mapping[str, tuple[int, ...]],
    networks: tuple[str, ...],
    spare: Iterable[str] = (),
    *,
    ignore_unknown: bool = False,
) -> list[str]:
    """Refuse a file whose networks are not the expected ones; beside them may be anything.

    Args:
        path: of the file.
        found: what it holds.
        expected: shapes of what is used, by name.
        networks: how names of the networks in use begin.
        spare: names of what may be there within them.
        ignore_unknown: whether what is unknown within them is left out as well.

    Returns:
        A sentence about what is left out; none if nothing is.

    Raises:
        WeightsError: names what is missing, unknown within a network, or of another shape.
    """
    unknown = found.keys() - expected.keys() - set(spare)
    beside = {name for name in unknown if ignore_unknown or not name.startswith(networks)}
    hint = _AS_PUBLISHED
    if unknown > beside:
        hint += ", or leave out what is unknown with `--ignore-unknown`"
    require_exactly(path, found, expected, {*spare, *beside}, hint=hint)
    if not beside:
        return []
    return [
        f"of `{path.name}` {counted(len(beside), 'tensor is', 'tensors are')} left out: "
        f"{_listed(sorted(beside))}"
    ]


def unwrapped(tensors: Mapping[str, Tensor], wrappers: Iterable[str] = ()) -> dict[str, Tensor]:
    """Tensors without what programs put before all their names.

    Args:
        tensors: by name.
        wrappers: further beginnings, beside those of several GPUs and of compiled networks.
    """
    compiled = {name.replace("_orig_mod.", ""): tensor for name, tensor in tensors.items()}
    for prefix in ("module.", *wrappers):
        if compiled and all(name.startswith(prefix) for name in compiled):
            inner = {name.removeprefix(prefix): tensor for name, tensor in compiled.items()}
            return unwrapped(inner, wrappers)
    return compiled


def require_two(checkpoints: Sequence[Path], what: str, hint: str) -> None:
    """Refuse more or fewer than two files, and the same one twice.

    Args:
        checkpoints: as they were given.
        what: is needed, a sentence.
        hint: which files that are.

    Raises:
        WeightsError: it is so.
    """
    is_same = len({path.resolve() for path in checkpoints}) < len(checkpoints)
    if len(checkpoints) != 2 or is_same:
        why = "the same file was given twice" if is_same else f"given: {len(checkpoints)}"
        raise WeightsError(what, why=why, hint=hint)


def _read(path: Path, prefix: str) -> object:
    """What a file holds; of a safetensors file the tensors under `prefix`.

    Raises:
        WeightsError: it is missing, unreadable, cut off, or asks for code.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file `{path}`", hint="check its name")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path, prefix)
        return _unpickle(path)
    except _UNREADABLE as error:
        if "nsupported" in str(error) and "GLOBAL" in str(error):  # in files without a directory
            raise _refuse(path, [str(error).split("GLOBAL", 1)[1].split()[0]]) from error
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        if "weights_only" in why:  # torch's advice is to run what the file asks for
            why = "it holds something that is neither weights nor a known record of training"
        raise WeightsError(
            f"`{path}` cannot be read as a checkpoint",
            why=why,
            hint="it may be cut off: compare its size with that of the original, fetch it again",
        ) from error


def _read_safetensors(path: Path, prefix: str) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        own = _own_names(file.keys(), prefix)
        return {name.removeprefix(prefix): file.get_tensor(name) for name in own}


def _own_names(names: Iterable[str], prefix: str) -> list[str]:
    """Those that begin with a prefix; all of them if none does."""
    names = list(names)
    return [name for name in names if name.startswith(prefix)] or names


def _unpickle(path: Path) -> object:
    """What torch saved, with no class but torch's own.

    Raises:
        WeightsError: it asks for another one that is not a known record of training.
    """
    is_zip = zipfile.is_zipfile(path)
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path) if is_zip else []
    if foreign := [name for name in names if not name.startswith(_RECORDS)]:
        raise _refuse(path, foreign)
    with torch.serialization.safe_globals([(IgnoredObject, name) for name in names]):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip or None)


def _refuse(path: Path, names: list[str]) -> WeightsError:
    return WeightsError(
        f"`{path}` is refused: reading it could run code",
        why="its pickle asks for " + ", ".join(f"`{name}`" for name in sorted(names)[:3]),
        hint="use the published file; weights need no code",
    )


def _listed(names: list[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more
