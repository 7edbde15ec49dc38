"""Reads image files, one record each; several at once where the file system can."""

from collections.abc import Iterator, Sequence
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.core import has_magic

from pipelines.errors import ReadError
from pipelines.inputs.readers.range_file import fetch
from pipelines.inputs.readers.record import Record

FILES_AT_ONCE = 32


def read_images(
    files: AbstractFileSystem, paths: Sequence[str], keys: Sequence[str], sizes: Sequence[int], max_bytes: int
) -> Iterator[Record]:
    """One record per file, in order. A file that cannot be read, after every retry, becomes an error record."""
    for start in range(0, len(paths), FILES_AT_ONCE):
        chunk = slice(start, start + FILES_AT_ONCE)
        at_once = [
            path
            for path, size in zip(paths[chunk], sizes[chunk], strict=True)
            if 0 < size <= max_bytes and not has_magic(path)  # `cat` takes such a name for a pattern
        ]
        contents: Any = files.cat(at_once, on_error="return") if at_once else {}
        for path, key, size in zip(paths[chunk], keys[chunk], sizes[chunk], strict=True):
            yield _record(files, path, key, size, contents.get(path), max_bytes)


def _record(
    files: AbstractFileSystem, path: str, key: str, size: int, content: bytes | Exception | None, max_bytes: int
) -> Record:
    """The record of one file. It is read again if `content` is not the whole of it."""
    if size > max_bytes:
        return Record(key, status="too-large", error=f"{size} bytes, more than {max_bytes}")
    if isinstance(content, bytes) and len(content) == size:
        return Record(key, content)
    try:
        return Record(key, fetch(files, path, 0, size) if size else b"")
    except ReadError as error:
        return Record(key, status="unreadable-file", error=str(error))
