"""Reads files by byte ranges, so that a broken download goes on where it broke."""

import io
import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem, sync
from fsspec.exceptions import FSTimeoutError
from fsspec.implementations.local import LocalFileSystem

from pipelines.errors import ReadError

CHUNK_BYTES = 8 * 2**20
ATTEMPTS = 6
"""Of a local file, and of a remote one the least."""
FIRST_WAIT_S, MOST_WAIT_S, RETRY_S = 0.2, 15.0, 120.0
"""Between two attempts; `RETRY_S`: for how long a remote file is tried, if it is not said."""
PERMANENT = (FileNotFoundError, PermissionError, IsADirectoryError)
PERMANENT_STATUSES = (401, 403, 404, 410)
"""Errors after which another attempt would be one too many."""

Answer = TypeVar("Answer")


class RangeFile(io.RawIOBase):
    """A file of `size` bytes; every piece read, of `CHUNK_BYTES` at most, is a request, repeated when it fails.

    There is no connection to lose between pieces, so nothing can be skipped or read twice. A piece shorter than asked
    for counts as a failure. Raises ReadError as `fetch` does.
    """

    def __init__(
        self,
        files: AbstractFileSystem,
        path: str,
        size: int,
        first_wait_s: float = FIRST_WAIT_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self.files, self.path, self.size, self.first_wait_s, self.retry_s = files, path, size, first_wait_s, retry_s
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
            fetch(self.files, self.path, start, min(CHUNK_BYTES, stop - start), self.first_wait_s, self.retry_s)
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
    retry_s: float = RETRY_S,
) -> io.BufferedReader:
    """A `RangeFile` that asks for `chunk_bytes` at once."""
    return io.BufferedReader(RangeFile(files, path, size, first_wait_s, retry_s), chunk_bytes)


def fetch(
    files: AbstractFileSystem,
    path: str,
    start: int,
    count: int,
    first_wait_s: float = FIRST_WAIT_S,
    retry_s: float = RETRY_S,
) -> bytes:
    """All `count` bytes from `start` on. What may pass is tried again, after ever longer waits, for `retry_s`.

    Raises ReadError for what will not pass, such as a file that is gone, and when the time is used up.
    """

    def asked(left_s: float) -> bytes:
        content: Any = answer_within(left_s, files, "cat_file", path, start=start, end=start + count)
        if len(content) != count:
            raise ReadError(f"{len(content)} of {count} bytes at {start} came")
        return content

    return _answered(asked, files, path, first_wait_s, retry_s)


def describe(
    files: AbstractFileSystem, path: str, first_wait_s: float = FIRST_WAIT_S, retry_s: float = RETRY_S
) -> dict[str, Any]:
    """What the file system says of a file now, tried again as by `fetch`; of a link, what it leads to.

    Raises ReadError as `fetch` does.
    """
    real = real_path(files, path)

    def asked(left_s: float) -> dict[str, Any]:
        files.invalidate_cache(real)
        return answer_within(left_s, files, "info", real)

    return {**_answered(asked, files, path, first_wait_s, retry_s), "name": path}


def real_path(files: AbstractFileSystem, path: str) -> str:
    """Where a local path leads to, links followed; any other path as it is."""
    return os.path.realpath(path) if isinstance(files, LocalFileSystem) else path


def _answered(
    ask: Callable[[float], Answer], files: AbstractFileSystem, path: str, first_wait_s: float, retry_s: float
) -> Answer:
    """What `ask` returns, given the seconds that are left, at the first attempt that it does not raise."""
    begun, waits, attempts = time.monotonic(), _waits(files, first_wait_s, retry_s), 0
    while True:
        attempts += 1
        try:
            return ask(max(1.0, begun + retry_s - time.monotonic()))
        except FSTimeoutError:
            reason: object = "no answer came"
        except Exception as error:
            reason = error
            if isinstance(error, PERMANENT) or _status(error) in PERMANENT_STATUSES:
                raise ReadError(f"{path} cannot be read: {error}") from error
        wait_s = next(waits, None)
        if wait_s is None or (attempts >= ATTEMPTS and time.monotonic() + wait_s > begun + retry_s):
            raise ReadError(f"{path} cannot be read, attempt after attempt: {reason}")
        time.sleep(wait_s)


def answer_within(timeout_s: float, files: AbstractFileSystem, method: str, *arguments: Any, **options: Any) -> Any:
    """What a method of a file system returns; raises FSTimeoutError if a remote one takes longer."""
    if isinstance(files, AsyncFileSystem) and not files.asynchronous:
        return sync(files.loop, getattr(files, f"_{method}"), *arguments, timeout=timeout_s, **options)
    return getattr(files, method)(*arguments, **options)


def _waits(files: AbstractFileSystem, first_wait_s: float, retry_s: float) -> Iterator[float]:
    """The seconds to wait before each further attempt."""
    wait_s, waited = first_wait_s, 0.0
    for attempt in itertools.count(2):
        if attempt > ATTEMPTS and (isinstance(files, LocalFileSystem) or not wait_s or waited + wait_s > retry_s):
            return
        yield wait_s
        waited += wait_s
        wait_s = min(2 * wait_s, MOST_WAIT_S)


def _status(error: Exception) -> int | None:
    """The HTTP status that an error of a file system tells of."""
    found = getattr(error, "status", getattr(error, "code", None))
    return found if isinstance(found, int) else None
