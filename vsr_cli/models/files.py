"""Where weights lie and whether they are whole; loads no torch, so that listing them is instant."""

import json
import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from math import prod
from pathlib import Path

from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open

from vsr_cli.atomic import replace_when_complete
from vsr_cli.digest import sha256
from vsr_cli.errors import WeightsError, did_you_mean
from vsr_cli.models.hub import MODELS

SHIPPED = "small.safetensors"
SUMS = "SHA256SUMS"
SUFFIX = ".safetensors"
MOST = 4096  # of any width or count in a config
MOST_BLOCKS = 128
MOST_LEVELS = 16  # numbers in a row of them


def weights_dir() -> Path:
    """Where the shipped weights are: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_weights"
    return inside if inside.is_dir() else package.parent / "weights"


def shipped_weights() -> Path:
    """The default model's file."""
    return weights_dir() / SHIPPED


def user_weights_dir() -> Path:
    """Where imported weights are: `$VSR_WEIGHTS_DIR`, or in the user's data folder."""
    if chosen := os.environ.get("VSR_WEIGHTS_DIR"):
        return Path(chosen)
    return user_data_path("vsr", appauthor=False) / "weights"


def installed_weights() -> list[Path]:
    """All weights that have a name: the shipped ones first, then the user's."""
    folders = (weights_dir(), user_weights_dir())
    return [path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}"))]


@dataclass(frozen=True, kw_only=True)
class InstalledWeights:
    """A file of weights that has a name."""

    name: str
    file: Path
    num_bytes: int
    sha256: str


def list_weights() -> list[InstalledWeights]:
    """The shipped weights, and then the user's, with their digests.

    Raises:
        WeightsError: there is none, or one cannot be read.
    """
    found = []
    for path in installed_weights():
        digest, num_bytes = recorded_digest(path) or sha256(path), path.stat().st_size
        found.append(
            InstalledWeights(name=path.stem, file=path, num_bytes=num_bytes, sha256=digest)
        )
    if not found:
        raise WeightsError(
            "no weights are installed",
            why=f"`{weights_dir()}` has no `{SUFFIX}` file",
            hint="install vsr again; nothing is ever downloaded at run time",
        )
    return found


def find_weights(name: str) -> Path:
    """The file of a model: a path, or the name of one that was shipped or imported.

    Raises:
        WeightsError: no model is called so.
    """
    if name.endswith(SUFFIX) or Path(name).name != name:
        return Path(name)
    known = installed_weights()
    for path in known:
        if path.name == name + SUFFIX:
            return path
    if Path(name).is_file():
        raise WeightsError(
            f"`{name}` is no file of weights",
            why=f"those end in `{SUFFIX}`",
            hint="`vsr weights import` makes one of published checkpoints",
        )
    if name in MODELS:
        raise WeightsError(
            f"the model `{name}` is not here yet",
            hint=f"`vsr weights download {name}` fetches it, `vsr weights import` takes its files",
        )
    raise WeightsError(
        f"there is no model `{name}`",
        why="known are " + ", ".join(path.stem for path in known) if known else "there is none",
        hint=did_you_mean(
            name,
            [path.stem for path in known],
            "give a `.safetensors` file, or see `vsr weights list` and `vsr weights import`",
        ),
    )


def record_digest(path: Path) -> None:
    """Write a file's digest into the SHA256SUMS beside it, in the place of an older one."""
    sums = path.parent / SUMS
    lines = sums.read_text().splitlines() if sums.is_file() else []
    kept = [line for line in lines if line.partition("  ")[2] != path.name]
    with replace_when_complete(sums) as part:
        part.write_text("\n".join([*kept, f"{sha256(path)}  {path.name}"]) + "\n")


