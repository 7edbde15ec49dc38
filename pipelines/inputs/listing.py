"""Lists the files that an input names (a file, folder, pattern or list), in a fixed order."""

import contextlib
import glob
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fsspec import AbstractFileSystem
from fsspec.core import has_magic
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from pipelines.errors import CallerError
from pipelines.inputs.below import Entry, below, described
from pipelines.inputs.braces import expanded, has_braces
from pipelines.inputs.readers.names import IMAGE_SUFFIXES, is_hidden, passed_over_as, suffix_of
from pipelines.inputs.readers.range_file import real_path
from pipelines.inputs.readers.versions import version_of
from pipelines.storage import file_system, storage_errors

Kind = Literal["tar", "parquet", "images", "embeddings", "npy"]
Item = TypeVar("Item")
Result = TypeVar("Result")
LIST_SUFFIX = ".txt"
SCAN_FILE, PLAN_FILE = "scan.json", "plan.parquet"
"""The files by which a scan directory of ours is known."""
VERSIONED = "?versionId="
"""What s3fs takes for the version of another object, wherever it stands in a name."""
REQUESTS_AT_ONCE, MISTAKES_SHOWN = 32, 10


@dataclass(frozen=True, slots=True)
class File:
    """One input file: where it is, its name in the dataset, its size in bytes, and a version that changes with it.

    `passed_over`: the name under which a file is counted that is not read; "" for one that is.
    """

    url: str
    key: str
    size: int
    version: str
    passed_over: str = ""


def kind_of(url: str) -> Kind | None:
    """The kind of a file by its name; None for what a scan passes over."""
    suffix = suffix_of(url)
    if suffix in IMAGE_SUFFIXES:
        return "images"
    return {".tar": "tar", ".parquet": "parquet"}.get(suffix)  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Accepted:
    """The files that an option accepts: `described` in words; `kind_of` a URL is None for what is not accepted.

    `scans`: whether what lies in a scan directory is.
    """

    option: str
    described: str
    kind_of: Callable[[str], Kind | None]
    scans: bool = False


IMAGES = Accepted("--input", ".tar, .parquet, .txt (a list) or image file", kind_of)


def expand(given: str, options: Mapping[str, Any], accepted: Accepted = IMAGES) -> list[File]:
    """All files that an input names, sorted by path; a list's, and those of names with braces, in their own order.

    Files that are not read are among them, unless they are named themselves. Raises CallerError.
    """
    option = accepted.option
    files, path = file_system(given, options)
    with storage_errors(f"{option} {given!r}"):
        if not has_braces(given) or files.exists(path):
            return _expand(given, options, accepted)
    try:
        names = expanded(given)
    except ValueError as error:
        raise CallerError(f"{option} {given!r}: {error}") from error
    parts = list(concurrently(lambda name: _or_mistake(name, options, accepted), names))
    mistakes = [part for part in parts if isinstance(part, CallerError)]
    if mistakes:
        more = f", and so do {len(mistakes) - 1} others of its {len(names)} names" if len(mistakes) > 1 else ""
        raise CallerError(f"{mistakes[0]}{more}")
    return list(itertools.chain.from_iterable(part for part in parts if not isinstance(part, CallerError)))


def _or_mistake(given: str, options: Mapping[str, Any], accepted: Accepted) -> list[File] | CallerError:
    try:
        return _expand(given, options, accepted)
    except CallerError as mistake:
        return mistake


def _expand(given: str, options: Mapping[str, Any], accepted: Accepted) -> list[File]:
    option = accepted.option
    files, path = file_system(given, options)
    found: dict[str, Entry] = {}
    root = ""
    with storage_errors(f"{option} {given!r}"), contextlib.suppress(FileNotFoundError):
        if has_magic(path) and not files.exists(path):
            root = re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0]
            found = _matching(files, path, root)
        elif files.isdir(path):
            found, root = below(files, path), path
        elif path.lower().endswith(LIST_SUFFIX):
            return list(_listed(files, path, given, options, accepted))
        else:
            found, root = {path: _entry(files, path)}, path.rpartition("/")[0]
    if not found:
        raise CallerError(f"{option} {given!r} does not exist or holds no files")
    named = found.keys() == {path}
    if named and not accepted.kind_of(path):
        raise CallerError(f"{option} {given!r} is not a {accepted.described}")
    scans = set() if named or accepted.scans else _scan_directories(found, root)
    expanded = []
    for name in sorted(found):
        entry = found.pop(name)  # of a million files, no more than need be is held twice
        if entry["type"] != "directory":
            key = entry["name"][len(root) :].lstrip("/")
            passed_over = _why_not_read(entry, "" if named else key, accepted, scans)
            expanded.append(_file(files, entry, key, passed_over))
    return expanded


