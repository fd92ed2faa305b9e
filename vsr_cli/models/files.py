"""Where weights lie and whether they are whole; loads no torch, so that listing them is instant."""

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path

from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open

from vsr_cli.atomic import replace_when_complete
from vsr_cli.digest import sha256
from vsr_cli.errors import WeightsError

SHIPPED = "small.safetensors"
SUMS = "SHA256SUMS"
SUFFIX = ".safetensors"


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
    raise WeightsError(
        f"there is no model `{name}`",
        why="known are " + ", ".join(path.stem for path in known) if known else "there is none",
        hint="give a `.safetensors` file, or see `vsr weights list` and `vsr weights import`",
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


def is_imported(path: Path) -> bool:
    """Whether a file holds an imported model; what is not readable will be refused as any other."""
    try:
        return read_header(path).metadata.get("family") == "mgld"
    except WeightsError:
        return False


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
