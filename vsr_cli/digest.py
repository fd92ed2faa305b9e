"""What tells whether a file is what it was."""

import hashlib
from pathlib import Path

MOST_READ = 2**30  # bytes of a file that are read whole
NUM_SAMPLES = 1024  # of larger files
SAMPLE_SIZE = 2**18  # bytes


def sha256(path: Path) -> str:
    """Return the hex digest of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_samples(path: Path) -> str:
    """Return a hex digest of a file, of a large one by samples evenly spread over it.

    Up to `MOST_READ` bytes any change shows. Of more, `NUM_SAMPLES` blocks are read, the first and
    the last bytes among them, so that a film of hours is not read twice.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size <= MOST_READ:
        return sha256(path)
    found = hashlib.sha256()
    with path.open("rb") as file:
        for index in range(NUM_SAMPLES):
            file.seek((size - SAMPLE_SIZE) * index // (NUM_SAMPLES - 1))
            found.update(file.read(SAMPLE_SIZE))
    return found.hexdigest()


def sha256_of_bytes(content: bytes) -> str:
    """Return the hex digest of bytes."""
    return hashlib.sha256(content).hexdigest()
