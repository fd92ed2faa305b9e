"""Damaged files that ask for absurd memory, told from a machine that has none left.

What they ask for at once fails, or is refused where it is a picture of absurd size.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np

MOST_PIXELS = 1 << 27  # of a picture that is read: a little more than 16K (15360x8640)
PICTURE_OPTIONS = {"max_pixels": str(MOST_PIXELS)}  # of FFmpeg's decoders
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
