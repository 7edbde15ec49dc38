"""Reads image files, one record each; several at once where the file system can."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.core import has_magic
from fsspec.exceptions import FSTimeoutError

from pipelines.errors import ReadError, first_line
from pipelines.inputs.readers.range_file import RETRY_S, answer_within, fetch
from pipelines.inputs.readers.record import Record

FILES_AT_ONCE = 32


class ImageFile(NamedTuple):
    """An image file: its URL, its path in the file system, its name in the dataset and its size in bytes."""

    url: str
    path: str
    key: str
    size: int


def read_images(
    files: AbstractFileSystem, chosen: Sequence[ImageFile], max_bytes: int, retry_s: float = RETRY_S
) -> Iterator[Record]:
    """One record per file, in order. A file that cannot be read, after every retry, becomes an error record."""
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
    """The record of one file. It is read again if `content` is not the whole of it."""
    if file.size > max_bytes:
        error = f"{file.size} bytes, more than {max_bytes}"
        return Record(file.key, status="too-large", error=error, url=file.url)
    if isinstance(content, bytes) and len(content) == file.size:
        return Record(file.key, content, url=file.url)
    try:
        if not file.size:
            _check_is_there(files, file.path)
            return Record(file.key, b"", url=file.url)
        return Record(file.key, fetch(files, file.path, 0, file.size, retry_s=retry_s), url=file.url)
    except ReadError as error:
        return Record(file.key, status="unreadable-file", error=str(error), url=file.url)


def _check_is_there(files: AbstractFileSystem, path: str) -> None:
    """Raises ReadError for a file that is not there: one that a list names has no size then either."""
    try:
        files.info(path)
    except Exception as error:  # every file system has errors of its own
        raise ReadError(f"{path} cannot be read: {first_line(error)}") from error
