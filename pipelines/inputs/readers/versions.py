"""Notices that a file is no longer the one that was planned, by its size and what its file system tells of versions."""

from collections.abc import Mapping
from typing import Any

from fsspec import AbstractFileSystem

from pipelines.errors import ReadError
from pipelines.inputs.readers.range_file import RETRY_S, describe

VERSIONS = ("ETag", "etag", "md5", "mtime", "LastModified", "created")
"""The names by which file systems tell of a file's version, the most reliable first."""


def version_of(entry: Mapping[str, Any]) -> str:
    """The version in what a file system says of a file; "" if it tells of none."""
    return str(next((entry[name] for name in VERSIONS if entry.get(name)), ""))


def check_unchanged(
    files: AbstractFileSystem, path: str, size: int, version: str = "", retry_s: float = RETRY_S
) -> None:
    """Raises ReadError if a file is gone, or has another size or version than was planned. "": that is not known.

    A version is looked for under each name: a listing may tell of fewer of them than an answer about one file.
    """
    entry = describe(files, path, retry_s=retry_s)
    found = int(entry["size"] or 0)
    if found != size:
        raise ReadError(f"{path} has changed since it was planned (size {size} → {found})")
    versions = {_plain(str(entry[name])) for name in VERSIONS if entry.get(name)}
    if version and _plain(version) not in versions:
        raise ReadError(f"{path} has changed since it was planned (of the same size, but another version)")


def _plain(version: str) -> str:
    """An ETag without quotes and the mark of a weak one, which not every answer has; any other version as it is."""
    return version.removeprefix("W/").strip('"')
