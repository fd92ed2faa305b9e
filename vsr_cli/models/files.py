"""Where weights lie and whether they are whole; loads no torch, so that listing them is instant."""

import hashlib
from pathlib import Path

from vsr_cli.errors import WeightsError

SHIPPED = "small.safetensors"
SUMS = "SHA256SUMS"


def weights_dir() -> Path:
    """Where the shipped weights are: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "_weights"
    return inside if inside.is_dir() else package.parent / "weights"


def shipped_weights() -> Path:
    """The default model's file."""
    return weights_dir() / SHIPPED


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    sums = path.parent / SUMS
    if sums.is_file():
        for line in sums.read_text().splitlines():
            expected, _, name = line.partition("  ")
            if name == path.name and expected != digest:
                raise WeightsError(
                    f"`{path}` is damaged",
                    why=f"its sha256 starts with {digest[:12]}, `{SUMS}` says {expected[:12]}",
                    hint="reinstall vsr, or fetch the file again",
                )
    return digest
