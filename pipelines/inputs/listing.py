"""Lists the files that an input names (a file, folder, pattern or list), in a fixed order."""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fsspec import AbstractFileSystem
from fsspec.core import has_magic

from pipelines.errors import CallerError
from pipelines.inputs.readers.record import IMAGE_SUFFIXES
from pipelines.storage import file_system, storage_errors

Kind = Literal["tar", "parquet", "images", "embeddings", "npy"]
Item = TypeVar("Item")
Result = TypeVar("Result")
LIST_SUFFIX = ".txt"
REQUESTS_AT_ONCE = 32
VERSIONS = ("ETag", "etag", "md5", "mtime", "LastModified", "created")
"""The names by which file systems tell of a file's version, the most reliable first."""


@dataclass(frozen=True, slots=True)
class File:
    """One input file: where it is, its name in the dataset, its size in bytes, and a version that changes with it."""

    url: str
    key: str
    size: int
    version: str


def kind_of(url: str) -> Kind | None:
    """The kind of a file by its name; None for what a scan passes over, macOS's `._` files among them."""
    if url.rsplit("/", 1)[-1].startswith("._"):
        return None
    suffix = suffix_of(url)
    if suffix in IMAGE_SUFFIXES:
        return "images"
    return {".tar": "tar", ".parquet": "parquet"}.get(suffix)  # pyright: ignore[reportReturnType]


def suffix_of(url: str) -> str:
    """The file name's suffix in lower case, with its dot; "" if it has none."""
    name = url.rsplit("/", 1)[-1]
    return "." + name.rsplit(".", 1)[-1].lower() if "." in name else ""


@dataclass(frozen=True)
class Accepted:
    """The files that an option accepts: `described` in words; `kind_of` a URL is None for what is not accepted."""

    option: str
    described: str
    kind_of: Callable[[str], Kind | None]


IMAGES = Accepted("--input", ".tar, .parquet, .txt (a list) or image file", kind_of)


def expand(given: str, options: Mapping[str, Any], accepted: Accepted = IMAGES) -> list[File]:
    """All files that an input names, sorted by path; a list's in its own order.

    Files of kinds that are not accepted are among them, unless they are named themselves. Raises CallerError.
    """
    option = accepted.option
    files, path = file_system(given, options)
    found: dict[str, Any] = {}
    root = ""
    with storage_errors(f"{option} {given!r}"), contextlib.suppress(FileNotFoundError):
        if has_magic(path) and not files.exists(path):
            found = _matching(files, path)
            root = re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0]
        elif files.isdir(path):
            found, root = _below(files, path), path
        elif path.lower().endswith(LIST_SUFFIX):
            return list(_listed(files, path, given, options, accepted))
        else:
            found, root = {path: files.info(path)}, path.rpartition("/")[0]
    if not found:
        raise CallerError(f"{option} {given!r} does not exist or holds no files")
    if found.keys() == {path} and not accepted.kind_of(path):
        raise CallerError(f"{option} {given!r} is not a {accepted.described}")
    expanded = []
    for name in sorted(found):
        entry = found.pop(name)  # of a million files, no more than need be is held twice
        if entry["type"] == "file":
            expanded.append(_file(files, entry, entry["name"][len(root) :].lstrip("/"), option))
    return expanded


def concurrently(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What the function gives for each item, in order, with many requests under way but never all of a million."""
    left = iter(items)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        while together := list(itertools.islice(left, 8 * REQUESTS_AT_ONCE)):
            yield from pool.map(function, together)


def not_seen(files: Iterable[File], seen: set[str]) -> list[File]:
    """The files whose URLs are not in `seen`, each URL once; `seen` gains them."""
    fresh = []
    for file in files:
        if file.url not in seen:
            seen.add(file.url)
            fresh.append(file)
    return fresh


def _below(files: AbstractFileSystem, path: str) -> dict[str, Any]:
    """All files below a folder, by path."""
    found: Any = files.find(path, detail=True)
    return found


def _matching(files: AbstractFileSystem, pattern: str) -> dict[str, Any]:
    """The files that a pattern matches, and all files of the directories that it matches."""
    matched: Any = files.glob(pattern, detail=True)
    found = {name: entry for name, entry in matched.items() if entry["type"] != "directory"}
    for name in matched.keys() - found.keys():
        found |= _below(files, name)
    return found


def _listed(
    files: AbstractFileSystem, path: str, given: str, options: Mapping[str, Any], accepted: Accepted
) -> Iterator[File]:
    """The files that a list names, one a line: URLs, absolute paths, or paths beside the list."""
    try:
        content: Any = files.cat_file(path)
        lines = [line.strip() for line in content.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise CallerError(
            f"{accepted.option} {given!r} is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from error
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line)
    yield from concurrently(lambda item: _listed_file(given, item[0], item[1], options, accepted), numbered)


def _listed_file(given: str, number: int, line: str, options: Mapping[str, Any], accepted: Accepted) -> File:
    """The file that one line of a list names. Raises CallerError, naming the line."""
    base = given.rpartition("/")[0]
    url = line if "://" in line or line.startswith("/") else f"{base}/{line}" if base else line
    where = f"{accepted.option} {given!r}, line {number}: {line!r}"
    if not accepted.kind_of(url):
        raise CallerError(f"{where} is not a {accepted.described.replace(', .txt (a list)', '')}")
    files, path = file_system(url, options)
    try:
        entry = files.info(path)
    except FileNotFoundError as error:
        raise CallerError(f"{where} does not exist") from error
    if entry["type"] != "file":
        raise CallerError(f"{where} is not a file")
    return _file(files, entry, line, accepted.option)


def _file(files: AbstractFileSystem, entry: Mapping[str, Any], key: str, option: str) -> File:
    """A `File` from what the file system says of it. Raises CallerError for a name that is not UTF-8."""
    changed = next((entry[name] for name in VERSIONS if entry.get(name)), "")
    url = files.unstrip_protocol(entry["name"])
    try:
        url.encode()
    except UnicodeEncodeError as error:
        raise CallerError(f"{option} {url!r}: the file's name is not UTF-8; rename it") from error
    return File(url, key, int(entry["size"]), str(changed))
