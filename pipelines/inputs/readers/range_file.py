"""Reads files by byte ranges, so that a broken download goes on where it broke."""

import io
import time
from typing import Any

from fsspec import AbstractFileSystem

from pipelines.errors import ReadError

CHUNK_BYTES = 8 * 2**20
ATTEMPTS = 6
FIRST_WAIT_S = 0.2


class RangeFile(io.RawIOBase):
    """A file of `size` bytes; every piece read, of `CHUNK_BYTES` at most, is a request, repeated when it fails.

    There is no connection to lose between pieces, so nothing can be skipped or read twice. A piece shorter than asked
    for counts as a failure. Raises ReadError when the attempts are used up.
    """

    def __init__(self, files: AbstractFileSystem, path: str, size: int, first_wait_s: float = FIRST_WAIT_S) -> None:
        self.files, self.path, self.size, self.first_wait_s = files, path, size, first_wait_s
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(0, base + offset)
        return self.position

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self.size - self.position)
        stop = self.position + (left if size < 0 else min(size, left))
        pieces = [
            fetch(self.files, self.path, start, min(CHUNK_BYTES, stop - start), self.first_wait_s)
            for start in range(self.position, stop, CHUNK_BYTES)
        ]
        self.position = stop
        return b"".join(pieces)

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)


def open_range(
    files: AbstractFileSystem,
    path: str,
    size: int,
    first_wait_s: float = FIRST_WAIT_S,
    chunk_bytes: int = CHUNK_BYTES,
) -> io.BufferedReader:
    """A `RangeFile` that asks for `chunk_bytes` at once."""
    return io.BufferedReader(RangeFile(files, path, size, first_wait_s), chunk_bytes)


def fetch(files: AbstractFileSystem, path: str, start: int, count: int, first_wait_s: float = FIRST_WAIT_S) -> bytes:
    """All `count` bytes from `start` on. Raises ReadError when the attempts are used up.

    Waits `first_wait_s` after a first failure, then ever twice as long."""
    wait_s = first_wait_s
    for attempt in range(1, ATTEMPTS + 1):
        try:
            content: Any = files.cat_file(path, start=start, end=start + count)
            if len(content) == count:
                return content
            reason: object = f"{len(content)} of {count} bytes at {start} came"
        except (FileNotFoundError, PermissionError) as error:
            raise ReadError(f"{path} cannot be read: {error}") from error
        except Exception as error:
            reason = error
        if attempt < ATTEMPTS:
            time.sleep(wait_s)
            wait_s *= 2
    raise ReadError(f"{path} cannot be read, {ATTEMPTS} attempts: {reason}")