def recorded_digest(path: Path) -> str | None:
    """What the SHA256SUMS beside a file says of it; None where it says nothing."""
    sums = path.parent / SUMS
    lines = sums.read_text().splitlines() if sums.is_file() else []
    found = [line.partition("  ")[0] for line in lines if line.partition("  ")[2] == path.name]
    return found[0] if found else None


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself."""

    metadata: dict[str, str]
    num_values: dict[str, int]  # of each tensor


def family_of(path: Path) -> str:
    """The family that a file's header names; what is not readable will be refused as `small`."""
    try:
        return read_header(path).metadata.get("family", "small")
    except WeightsError:
        return "small"


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file, and nothing else of it.

    Raises:
        WeightsError: it is missing, or no such file.
    """
    if not path.is_file():
        raise WeightsError(
            f"no weights at `{path}`", hint="check `--model`, or see `vsr weights list`"
        )
    try:
        with safe_open(path, framework="np") as file:
            sizes = {name: prod(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            return Header(file.metadata() or {}, sizes)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"`{path}` is not a safetensors file", why=str(error), hint="check `--model`"
        ) from error


def read_entries(path: Path, text: str) -> dict[str, object]:
    """Read the config that a file's header holds as text.

    Raises:
        WeightsError: it is none.
    """
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("it is no table of names and values")
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"`{path.name}` is damaged",
            why=f"the config in its header cannot be read: {error}",
            hint="fetch or import the file again",
        ) from error
    return values


def require_usual(
    path: Path, config: Mapping[str, object], *, may_be_zero: Set[str], **most: int
) -> None:
    """Refuse a config of which no model could be built, or only with all time and memory.

    Args:
        path: of the weights.
        config: counts and widths, or several of them each.
        may_be_zero: the names of those that need not be positive.
        most: what single entries may be, instead of `MOST`.

    Raises:
        WeightsError: a number in it is too small, or larger than any model's.
    """
    for name, value in config.items():
        numbers = value if isinstance(value, tuple) else (value,)
        least = 0 if name in may_be_zero else 1
        limit = most.get(name, MOST_BLOCKS if name.endswith("_blocks") else MOST)
        counts = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool)]
        if len(numbers) > MOST_LEVELS or any(not least <= n <= limit for n in counts):
            raise WeightsError(
                f"`{path.name}` describes no model that can be built",
                why=f"its config says {name} {str(value)[:40]}",
                hint="use a file written by vsr",
            )


def require_entries(
    path: Path, config: Mapping[str, object], published: Mapping[str, object]
) -> None:
    """Refuse a config that has other entries than a family's.

    Raises:
        WeightsError: an entry is missing or unknown.
    """
    if config.keys() != published.keys():
        raise WeightsError(
            f"`{path.name}` was written by another version of vsr",
            why="its config has other entries",
            hint="import the published files again",
        )


def require_like(path: Path, config: Mapping[str, object], published: Mapping[str, object]) -> None:
    """Refuse a config whose entries are no numbers, or not as many as a family's.

    Raises:
        WeightsError: one is something else.
    """
    for name, default in published.items():
        value = config[name]
        found, expected = (x if isinstance(x, tuple) else (x,) for x in (value, default))
        is_row = isinstance(value, tuple) == isinstance(default, tuple)
        if not is_row or [type(x) for x in found] != [type(x) for x in expected]:
            raise WeightsError(
                f"`{path.name}` describes no model that can be built",
                why=f"its config says {name} {str(value)[:40]}",
                hint="import the published files again",
            )


def verify(path: Path) -> str:
    """Check a file against the SHA256SUMS beside it and return its digest.

    Raises:
        WeightsError: the file is missing, or listed with another digest.
    """
    if not path.is_file():
        raise WeightsError(
            f"no weights at `{path}`",
            hint="check `--model`, or reinstall: the default weights come with the package",
        )
    try:
        digest = sha256(path)
    except OSError as error:
        raise WeightsError(
            f"`{path}` cannot be read", why=error.strerror, hint="check its permissions"
        ) from error
    expected = recorded_digest(path)
    if expected is not None and expected != digest:
        raise WeightsError(
            f"`{path}` is damaged",
            why=f"its sha256 starts with {digest[:12]}, `{SUMS}` says {expected[:12]}",
            hint="reinstall vsr, or import or fetch the file again",
        )
    return digest
