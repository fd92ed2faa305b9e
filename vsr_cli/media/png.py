"""Pictures for people to look at, as PNG files."""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsr_cli.errors import OutputError

_RGB, _UP = 2, 2  # colour type and line filter (ISO/IEC 15948)


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write RGB pixels (H, W, 3); an existing file is replaced.

    Raises:
        OutputError: if the file cannot be written.
        ValueError: if `pixels` has another shape or type.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"expected uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
    height, width, _ = pixels.shape
    lines = pixels.reshape(height, width * 3)
    # Each line as the difference to the one above: pictures get smaller by a third.
    above = np.vstack([np.zeros_like(lines[:1]), lines[:-1]])
    filtered = np.hstack([np.full((height, 1), _UP, dtype=np.uint8), lines - above])
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0)
    parts = (
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", header),
        _chunk(b"IDAT", zlib.compress(filtered.tobytes())),
        _chunk(b"IEND", b""),
    )
    try:
        path.write_bytes(b"".join(parts))
    except OSError as error:
        raise OutputError(
            f"`{path}` cannot be written", why=str(error), hint="choose another folder"
        ) from error


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
