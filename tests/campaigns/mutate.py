"""Files that are damaged: blindly, and where their structure says that it hurts."""

import random
import zlib
from collections.abc import Callable

from tests.campaigns.structures import Number, Structure, read_ogg, read_png

Mutation = Callable[[bytearray, Structure, bytes, random.Random], None]


def mutate(
    data: bytes, structure: Structure, kind: str, other: bytes, source: random.Random
) -> tuple[str, bytes]:
    """Damage a file in one way; now and then in two.

    Args:
        data: the whole file.
        structure: its numbers and parts.
        kind: of structure; checksums of some are made right again.
        other: another file, of which a part may be taken.
        source: of all choices.

    Returns:
        What was done, and what came of it.
    """
    names = [source.choice([*MUTATIONS, *OFTEN]) for _ in range(source.choice([1, 1, 1, 2]))]
    mutated = bytearray(data)
    for name in names:
        if name in NEED_NUMBERS and not structure.numbers:
            continue
        MUTATIONS[name](mutated, structure, other, source)
    if source.random() < 0.9:
        _mend_checksums(mutated, kind)
    return " and ".join(names), bytes(mutated)


def _flip_bits(data: bytearray, _: Structure, __: bytes, source: random.Random) -> None:
    for _number in range(source.choice([1, 5, 50, 500])):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def _overwrite(data: bytearray, _: Structure, __: bytes, source: random.Random) -> None:
    start, length = _stretch(data, source)
    data[start : start + length] = source.randbytes(length)


def _cut_off(data: bytearray, _: Structure, __: bytes, source: random.Random) -> None:
    del data[source.randrange(len(data)) :]
    data.extend(b"" if data else b"\0")


def _cut_out(data: bytearray, _: Structure, __: bytes, source: random.Random) -> None:
    start, length = _stretch(data, source)
    del data[start : start + length]
    data.extend(b"" if data else b"\0")


def _repeat(data: bytearray, _: Structure, __: bytes, source: random.Random) -> None:
    start, length = _stretch(data, source)
    data[start:start] = data[start : start + length]


def _splice(data: bytearray, _: Structure, other: bytes, source: random.Random) -> None:
    data[source.randrange(len(data)) :] = other[source.randrange(len(other)) :]


def _set_numbers(data: bytearray, structure: Structure, _: bytes, source: random.Random) -> None:
    """Extremes, and what is nearly right, in place of some integers."""
    for _number in range(source.choice([1, 1, 1, 2, 4, 16])):
        number = source.choice(structure.numbers)
        if number.start + number.size <= len(data):
            _write(data, number, _strange(data, number, source))


def _zero_row(data: bytearray, structure: Structure, _: bytes, source: random.Random) -> None:
    """All integers of a stretch of the file at one extreme, as a table that was never written."""
    first = source.randrange(len(structure.numbers))
    value = source.choice([0, -1, 1])
    for number in structure.numbers[first : first + source.randint(2, 40)]:
        if number.start + number.size <= len(data):
            _write(data, number, value)


def _remove_part(data: bytearray, structure: Structure, _: bytes, source: random.Random) -> None:
    if structure.parts:
        part = source.choice(structure.parts)
        del data[part.start : part.stop]
    data.extend(b"" if data else b"\0")


def _double_part(data: bytearray, structure: Structure, _: bytes, source: random.Random) -> None:
    if structure.parts:
        part = source.choice(structure.parts)
        times = source.choice([1, 1, 2, 50])
        if (part.stop - part.start) * times < 2**22:
            data[part.start : part.start] = data[part.start : part.stop] * times


def _move_part(data: bytearray, structure: Structure, _: bytes, source: random.Random) -> None:
    if structure.parts:
        part, place = source.choice(structure.parts), source.choice(structure.parts).start
        moved = data[part.start : part.stop]
        del data[part.start : part.stop]
        data[place:place] = moved


def _empty_part(data: bytearray, structure: Structure, _: bytes, source: random.Random) -> None:
    """Zeros behind the head of a part."""
    if structure.parts:
        part = source.choice(structure.parts)
        start = min(part.start + source.choice([4, 8, 12, 20]), part.stop, len(data))
        data[start : part.stop] = bytes(min(part.stop, len(data)) - start)


MUTATIONS: dict[str, Mutation] = {
    "bits flipped": _flip_bits,
    "bytes overwritten": _overwrite,
    "cut off": _cut_off,
    "cut out": _cut_out,
    "repeated": _repeat,
    "spliced": _splice,
    "numbers set": _set_numbers,
    "row of numbers set": _zero_row,
    "part removed": _remove_part,
    "part doubled": _double_part,
    "part moved": _move_part,
    "part emptied": _empty_part,
}
NEED_NUMBERS = {"numbers set", "row of numbers set"}
OFTEN = ["numbers set"] * 4  # beside once each


def _stretch(data: bytearray, source: random.Random) -> tuple[int, int]:
    """Start and length of an eighth of a file, or less."""
    start = source.randrange(len(data))
    return start, min(source.randint(1, max(1, len(data) // 8)), len(data) - start)


def _strange(data: bytearray, number: Number, source: random.Random) -> int:
    bits = 8 * number.size
    now = int.from_bytes(data[number.start : number.start + number.size], number.order)
    return source.choice(
        [
            *(0, 1, 2, -1, 1 << (bits - 1), (1 << (bits - 1)) - 1, 1 << (bits - 2)),
            *(now + 1, now - 1, now * 2, now // 2, now + 8, now - 8, now << 8, now >> 8),
            *(len(data), len(data) - number.start, source.getrandbits(bits)),
            *(now ^ (1 << source.randrange(bits)), 0x7F, 0xFFFF, 90_000, 2**31),
        ]
    )


def _write(data: bytearray, number: Number, value: int) -> None:
    wrapped = value % (1 << 8 * number.size)
    data[number.start : number.start + number.size] = wrapped.to_bytes(number.size, number.order)


def _mend_checksums(data: bytearray, kind: str) -> None:
    """Make checksums right, or nobody would look behind them."""
    if kind == "png":
        for part in read_png(bytes(data)).parts:
            if part.stop - part.start >= 12:
                body = data[part.start + 4 : part.stop - 4]
                data[part.stop - 4 : part.stop] = zlib.crc32(body).to_bytes(4)
    elif kind == "ogg":
        for part in read_ogg(bytes(data)).parts:
            if part.stop - part.start >= 27:
                data[part.start + 22 : part.start + 26] = bytes(4)
                digest = _ogg_checksum(bytes(data[part.start : part.stop]))
                data[part.start + 22 : part.start + 26] = digest.to_bytes(4, "little")


def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1
        table.append(value & 0xFFFFFFFF)
    return table


_OGG_TABLE = _ogg_table()


def _ogg_checksum(data: bytes) -> int:
    value = 0
    for byte in data:
        value = (value << 8) & 0xFFFFFFFF ^ _OGG_TABLE[(value >> 24) ^ byte]
    return value
