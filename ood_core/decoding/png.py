"""PNGs without what does not show: a broken or huge text or profile must not cost a picture."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SHOWN = (b"tRNS", b"acTL", b"fcTL", b"fdAT")
"""The ancillary chunks that change what is shown: transparency and animation."""


def without_metadata(content: bytes) -> bytes:
    """The file without its ancillary chunks, but for those that are shown and whole; any other file as it is."""
    if not content.startswith(SIGNATURE):
        return content
    parts, dropped = [SIGNATURE], False
    for start, end in _chunks(content):
        kind = content[start + 4 : start + 8]
        ancillary = bool(kind[0] & 0x20)
        if ancillary and (kind not in SHOWN or not _is_whole(content, start, end)):
            dropped = True
        else:
            parts.append(content[start:end])
    return b"".join(parts) if dropped else content


def _chunks(content: bytes) -> Iterator[tuple[int, int]]:
    """Where each chunk begins and ends; what is behind the last whole one comes as one piece."""
    place = len(SIGNATURE)
    while place + 12 <= len(content):
        end = place + 12 + struct.unpack_from(">I", content, place)[0]
        if end > len(content):
            break
        yield place, end
        place = end
    if place + 8 <= len(content):
        yield place, len(content)


def _is_whole(content: bytes, start: int, end: int) -> bool:
    return zlib.crc32(content[start + 4 : end - 4]) == struct.unpack_from(">I", content, end - 4)[0]
