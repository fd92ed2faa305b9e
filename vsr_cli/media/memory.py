"""Damaged files that ask for absurd memory, told from a machine that has none left."""

from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np

_INVALID = av.error.tag_to_code(b"INDA")  # FFmpeg's number for data that make no sense
ENOUGH = 1 << 28  # bytes: more than a frame of 8K with 16 bits and all of its colour


def is_memory_short() -> bool:
    """Whether this process could not even have what the largest sensible frame takes."""
    try:
        np.empty(ENOUGH, np.uint8)  # asked for and given back; no page of it is touched
    except MemoryError:
        return True
    return False


@contextmanager
def sensible_memory(name: str) -> Iterator[None]:
    """Within, FFmpeg reads a file: if memory fails though there is enough, the file is damaged.

    A length, a count or a size in it is wrong, and FFmpeg has asked for so much.

    Args:
        name: of the file, as FFmpeg knows it.

    Raises:
        av.error.InvalidDataError: in the place of FFmpeg's `MemoryError`, if there is enough.
    """
    try:
        yield
    except av.error.MemoryError as error:
        if is_memory_short():
            raise
        why = "it asks for more memory than any video needs"
        raise av.error.InvalidDataError(_INVALID, why, name) from error