def _scan_directories(found: Iterable[str], root: str) -> set[str]:
    """The folders below the root that hold a scan of ours."""
    folders = {name.rpartition("/")[0] for name in found if name.endswith(f"/{SCAN_FILE}")}
    return {folder for folder in folders if folder != root.rstrip("/") and f"{folder}/{PLAN_FILE}" in found}


def _why_not_read(entry: Entry, key: str, accepted: Accepted, scans: set[str]) -> str:
    """The name under which an entry is counted that is not read; "" if it is. `key`: its path below what was named."""
    name: str = entry["name"]
    if entry["type"] != "file":
        return "special files" if entry["type"] in ("other", "link") else entry["type"]
    kind = accepted.kind_of(name)
    if is_hidden(key, kind == "images"):
        return "hidden"
    if scans and not scans.isdisjoint(_folders_of(name)):
        return "in scan directories"
    if VERSIONED in name:
        return f"names with {VERSIONED}"
    return "" if kind else passed_over_as(name)


def _folders_of(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


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


def _matching(files: AbstractFileSystem, pattern: str, root: str) -> dict[str, Entry]:
    """What a pattern matches, and all that lies below the folders that it matches. `root`: of all that it can match."""
    local = isinstance(files, LocalFileSystem)  # fsspec's own search follows no links
    if local and "**" in pattern:
        fits = re.compile(glob_translate(pattern)).match
        return {
            name: entry
            for name, entry in below(files, root).items()
            if fits(name) or any(fits(folder) for folder in _folders_of(name) if len(folder) > len(root))
        }
    if local:
        found = {name: described(name) for name in glob.iglob(pattern, include_hidden=True)}  # noqa: PTH207
    else:
        matched: Any = files.glob(pattern, detail=True)
        found = dict(matched)
    for name in [name for name, entry in found.items() if entry["type"] == "directory"]:
        del found[name]
        found |= below(files, name)
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
    mistakes: list[str] = []
    for found in concurrently(lambda item: _listed_file(given, item[0], item[1], options, accepted), numbered):
        if isinstance(found, File):
            yield found
        else:
            mistakes.append(found)
    if mistakes:
        shown = "; ".join(mistakes[:MISTAKES_SHOWN])
        more = f"; and {len(mistakes) - MISTAKES_SHOWN} more" if len(mistakes) > MISTAKES_SHOWN else ""
        raise CallerError(f"{accepted.option} {given!r}, {shown}{more}")


def _listed_file(given: str, number: int, line: str, options: Mapping[str, Any], accepted: Accepted) -> File | str:
    """The file that one line of a list names, or what is wrong with the line. One that is gone has no version."""
    base = given.rpartition("/")[0]
    url = line if "://" in line or line.startswith("/") else f"{base}/{line}" if base else line
    where = f"line {number}: {line!r}"
    if not accepted.kind_of(url):
        return f"{where} is not a {accepted.described.replace(', .txt (a list)', '')}"
    files, path = file_system(url, options)
    try:
        entry = _entry(files, path)
    except FileNotFoundError:
        return _file(files, {"name": path, "size": 0}, line)
    return _file(files, entry, line) if entry["type"] == "file" else f"{where} is not a file"


def _entry(files: AbstractFileSystem, path: str) -> Entry:
    """What the file system says of a path, or of what it links to. Raises FileNotFoundError."""
    return {**files.info(real_path(files, path)), "name": path}


def _file(files: AbstractFileSystem, entry: Mapping[str, Any], key: str, passed_over: str = "") -> File:
    """A `File` from what the file system says of it. In a name that is not UTF-8 the bytes that are not are escaped."""
    url, key = (_as_utf8(name) for name in (files.unstrip_protocol(entry["name"]), key))
    return File(url, key, int(entry["size"] or 0), version_of(entry), passed_over)


def _as_utf8(name: str) -> str:
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
