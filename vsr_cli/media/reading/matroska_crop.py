"""The cropping that a Matroska file asks for, which FFmpeg reads and tells no caller (RFC 9559)."""

from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from av.container import InputContainer

from vsr_cli.media.open import open_again
from vsr_cli.media.reading.geometry import Crop

_SEGMENT, _TRACKS, _TRACK, _CLUSTER = 0x18538067, 0x1654AE6B, 0xAE, 0x1F43B675
_TYPE, _VIDEO, _IS_VIDEO = 0x83, 0xE0, 1
_EDGES = {0x54CC: "left", 0x54DD: "right", 0x54BB: "top", 0x54AA: "bottom"}
_MOST_BYTES = 1 << 24  # of the element that describes all tracks


def read_crop(container: InputContainer, number: int) -> Crop | None:
    """How much of the picture is not meant to be seen; None: all of it is.

    Args:
        container: Matroska or WebM.
        number: of the video track, counted from 0 among those.
    """
    with suppress(OSError, ValueError), open_again(container) as file:
        tracks = [
            children
            for children in map(dict, map(_elements, _track_entries(file)))
            if _number(children.get(_TYPE, b"")) == _IS_VIDEO
        ]
        if number < len(tracks):
            video = dict(_elements(tracks[number].get(_VIDEO, b"")))
            edges = {name: _number(video.get(key, b"")) for key, name in _EDGES.items()}
            return Crop(**edges) if any(edges.values()) else None
    return None


def _track_entries(file: BinaryIO) -> Iterator[bytes]:
    """The contents of every element that describes a track."""
    while (header := _read_header(file)) is not None:
        kind, size = header
        if kind == _SEGMENT:
            continue  # its elements come next
        if kind == _TRACKS and size is not None and size <= _MOST_BYTES:
            yield from (content for key, content in _elements(file.read(size)) if key == _TRACK)
            return
        if size is None or kind == _CLUSTER:
            return  # what comes now is pictures
        file.seek(size, 1)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Identifiers and contents of the elements in one."""
    position = 0
    while position < len(data):
        kind, start = _variable(data, position, keeps_marker=True)
        size, start = _variable(data, start, keeps_marker=False)
        yield kind, data[start : start + size]
        position = start + size


def _variable(data: bytes, position: int, *, keeps_marker: bool) -> tuple[int, int]:
    """A number whose first bits tell how long it is (RFC 8794), and where it ends.

    Raises:
        ValueError: it is none, or the data end in it.
    """
    length = 9 - (data[position] if position < len(data) else 0).bit_length()
    if length > 8 or position + length > len(data):
        raise ValueError("expected a number, got something else or the end")
    number = int.from_bytes(data[position : position + length], "big")
    return number if keeps_marker else number & ((1 << 7 * length) - 1), position + length


def _read_header(file: BinaryIO) -> tuple[int, int | None] | None:
    """Identifier and size of the next element; a size of None is unknown; None is the end."""
    place = file.tell()
    head = file.read(12)
    if len(head) < 2:
        return None
    kind, start = _variable(head, 0, keeps_marker=True)
    size, end = _variable(head, start, keeps_marker=False)
    file.seek(place + end)
    return kind, None if size == (1 << 7 * (end - start)) - 1 else size


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
