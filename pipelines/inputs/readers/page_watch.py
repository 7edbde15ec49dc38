"""A Parquet file whose pages are looked at as their bytes pass by, before pyarrow decompresses any."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from pipelines.inputs.readers.page_headers import page_header
from pipelines.inputs.readers.range_file import RangeFile

MOST_RATIO = 16
"""How many times larger a page of any size may be than it is in the file. Images hardly shrink; snappy, the default of
most writers, makes at most 21 of one."""
USUAL_HEADER_BYTES, MOST_HEADER_BYTES = 2**12, 2**24
OVERRUN_BYTES = 100
"""What pyarrow may read after the end of a column chunk, whose size old writers give without a header's."""


class RefusedPage(pa.ArrowInvalid):
    """A page is larger than it may be."""


class PageLimit(NamedTuple):
    """A page may be of so many bytes, decompressed, or of so many times those that it has in the file."""

    most_bytes: int
    ratio: int = MOST_RATIO

    def check(self, uncompressed: int, compressed: int) -> None:
        """Raises RefusedPage for a page that is larger."""
        if uncompressed > max(self.most_bytes, self.ratio * compressed):
            raise RefusedPage(f"a page of {compressed} bytes claims {uncompressed}, more than {self.most_bytes}")


@dataclass
class _Walk:
    """Goes from page to page of a column chunk, as far as its bytes have been seen.

    `at`: where the next header begins; `held`: its bytes that are known; `why`: it is no header, or not one of a page
    that may be decompressed.
    """

    at: int
    stop: int
    file_size: int
    limit: PageLimit
    held: bytes = b""
    why: pa.ArrowInvalid | None = None

    def see(self, start: int, content: memoryview) -> None:
        """Looks at the headers in the file's bytes from `start` on."""
        end = min(self.stop + OVERRUN_BYTES, start + len(content))
        while not self.why and start <= self.at + len(self.held) < end:
            try:
                self._step(content[self.at + len(self.held) - start :])
            except pa.ArrowInvalid as error:
                self.why = error

    def _step(self, fresh: memoryview) -> None:
        """Goes to the next page, or holds the beginning of the header."""
        for most in (USUAL_HEADER_BYTES, MOST_HEADER_BYTES):
            known = self.held + fresh[:most]
            if header := page_header(known):
                after = self.at + header.length + header.compressed
                if after > self.file_size:
                    raise pa.ArrowInvalid(f"a page header claims {header.compressed} bytes, which the file has not")
                self.limit.check(header.uncompressed, header.compressed)
                self.at, self.held = after, b""
                return
        if len(known) > MOST_HEADER_BYTES:
            raise pa.ArrowInvalid(f"a page header of more than {MOST_HEADER_BYTES} bytes")
        self.held = known


class PageWatch(io.RawIOBase):
    """A file of which nothing is given from a page on that may not be decompressed: reading it raises ArrowInvalid."""

    def __init__(self, file: BinaryIO | RangeFile) -> None:
        self.file, self.size = file, file.seek(0, io.SEEK_END)
        self.walks: list[_Walk] = []
        self.coming: Iterator[_Walk] = iter(())

    def follow(self, chunks: Iterable[tuple[int, int]], limit: PageLimit) -> None:
        """From now on, looks at the pages of column chunks, given by where each begins and how long it is.

        The chunks are asked for when pyarrow first reads of them: until then, a footer of which it can make nothing may
        end the process.
        """
        self.walks, self.coming = [], (_Walk(start, start + length, self.size, limit) for start, length in chunks)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        start = self.file.tell()
        content = self.file.read(size)
        self.walks += self.coming
        for walk in self.walks:
            walk.see(start, memoryview(content))
        refused = [walk for walk in self.walks if walk.why and walk.at < start + len(content)]
        if not refused:
            return content
        first = min(refused, key=lambda walk: walk.at)
        if first.why and first.at <= start:
            raise first.why
        self.file.seek(first.at)
        return content[: first.at - start]
