"""What an MP4 or QuickTime file says of a track and FFmpeg keeps to itself (ISO/IEC 14496-12)."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from av.container import InputContainer
from av.stream import Stream

from vsr_cli.media.open import open_again

_MOST_BYTES = 1 << 28  # of the box of all tracks; that of a film takes a hundredth
_VISUAL_ENTRY = 78  # bytes of a sample entry before the boxes in it


@dataclass(frozen=True)
class Mp4Track:
    """One track, as its boxes describe it; times in seconds."""

    end: Fraction | None  # of its presentation, by its edit list; None: it has none
    clock: Fraction  # seconds per tick in which `end` is told
    # Clean aperture: width, height, and how far its centre is from that of the picture, right and
    # down, in pixels; None: all of the picture.
    aperture: tuple[Fraction, Fraction, Fraction, Fraction] | None


def read_track(container: InputContainer, stream: Stream) -> Mp4Track | None:
    """The boxes of one track of a file; None where there are none, as at the start of many pipes.

    Args:
        container: of `open_container`.
        stream: of it.
    """
    # Whatever is wrong with a damaged file, FFmpeg has read of it what it could.
    damage = (OSError, struct.error, IndexError, ZeroDivisionError)
    with suppress(*damage), open_again(container) as file:
        movie = _read_movie(file)
        header = _find(movie, b"mvhd")
        if header is None:
            return None
        clock = Fraction(1, _numbers(header)[0])
        for kind, track in _boxes(movie):
            if kind == b"trak" and _track_id(track) == stream.id:
                return Mp4Track(_end(track, clock), clock, _aperture(track))
    return None


def _read_movie(file: BinaryIO) -> bytes:
    """The `moov` box, without its header."""
    size_of_file = file.seek(0, 2)
    position = 0
    while position + 8 <= size_of_file:
        file.seek(position)
        size, kind = struct.unpack(">I4s", file.read(8))
        start = position + 8
        if size == 1:
            size, start = struct.unpack(">Q", file.read(8))[0], position + 16
        elif size == 0:
            size = size_of_file - position
        if kind == b"moov" and size <= _MOST_BYTES:
            file.seek(start)
            return file.read(position + size - start)
        position += max(size, 8)
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents of the boxes in a box."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if size < 8:
            return
        yield kind, data[position + 8 : position + size]
        position += size


def _find(data: bytes, *path: bytes) -> bytes | None:
    """The first box of each kind, one within the other."""
    for kind in path:
        found = next((content for name, content in _boxes(data) if name == kind), None)
        if found is None:
            return None
        data = found
    return data


def _numbers(header: bytes) -> tuple[int, int]:
    """Ticks per second and duration of a `mvhd` box."""
    if header[0] == 1:
        return struct.unpack_from(">IQ", header, 20)
    return struct.unpack_from(">II", header, 12)


def _track_id(track: bytes) -> int | None:
    header = _find(track, b"tkhd")
    if header is None:
        return None
    number: int = struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)[0]
    return number


def _end(track: bytes, clock: Fraction) -> Fraction | None:
    """The length of all edits."""
    edits = _find(track, b"edts", b"elst")
    if edits is None:
        return None
    version, count = edits[0], struct.unpack_from(">I", edits, 4)[0]
    form, step = (">Q", 20) if version == 1 else (">I", 12)
    lengths = (struct.unpack_from(form, edits, 8 + step * n)[0] for n in range(count))
    return sum(lengths) * clock or None


def _aperture(track: bytes) -> tuple[Fraction, Fraction, Fraction, Fraction] | None:
    entries = _find(track, b"mdia", b"minf", b"stbl", b"stsd")
    if entries is None:
        return None
    entry = next((content for _, content in _boxes(entries[8:])), b"")
    clap = _find(entry[_VISUAL_ENTRY:], b"clap")
    if clap is None:
        return None
    numbers = struct.unpack_from(">IIIIiIiI", clap)
    width, height, right, down = (Fraction(numbers[n], numbers[n + 1]) for n in (0, 2, 4, 6))
    return width, height, right, down
