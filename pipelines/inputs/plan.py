"""Plans a scan of images: inputs to shards, with sizes and fingerprints, before any image is opened."""

import hashlib
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import split_protocol

from pipelines.config.scan import Read
from pipelines.errors import CallerError, ReadError
from pipelines.inputs.listing import File, Kind, expand, kind_of, not_seen, suffix_of
from pipelines.inputs.readers.parquet import DAMAGE, ImageColumns
from pipelines.inputs.readers.range_file import open_range
from pipelines.storage import file_system


@dataclass(frozen=True)
class Shard:
    """The unit of commit and resume: a tar, a Parquet file, or a slice of a folder or list of images.

    A shard of embeddings is a slice of a table: `rows` rows from `start` on. In a `.npy` shard the second URL is that
    of the table of keys. `keys`: names of image files in the dataset. `sizes`: bytes of each file.
    """

    id: str
    kind: Kind
    urls: list[str]
    keys: list[str]
    sizes: list[int]
    fingerprint: str
    start: int = 0
    rows: int | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes)


@dataclass(frozen=True)
class Plan:
    """Shards in order, and how many files of a folder were passed over, by suffix."""

    shards: list[Shard]
    passed_over: Mapping[str, int]

    @property
    def fingerprint(self) -> str:
        """A digest that changes with any shard's files."""
        return content_hash([[shard.id, shard.fingerprint] for shard in self.shards])

    def to_parquet(self) -> bytes:
        """The contents of `plan.parquet`."""
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
        "start": pa.int64(),
        "rows": pa.int64(),
    }
)


def read_plan(content: bytes) -> list[Shard]:
    """The shards in the contents of a `plan.parquet`."""
    rows = pq.read_table(io.BytesIO(content)).to_pylist()
    return [Shard(**{field.name: row[field.name] for field in fields(Shard)}) for row in rows]


def plan(inputs: Sequence[str], read: Read, options: Mapping[str, Any]) -> Plan:
    """The shards of all inputs. Raises CallerError for an input that is missing, empty or of no known kind."""
    shards: list[Shard] = []
    passed_over: dict[str, int] = {}
    seen: set[str] = set()
    for given in inputs:
        found = expand(given, options)
        if not any(kind_of(file.url) for file in found):
            raise CallerError(f"--input {given!r} holds no tar, Parquet or image file")
        fresh = not_seen(found, seen)
        for file in fresh:
            if not kind_of(file.url):
                suffix = suffix_of(file.url) or "no suffix"
                passed_over[suffix] = passed_over.get(suffix, 0) + 1
        for kind, files in _sharded(fresh, read.images_per_shard):
            shards.append(_shard(len(shards), kind, files))
    _check_parquet(shards, read, options)
    return Plan(shards, passed_over)


def _sharded(files: Sequence[File], images_per_shard: int) -> Iterator[tuple[Kind, list[File]]]:
    """Every tar and Parquet file by itself, then the images in slices, none over two file systems."""
    images = [file for file in files if kind_of(file.url) == "images"]
    for file in files:
        kind = kind_of(file.url)
        if kind and kind != "images":
            yield kind, [file]
    for _, group in itertools.groupby(images, key=lambda file: split_protocol(file.url)[0]):
        together = list(group)
        for start in range(0, len(together), images_per_shard):
            yield "images", together[start : start + images_per_shard]


def _shard(number: int, kind: Kind, files: Sequence[File]) -> Shard:
    """A shard's id is its place in the plan and what it is called, so that `ls` can tell shards apart."""
    parts = files[0].url.split("/")
    return Shard(
        id=shard_id(number, parts[-1].rpartition(".")[0] if kind != "images" else parts[-2]),
        kind=kind,
        urls=[file.url for file in files],
        keys=[file.key for file in files],
        sizes=[file.size for file in files],
        fingerprint=content_hash([[file.url, file.size, file.version] for file in files]),
    )


def shard_id(number: int, name: str) -> str:
    """The id of the shard with this number in the plan, readable as part of a file name."""
    return f"{number:06d}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)[:60]}"


def _check_parquet(shards: Sequence[Shard], read: Read, options: Mapping[str, Any]) -> None:
    """Raises CallerError if the first readable Parquet file lacks a column; damaged files are left to the scan."""
    for shard in shards:
        if shard.kind != "parquet":
            continue
        files, path = file_system(shard.urls[0], options)
        try:
            schema = pq.read_schema(open_range(files, path, shard.size))
        except ReadError as error:
            raise CallerError(f"--input {shard.urls[0]!r} cannot be read: {error}") from error
        except DAMAGE:
            continue
        try:
            ImageColumns(read.image_column, read.key_column).find(schema)
        except ValueError as error:
            raise CallerError(
                f"--input {shard.urls[0]!r}: {error}; name them with --image-column and --key-column"
            ) from error
        return


def content_hash(value: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:16]


def blocks_of(groups: Sequence[Sequence[Shard]]) -> list[pa.Table]:
    """A table for each group of shards."""
    return [pa.Table.from_pylist([asdict(shard) for shard in group], SCHEMA) for group in groups]


def shards_of(block: pa.Table) -> list[Shard]:
    """The shards in one table that `blocks_of` made."""
    return [Shard(**row) for row in block.to_pylist()]
