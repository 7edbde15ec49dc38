"""Reads the headers of a Parquet file's pages, which say how large a page is in the file and decompressed.

A header is a struct in Thrift's compact protocol (`parquet.thrift`, `PageHeader`). What pyarrow might read otherwise
than we do is refused: numbers that do not fit, fields that come twice, and types that no header has.
"""

from typing import NamedTuple

import pyarrow as pa

MOST_FIELD, MOST_NUMBER, MOST_DEPTH = 2**15, 2**31, 8
UNCOMPRESSED, COMPRESSED = 2, 3
"""The fields of a header that hold the sizes of its page."""
FIXED_BYTES = {1: 0, 2: 0, 3: 1, 7: 8}
"""The bytes that values of these types take: true, false, a byte, a double."""
I16, I32, I64, BINARY, STRUCT = 4, 5, 6, 8, 12


class PageHeader(NamedTuple):
    """The bytes of a header, and those of its page, decompressed and in the file."""

    length: int
    uncompressed: int
    compressed: int


def page_header(content: bytes) -> PageHeader | None:
    """The header that the content begins with; None if the content ends before it. Raises ArrowInvalid for no header.

    The content may go on after it.
    """
    reader = _Reader(content)
    try:
        fields = reader.struct(0)
    except IndexError:
        return None
    sizes = [fields.get(UNCOMPRESSED, -1), fields.get(COMPRESSED, -1)]
    if not all(0 <= size < MOST_NUMBER for size in sizes):
        raise pa.ArrowInvalid("a page header says no size that a page can have")
    return PageHeader(reader.position, *sizes)


class _Reader:
    """Goes through a struct. Raises IndexError where the content ends, ArrowInvalid for what is no page header."""

    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def struct(self, depth: int) -> dict[int, int]:
        """The fields that hold numbers of 32 bits, by their number."""
        if depth > MOST_DEPTH:
            raise pa.ArrowInvalid("a page header nests too deep")
        found, seen, field = dict[int, int](), set[int](), 0
        while kind := (head := self._byte()) & 0x0F:
            field = field + (head >> 4) if head >> 4 else _signed(self._varint())
            if field in seen or not 0 <= field < MOST_FIELD:
                raise pa.ArrowInvalid(f"a page header has no second field {field}")
            seen.add(field)
            if kind == I32:
                found[field] = _signed(self._varint())
            else:
                self._skip(kind, depth)
        return found

    def _skip(self, kind: int, depth: int) -> None:
        if kind in FIXED_BYTES:
            self.position += FIXED_BYTES[kind]
        elif kind in (I16, I64):
            self._varint()
        elif kind == BINARY:
            length = self._length()  # which moves on
            self.position += length
        elif kind == STRUCT:
            self.struct(depth + 1)
        else:
            raise pa.ArrowInvalid(f"a page header has no field of type {kind}")

    def _length(self) -> int:
        length = self._varint()
        if length >= MOST_NUMBER:
            raise pa.ArrowInvalid(f"a page header has no field of {length} bytes")
        return length

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise pa.ArrowInvalid("a page header holds a number that does not end")
        return value | byte << shift

    def _byte(self) -> int:
        self.position += 1
        return self.content[self.position - 1]


def _signed(value: int) -> int:
    """A number as it was before zigzag made it positive."""
    return value >> 1 ^ -(value & 1)
