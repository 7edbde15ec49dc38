"""Parquet files whose footer lies."""


def claiming(content: bytes, rows: int, claimed: int) -> bytes:
    """A Parquet file of so many rows whose footer claims others, in all places that say how many there are."""
    length = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - length : -8]
    changed = footer.replace(b"\x16" + varint(rows), b"\x16" + varint(claimed))
    assert changed != footer, "the footer is written in another way"
    return content[: -8 - length] + changed + len(changed).to_bytes(4, "little") + b"PAR1"


def varint(value: int) -> bytes:
    """A whole number as Thrift's compact protocol writes it."""
    left, digits = 2 * value, bytearray()
    while left > 0x7F:
        digits.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*digits, left])
