"""The plan of a scan or rescoring: its shards in order, as `plan.parquet` holds them."""

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.vectors import parquet_options
from pipelines.inputs.listing import Kind

SLUG_LENGTH = 60
HASH_DIGITS = 8
SHARDS_AT_ONCE = 2**16


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of commit and resume: a tar, a range of a table's rows, or a slice of a folder or list of images.

    `id`: see `shard_id`. Of a table, `rows` rows from `start` on; None: as many as there are. In a `.npy` shard the
    second URL is that of the table of keys. `keys`: names of image files in the dataset. `sizes`: bytes of each file.
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
"""The columns of `plan.parquet`: the fields of a shard, in their order."""


@dataclass(frozen=True)
class Plan:
    """Shards in order, and how many files of a folder were passed over, by suffix."""

    shards: list[Shard]
    passed_over: Mapping[str, int]

    @property
    def size(self) -> int:
        """Bytes of all files, each counted once, however many shards it is cut into."""
        sizes = {url: size for shard in self.shards for url, size in zip(shard.urls, shard.sizes, strict=True)}
        return sum(sizes.values())

    @property
    def fingerprint(self) -> str:
        """A digest that changes with any shard's files, and with their order."""
        digest = hashlib.sha256()
        for shard in self.shards:
            digest.update(f"{shard.id} {shard.fingerprint}\n".encode())
        return digest.hexdigest()[:16]

    def to_parquet(self) -> bytes:
        """The contents of `plan.parquet`, whose pages are checked when it is read."""
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, SCHEMA, **parquet_options(SCHEMA)) as writer:
            for start in range(0, len(self.shards), SHARDS_AT_ONCE):
                writer.write_table(_block(self.shards[start : start + SHARDS_AT_ONCE]))
        return buffer.getvalue()


def read_plan(content: bytes) -> list[Shard]:
    """The shards in the contents of a `plan.parquet`. Raises ArrowException or OSError if it is damaged."""
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    shards: list[Shard] = []
    for batch in file.iter_batches(SHARDS_AT_ONCE, columns=SCHEMA.names):
        shards += shards_of(pa.table(batch))
    return shards


def blocks_of(groups: Sequence[Sequence[Shard]]) -> list[pa.Table]:
    """A table for each group of shards."""
    return [_block(group) for group in groups]


def shards_of(block: pa.Table) -> list[Shard]:
    """The shards in one table that `blocks_of` made."""
    columns = [block.column(name).to_pylist() for name in SCHEMA.names]
    return [Shard(*values) for values in zip(*columns, strict=True)]


def _block(shards: Sequence[Shard]) -> pa.Table:
    """A table of `SCHEMA`."""
    columns = [pa.array([getattr(shard, field.name) for shard in shards], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def shard_id(name: str, url: str, start: int | None = None) -> str:
    """A readable name, fit for a file's, that stays the same when other files come and go.

    `name`, made plain, eight hexadecimal digits of the hash of `url` (that of the first file), and `start`, which tells
    apart the ranges that a table is cut into; None: it is not cut.
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:SLUG_LENGTH]
    digits = hashlib.sha256(url.encode()).hexdigest()[:HASH_DIGITS]
    return f"{plain}-{digits}" if start is None else f"{plain}-{digits}-{start:08d}"


def told_apart(shards: list[Shard]) -> list[Shard]:
    """The shards; those that have the same id, which happens among millions of one name, get a longer hash as well."""
    if len({shard.id for shard in shards}) == len(shards):
        return shards
    times = Counter(shard.id for shard in shards)
    return [
        replace(shard, id=f"{shard.id}-{content_hash([shard.urls[0], shard.start])}") if times[shard.id] > 1 else shard
        for shard in shards
    ]


def content_hash(value: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:16]
