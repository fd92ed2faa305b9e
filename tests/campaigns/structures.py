"""Where the numbers are in files of each container: sizes, lengths, counts, times.

A reader goes through a file as far as it can follow it and names what it meets: `Number`, an
integer that other bytes depend on, and `Part`, bytes that belong together and have a head.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Number:
    """An integer in a file."""

    start: int
    size: int  # bytes
    order: Literal["big", "little"] = "big"


@dataclass(frozen=True)
class Part:
    """Bytes that belong together."""

    start: int
    stop: int


@dataclass
class Structure:
    """What was found."""

    numbers: list[Number] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def add_numbers(
        self, start: int, stop: int, size: int, order: Literal["big", "little"] = "big"
    ) -> None:
        """Take bytes for a row of integers."""
        self.numbers += [
            Number(place, size, order) for place in range(start, stop - size + 1, size)
        ]


MOST = 2000  # numbers or parts of one file
PARENTS = (
    *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"moof", b"traf"),
    *(b"mvex", b"meta", b"ilst"),
)


def read_boxes(data: bytes, start: int = 0, stop: int | None = None) -> Structure:
    """MP4, QuickTime, 3GP: boxes within boxes; tables in those at the bottom."""
    found = Structure()
    _read_boxes(data, start, len(data) if stop is None else stop, found)
    return found


def _read_boxes(data: bytes, start: int, stop: int, found: Structure) -> None:
    while start + 8 <= stop:
        size, kind = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        end = min(start + size, stop) if size >= 8 else stop
        found.parts.append(Part(start, end))
        found.numbers += [Number(start, 4), Number(start + 4, 4)]
        if kind in PARENTS:
            _read_boxes(data, start + 8, end, found)
        elif kind == b"stsd":
            found.numbers.append(Number(start + 12, 4))
            _read_boxes(data, start + 16, end, found)
        elif kind != b"mdat":
            found.add_numbers(start + 8, end, 4)
            found.add_numbers(start + 8, end, 2)
        start = end


def read_ebml(data: bytes) -> Structure:
    """Matroska, WebM: elements, whose sizes and identifiers are as long as their first bit says."""
    found = Structure()
    _read_elements(data, 0, len(data), found)
    return found


_MASTERS = {
    *(0x1A45DFA3, 0x18538067, 0x114D9B74, 0x4DBB, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1),
    *(0x1F43B675, 0xA0, 0x1C53BB6B, 0xBB, 0xB7, 0x1254C367, 0x7373, 0x63C0, 0x67C8, 0x55B0),
}


def _vint_length(byte: int) -> int:
    return 9 - byte.bit_length() if byte else 9


def _read_elements(data: bytes, start: int, stop: int, found: Structure) -> None:
    while start + 2 <= stop and len(found.parts) < MOST:
        id_length = _vint_length(data[start])
        place = start + id_length
        if id_length > 4 or place >= stop:
            return
        length = _vint_length(data[place])
        size = int.from_bytes(data[place : place + length]) & ((1 << 7 * length) - 1)
        body = place + length
        end = min(body + size, stop)
        found.parts.append(Part(start, end))
        found.numbers += [Number(start, id_length), Number(place, min(length, 8))]
        if int.from_bytes(data[start:place]) in _MASTERS:
            _read_elements(data, body, end, found)
        elif size <= 8:
            found.numbers.append(Number(body, max(size, 1)))
        else:  # of a block: track, time, flags, lacing
            found.numbers += [Number(body, 1), Number(body + 1, 2), Number(body + 3, 1)]
        start = end


def read_riff(data: bytes) -> Structure:
    """AVI: chunks, some of which are lists; headers and index are rows of integers."""
    found = Structure()
    _read_chunks(data, 0, len(data), found)
    return found


def _read_chunks(data: bytes, start: int, stop: int, found: Structure) -> None:
    while start + 8 <= stop:
        kind, size = data[start : start + 4], int.from_bytes(data[start + 4 : start + 8], "little")
        end = min(start + 8 + size + size % 2, stop)
        found.parts.append(Part(start, end))
        found.numbers += [Number(start, 4), Number(start + 4, 4, "little")]
        if kind in (b"RIFF", b"LIST"):
            _read_chunks(data, start + 12, end, found)
        elif kind in (b"avih", b"strh", b"strf", b"idx1", b"indx", b"ix00", b"vprp", b"dmlh"):
            found.add_numbers(start + 8, end, 4, "little")
        start = max(end, start + 8)


def read_ts(data: bytes, size: int = 188, offset: int = 0) -> Structure:
    """Transport streams: packets of one size; tables and times at the start of some."""
    found = Structure()
    for start in range(0, len(data) - size + 1, size):
        head = start + offset
        found.parts.append(Part(start, start + size))
        found.numbers += [Number(head, 1), Number(head + 1, 2), Number(head + 3, 1)]
        body = head + 4
        if data[head + 3] & 0x20:  # a field before it, with the clock
            found.numbers += [Number(body, 1), Number(body + 1, 1), Number(body + 2, 6)]
            body += 1 + data[body]
        if data[head + 1] & 0x40 and body + 20 < start + size:  # a table or a packet begins
            found.add_numbers(body, min(body + 20, start + size), 1)
            found.add_numbers(body, min(body + 20, start + size), 2)
            found.numbers.append(Number(body + 9, 5))
    return found


def read_asf(data: bytes) -> Structure:
    """ASF: objects with a name of 16 bytes and a size of 8; then packets of one size."""
    found, start = Structure(), 0
    while start + 24 <= len(data):
        size = int.from_bytes(data[start + 16 : start + 24], "little")
        end = min(start + max(size, 24), len(data))
        found.parts.append(Part(start, end))
        found.numbers += [Number(start, 8), Number(start + 16, 8, "little")]
        is_header = data[start : start + 4] == b"\x30\x26\xb2\x75"
        if not is_header:
            found.add_numbers(start + 24, min(end, start + 124), 4, "little")
            found.add_numbers(start + 24, min(end, start + 124), 2, "little")
        start = start + 30 if is_header else end
    return found


def read_flv(data: bytes) -> Structure:
    """FLV: tags with size and time, each followed by its size once more."""
    found, start = Structure([Number(4, 1), Number(5, 4)]), 13
    while start + 11 <= len(data):
        size = int.from_bytes(data[start + 1 : start + 4])
        end = min(start + 15 + size, len(data))
        found.parts.append(Part(start, end))
        found.numbers += [Number(start, 1), Number(start + 1, 3), Number(start + 4, 3)]
        found.numbers += [Number(start + 7, 1), Number(start + 11, 1), Number(end - 4, 4)]
        if data[start] == 18:  # names and values
            found.add_numbers(start + 11, end, 8)
        start = end
    return found


def read_start_codes(data: bytes) -> Structure:
    """Program and elementary streams: what follows 00 00 01."""
    found = Structure()
    places = [match.start() for match in re.finditer(b"\x00\x00\x01", data)]
    for start, stop in zip(places, [*places[1:], len(data)], strict=True):
        found.parts.append(Part(start, stop))
        found.numbers.append(Number(start + 3, 1))
        head = range(start + 4, min(stop, start + 24))
        found.numbers += [Number(place, size) for place in head for size in (1, 2)]
    return found


def read_ogg(data: bytes) -> Structure:
    """Ogg: pages, with a time, a number, and a table of lengths."""
    found = Structure()
    places = [match.start() for match in re.finditer(b"OggS", data)]
    for start, stop in zip(places, [*places[1:], len(data)], strict=True):
        found.parts.append(Part(start, stop))
        found.numbers += [Number(start + 5, 1), Number(start + 6, 8, "little")]
        found.numbers += [Number(start + 14, 4, "little"), Number(start + 18, 4, "little")]
        count = data[start + 26] if start + 26 < len(data) else 0
        found.add_numbers(start + 26, min(start + 27 + count, stop), 1)
        found.add_numbers(start + 27 + count, min(start + 80 + count, stop), 2)
    return found


def read_klv(data: bytes) -> Structure:
    """MXF: a key of 16 bytes, a length as long as it says, a value; local tags in some."""
    found = Structure()
    places = [match.start() for match in re.finditer(re.escape(b"\x06\x0e\x2b\x34"), data)]
    for start, stop in zip(places, [*places[1:], len(data)], strict=True):
        found.parts.append(Part(start, stop))
        found.add_numbers(start + 4, min(start + 16, stop), 2)
        length = 1 + (data[start + 16] & 0x7F if data[start + 16 : start + 17] > b"\x7f" else 0)
        found.numbers += [Number(start + 16, 1), Number(start + 16, min(length, 8))]
        if stop - start < 2000:
            found.add_numbers(start + 16 + length, stop, 2)
            found.add_numbers(start + 16 + length, stop, 4)
    return found


def read_nut(data: bytes) -> Structure:
    """NUT: packets that begin with N and a code; everything else is of variable length."""
    found = Structure()
    places = [match.start() for match in re.finditer(rb"N[KMXSI]..[\x00-\xff]{4}", data)]
    for start, stop in zip(places, [*places[1:], len(data)], strict=True):
        found.parts.append(Part(start, stop))
        found.add_numbers(start + 8, min(start + 60, stop), 1)
        found.add_numbers(start + 8, min(start + 60, stop), 2)
    return found


def read_png(data: bytes) -> Structure:
    """PNG: chunks with a size, a name and a checksum."""
    found, start = Structure(), 8
    while start + 12 <= len(data):
        size = int.from_bytes(data[start : start + 4])
        end = min(start + 12 + size, len(data))
        found.parts.append(Part(start, end))
        found.numbers += [Number(start, 4), Number(start + 4, 4)]
        if data[start + 4 : start + 8] not in (b"IDAT", b"fdAT"):
            found.add_numbers(start + 8, end - 4, 4)
            found.add_numbers(start + 8, end - 4, 1)
        start = end
    return found


def read_jpeg(data: bytes) -> Structure:
    """JPEG: markers with lengths."""
    found, start = Structure(), 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        end = min(start + 2 + int.from_bytes(data[start + 2 : start + 4]), len(data))
        found.parts.append(Part(start, end))
        found.numbers += [Number(start + 1, 1), Number(start + 2, 2)]
        found.add_numbers(start + 4, end, 1)
        found.add_numbers(start + 5, end, 2)
        start = end
    return found


def read_gif(data: bytes) -> Structure:
    """GIF: sizes of screen and images, times of images, lengths of blocks."""
    found = Structure()
    found.add_numbers(6, 13, 1)
    found.add_numbers(6, 10, 2, "little")
    for match in re.finditer(rb"!\xf9\x04|\x00,|!\xff\x0b", data):
        start = match.start()
        found.parts.append(Part(start, min(start + 20, len(data))))
        found.add_numbers(start + 2, min(start + 12, len(data)), 1)
        found.add_numbers(start + 2, min(start + 12, len(data)), 2, "little")
    return found


def read_text(data: bytes) -> Structure:
    """Y4M: words in a line, before each picture."""
    found = Structure()
    line = data.index(b"\n") + 1
    found.numbers = [
        Number(match.start(), len(match[0])) for match in re.finditer(rb"\w+", data[:line])
    ]
    places = [match.start() for match in re.finditer(b"FRAME", data)]
    for start, stop in zip(places, [*places[1:], len(data)], strict=True):
        found.parts.append(Part(start, stop))
        found.numbers.append(Number(start, 6))
    return found


READERS: dict[str, Callable[[bytes], Structure]] = {
    "boxes": read_boxes,
    "ebml": read_ebml,
    "riff": read_riff,
    "ts": read_ts,
    "m2ts": lambda data: read_ts(data, 192, 4),
    "asf": read_asf,
    "flv": read_flv,
    "start codes": read_start_codes,
    "ogg": read_ogg,
    "klv": read_klv,
    "nut": read_nut,
    "png": read_png,
    "jpeg": read_jpeg,
    "gif": read_gif,
    "text": read_text,
}
