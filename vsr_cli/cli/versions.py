"""Versions of what a result depends on, found without loading any of it."""

import platform
import re
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from vsr_cli import __version__
from vsr_cli.errors import VsrError

_LIBRARIES = {"torch": "torch", "PyAV": "av", "OpenCV": "opencv-python-headless"}


def version_lines() -> list[str]:
    """What `vsr --version` prints; the first line is that of vsr alone."""
    lines = [f"vsr {__version__}", f"Python {platform.python_version()}"]
    for name, package in _LIBRARIES.items():
        more = f", {_cuda()}" if name == "torch" else ""
        lines.append(f"{name} {_version(package)}{more}")
    return [*lines, *_weights()]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "is not installed"


def _cuda() -> str:
    """Which CUDA torch was built for; it says so in a file, as loading it takes seconds."""
    with suppress(ImportError, OSError, ValueError):
        spec = find_spec("torch")
        if spec is not None and spec.origin is not None:
            text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
            if found := re.search(r"^cuda\b[^=]*= *['\"]([\d.]+)", text, re.MULTILINE):
                return f"built for CUDA {found[1]}"
    return "built without CUDA"


def _weights() -> list[str]:
    from vsr_cli.models.files import installed_weights, recorded_digest

    lines = []
    with suppress(VsrError, OSError):
        for path in installed_weights():
            digest = recorded_digest(path)
            lines.append(f"weights {path.stem} {digest[:12] if digest else '(no digest)'}")
    return lines
