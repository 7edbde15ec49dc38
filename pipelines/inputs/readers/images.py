"""Reads image files, one record each; several at once where the file system can."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.core import has_magic
from fsspec.exceptions import FSTimeoutError
from fsspec.implementations.local import LocalFileSystem

from pipelines.errors import ReadError
from pipelines.inputs.readers.range_file import RETRY_S, answer_within, fetch
from pipelines.inputs.readers.record import UNREAD, Record
from pipelines.inputs.readers.versions import check_unchanged

FILES_AT_ONCE = 32


class ImageFile(NamedTuple):
    """An image file: its URL, its path in the file system, its name in the dataset, its size in bytes, its version.

    "" for a version that is not known.
    """

    url: str
    path: str
    key: str
    size: int
    version: str = ""


def read_images(
    files: AbstractFileSystem, chosen: Sequence[ImageFile], max_bytes: int, retry_s: float = RETRY_S
) -> Iterator[Record]:
    """One record per file, in order. A file that cannot be read, after every retry, becomes an error record.

    So does one that has changed since it was planned: on a disk by size and version, elsewhere by size alone, since
    another request for each image would take as long as the image.
    """
    for start in range(0, len(chosen), FILES_AT_ONCE):
        together = chosen[start : start + FILES_AT_ONCE]
        at_once = [
            file.path
            for file in together
            if 0 < file.size <= max_bytes and not has_magic(file.path)  # `cat` takes such a name for a pattern
        ]
        contents = _contents(files, at_once, retry_s) if at_once else {}
        for file in together:
            yield _record(files, file, contents.get(file.path), max_bytes, retry_s)


def _contents(files: AbstractFileSystem, paths: list[str], timeout_s: float) -> dict[str, Any]:
    """The contents of files, or the errors by which they were not read; none if a remote file system takes longer."""
    try:
        return answer_within(timeout_s, files, "cat", paths, on_error="return")
    except FSTimeoutError:
        return {}


def _record(
    files: AbstractFileSystem, file: ImageFile, content: bytes | Exception | None, max_bytes: int, retry_s: float
) -> Record:
    """The record of one file. `content`: what has been read of it already, or the error by which it was not."""
    if file.size > max_bytes:
        error = f"{file.size} bytes, more than {max_bytes}"
        return Record(file.key, status="too-large", error=error, url=file.url)
    try:
        return Record(file.key, _whole(files, file, content, retry_s), url=file.url)
    except ReadError as error:
        return Record(file.key, status=UNREAD, error=str(error), url=file.url)


def _whole(files: AbstractFileSystem, file: ImageFile, content: bytes | Exception | None, retry_s: float) -> bytes:
    """The bytes of a file, which is read again if `content` is not the whole of it. Raises ReadError."""
    planned = files, file.path, file.size, file.version, retry_s
    if isinstance(content, bytes) and len(content) == file.size:
        if isinstance(files, LocalFileSystem):
            check_unchanged(*planned)
        return content
    check_unchanged(*planned)
    again = fetch(files, file.path, 0, file.size, retry_s=retry_s) if file.size else b""
    check_unchanged(*planned)
    return again
