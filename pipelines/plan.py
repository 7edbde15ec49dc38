"""What is to be read: inputs to shards, with sizes and fingerprints, before any image is opened."""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import has_magic

from pipelines.config import Read
from pipelines.errors import CallerError
from pipelines.readers.parquet import Columns
from pipelines.readers.range_file import open_range
from pipelines.readers.record import IMAGE_SUFFIXES
from pipelines.storage import file_system

Kind = Literal["tar", "parquet", "images"]
LIST_SUFFIX = ".txt"


@dataclass(frozen=True)
class File:
    """One input file: where it is, its name in the dataset, and what tells whether it has changed."""

    url: str
    key: str
    size: int
    version: str


@dataclass(frozen=True)
class Shard:
    """The unit of commit and resume: a tar, a Parquet file, or a slice of a folder or list of images."""

    id: str
    kind: Kind
    urls: list[str]
    keys: list[str]
    sizes: list[int]
    fingerprint: str

    @property
    def size(self) -> int:
        return sum(self.sizes)


@dataclass(frozen=True)
class Plan:
    """Shards in order, and how many files of a folder were passed over, by suffix."""

    shards: list[Shard]
    passed_over: Mapping[str, int]

    @property
    def fingerprint(self) -> str:
        return _hash([[shard.id, shard.fingerprint] for shard in self.shards])

    def to_parquet(self) -> bytes:
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([asdict(shard) for shard in self.shards], SCHEMA), buffer)
        return buffer.getvalue()


SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "kind": pa.string(),
        "urls": pa.list_(pa.string()),
        "keys": pa.list_(pa.string()),
        "sizes": pa.list_(pa.int64()),
        "fingerprint": pa.string(),
    }
)


def read_plan(content: bytes) -> list[Shard]:
    rows = pq.read_table(io.BytesIO(content)).to_pylist()
    return [Shard(**{field.name: row[field.name] for field in fields(Shard)}) for row in rows]


def plan(inputs: Sequence[str], read: Read, options: Mapping[str, Any]) -> Plan:
    """The shards of all inputs. Raises CallerError for an input that is missing, empty or of no known kind."""
    shards: list[Shard] = []
    passed_over: dict[str, int] = {}
    seen: set[str] = set()
    for given in inputs:
        found = [file for file in _expand(given, options) if not (file.url in seen or seen.add(file.url))]
        known = [file for file in found if kind_of(file.url)]
        for file in found:
            if not kind_of(file.url):
                suffix = _suffix(file.url) or "no suffix"
                passed_over[suffix] = passed_over.get(suffix, 0) + 1
        if not known:
            raise CallerError(f"--input {given!r} holds no tar, Parquet or image file that is not already in the plan")
        for kind, files in _sharded(known, read.images_per_shard):
            shards.append(_shard(len(shards), kind, files))
    _check_parquet(shards, read, options)
    return Plan(shards, passed_over)


def kind_of(url: str) -> Kind | None:
    suffix = _suffix(url)
    if suffix in IMAGE_SUFFIXES:
        return "images"
    return {".tar": "tar", ".parquet": "parquet"}.get(suffix)  # pyright: ignore[reportReturnType]


def _suffix(url: str) -> str:
    name = url.rsplit("/", 1)[-1]
    return "." + name.rsplit(".", 1)[-1].lower() if "." in name else ""


def _expand(given: str, options: Mapping[str, Any]) -> list[File]:
    """All files that an input names, sorted by path; a list's in its own order."""
    files, path = file_system(given, options)
    try:
        if has_magic(path) and not files.exists(path):
            found = files.glob(path, detail=True)
            root = path[: re.search(r"[*?\[]", path).start()].rpartition("/")[0]  # pyright: ignore
        elif files.isdir(path):
            found, root = files.find(path, detail=True), path
        elif path.lower().endswith(LIST_SUFFIX):
            return list(_listed(files, path, given, options))
        else:
            found, root = {path: files.info(path)}, path.rpartition("/")[0]
    except FileNotFoundError:
        found, root = {}, ""
    except Exception as error:  # every file system has errors of its own
        raise CallerError(f"--input {given!r} cannot be read: {str(error).splitlines()[0]}") from error
    if not found:
        raise CallerError(f"--input {given!r} does not exist or holds no files")
    entries = [found[name] for name in sorted(found) if found[name]["type"] == "file"]
    if len(entries) == 1 and entries[0]["name"] == path and not kind_of(path):
        raise CallerError(f"--input {given!r} is not a .tar, .parquet, .txt (a list) or image file")
    return [_file(files, entry, entry["name"][len(root) :].lstrip("/")) for entry in entries]


def _listed(files: AbstractFileSystem, path: str, given: str, options: Mapping[str, Any]) -> Iterator[File]:
    """The files that a list names, one a line: URLs, absolute paths, or paths beside the list."""
    try:
        lines = [line.strip() for line in files.cat_file(path).decode("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise CallerError(f"--input {given!r} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    base = given.rpartition("/")[0]
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        url = line if "://" in line or line.startswith("/") else f"{base}/{line}" if base else line
        if not kind_of(url):
            raise CallerError(f"--input {given!r}, line {number}: {line!r} is not a .tar, .parquet or image file")
        beside, inner = file_system(url, options)
        try:
            yield _file(beside, beside.info(inner), line)
        except FileNotFoundError as error:
            raise CallerError(f"--input {given!r}, line {number}: {line!r} does not exist") from error


def _file(files: AbstractFileSystem, entry: Mapping[str, Any], key: str) -> File:
    changed = next((entry[name] for name in ("ETag", "etag", "md5", "mtime", "LastModified") if entry.get(name)), "")
    return File(files.unstrip_protocol(entry["name"]), key, int(entry["size"]), str(changed))


def _sharded(files: Sequence[File], images_per_shard: int) -> Iterator[tuple[Kind, list[File]]]:
    images = [file for file in files if kind_of(file.url) == "images"]
    for file in files:
        kind = kind_of(file.url)
        if kind and kind != "images":
            yield kind, [file]
    for start in range(0, len(images), images_per_shard):
        yield "images", images[start : start + images_per_shard]


def _shard(number: int, kind: Kind, files: Sequence[File]) -> Shard:
    """A shard's id is its place in the plan and what it is called, so that `ls` can tell shards apart."""
    parts = files[0].url.split("/")
    name = parts[-1].rpartition(".")[0] if kind != "images" else parts[-2]
    return Shard(
        id=f"{number:06d}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)[:60]}",
        kind=kind,
        urls=[file.url for file in files],
        keys=[file.key for file in files],
        sizes=[file.size for file in files],
        fingerprint=_hash([[file.url, file.size, file.version] for file in files]),
    )


def _check_parquet(shards: Sequence[Shard], read: Read, options: Mapping[str, Any]) -> None:
    """A wrong column name shows in the first readable Parquet file; a damaged file is a matter for the scan."""
    for shard in shards:
        if shard.kind != "parquet":
            continue
        files, path = file_system(shard.urls[0], options)
        try:
            schema = pq.read_schema(open_range(files, path, shard.size))
        except (pa.ArrowException, OSError):
            continue
        try:
            Columns(read.image_column, read.key_column).find(schema)
        except ValueError as error:
            raise CallerError(
                f"--input {shard.urls[0]!r}: {error}; name them with --image-column and --key-column"
            ) from error
        return


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:16]
