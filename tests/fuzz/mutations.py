"""What is done to a file's bytes to make a mutant of it, all of it chosen by a generator of random numbers."""

import random
from collections.abc import Callable, Mapping

Mutate = Callable[[bytearray, random.Random], None]

MAGIC = [
    *(bytes([value]) * length for value in (0x00, 0x7F, 0x80, 0xFF) for length in (1, 2, 4, 8, 12)),
    *((2**power - 1).to_bytes(8, order) for power in (31, 32, 62, 63) for order in ("little", "big")),
    *(b"77777777777\0", b"00000000000\0", b"-0000000001\0", b"            ", b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
]
"""The ends of what numbers can be, as formats write them: in binary, octal digits, base 256 and varints."""


def flip(content: bytearray, chance: random.Random) -> None:
    """Other values for a few bytes, near each other or far apart."""
    start, reach = place_in(content, chance), chance.choice([8, 512, len(content)])
    for _ in range(chance.randint(1, 8)):
        if content:
            content[(start + chance.randrange(reach)) % len(content)] ^= chance.randrange(1, 256)


def cut(content: bytearray, chance: random.Random) -> None:
    """The end is missing."""
    del content[place_in(content, chance) :]


def zeros(content: bytearray, chance: random.Random) -> None:
    """A stretch of zeros instead of what was there."""
    start, end = stretch_of(content, chance)
    content[start:end] = bytes(end - start)


def insert(content: bytearray, chance: random.Random) -> None:
    """Bytes that were not there."""
    start = place_in(content, chance)
    content[start:start] = chance.randbytes(length_of(chance))


def repeat(content: bytearray, chance: random.Random) -> None:
    """A stretch comes a second time, anywhere."""
    start, end = stretch_of(content, chance)
    other = place_in(content, chance)
    content[other:other] = content[start:end]


def remove(content: bytearray, chance: random.Random) -> None:
    """A stretch is missing."""
    start, end = stretch_of(content, chance)
    del content[start:end]


def swap(content: bytearray, chance: random.Random) -> None:
    """Two blocks change places."""
    size = chance.choice([16, 512, 512, 1024])
    one, other = (place_in(content, chance) // size * size for _ in range(2))
    first, second = content[one : one + size], content[other : other + size]
    if len(first) == len(second) == size:
        content[one : one + size], content[other : other + size] = second, first


def magic(content: bytearray, chance: random.Random) -> None:
    """The end of what a number can be, anywhere."""
    write(content, place_in(content, chance), chance.choice(MAGIC))


ANYWHERE: Mapping[str, Mutate] = {
    mutate.__name__: mutate for mutate in (flip, cut, zeros, insert, repeat, remove, swap, magic)
}


def mutant(content: bytes, ways: Mapping[str, Mutate], chance: random.Random) -> tuple[bytes, set[str]]:
    """The content changed in one way, or in a few one after the other; and the names of these."""
    changed, used = bytearray(content), set()
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        name = chance.choice(list(ways))
        ways[name](changed, chance)
        used.add(name)
    return bytes(changed), used


def first_difference(one: bytes, other: bytes) -> int:
    """The first byte in which two contents differ: where the shorter ends, if one begins with the other."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def place_in(content: bytearray, chance: random.Random) -> int:
    """A place in the content, half of the time where a block of 512 bytes begins."""
    place = chance.randrange(len(content) + 1)
    return place // 512 * 512 if chance.random() < 0.5 else place


def length_of(chance: random.Random) -> int:
    """A length of 1 to 4096 bytes, short ones as often as long ones, half of the time of whole blocks of 512."""
    length = 2 ** chance.randint(0, 12)
    return -(-length // 512) * 512 if chance.random() < 0.5 else chance.randint(1, length)


def stretch_of(content: bytearray, chance: random.Random) -> tuple[int, int]:
    """Where a stretch of the content begins and ends."""
    start = place_in(content, chance)
    return start, min(start + length_of(chance), len(content))


def write(content: bytearray, place: int, value: bytes) -> None:
    """Puts a value in place of what is there, as far as the content goes."""
    end = min(place + len(value), len(content))
    content[place:end] = value[: end - place]
