"""A file system whose reads fail or break off at chosen requests, and otherwise is fsspec's memory."""

from collections.abc import Callable
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem

Fault = Callable[[int, bytes], bytes]
"""From a request's number and its right answer to the answer that comes; or raises."""


class FlakyFiles(MemoryFileSystem):
    protocol = "flaky"
    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs: list[str] = [""]  # noqa: RUF012

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault, self.requests = fault, 0

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        self.requests += 1
        content = super().cat_file(path, start=start, end=end, **options)
        return self.fault(self.requests, content)


def holding(content: bytes, fault: Fault) -> FlakyFiles:
    """A flaky file system with one file, `/file`."""
    files = FlakyFiles(fault)
    files.pipe_file("/file", content)
    return files


def break_every_other(request: int, content: bytes) -> bytes:
    """Odd requests raise or, every fourth, come to half."""
    if request % 4 == 1:
        raise ConnectionResetError("connection reset by peer")
    return content[: len(content) // 2] if request % 4 == 3 else content
